"""The lifeline: a pipe whose end of file is the supervisor's death."""

import asyncio
import os
from dataclasses import replace

from child_contexts import context

from balance.config.overrides.runtime_overrides import BackendChange, Verb
from balance.process.children.child_context import new_event_loop, watch_liveness_pipe
from balance.process.generation import Generation


def test_the_supervisors_exit_is_reported_once() -> None:
    loop = new_event_loop()
    readable, writable = os.pipe()
    received: list[str] = []

    def ended() -> None:
        received.append("ended")
        loop.call_later(0.05, loop.stop)

    watch_liveness_pipe(loop, readable, ended)
    loop.run_until_complete(asyncio.sleep(0))
    assert received == []
    os.close(writable)
    loop.run_forever()
    loop.close()
    os.close(readable)
    assert received == ["ended"]


def test_the_fast_loop_is_used_where_it_is_installed() -> None:
    loop = new_event_loop()
    loop.close()
    assert type(loop).__module__.startswith("uvloop")


def generation(number: int, backends: int, *changes: BackendChange) -> Generation:
    return replace(context(backends).generation, number=number, changes=changes)


def test_the_way_back_leads_to_what_differs_or_to_the_number_that_is_said() -> None:
    change = BackendChange(Verb.SET, "pool", "b1", '{"weight": 3}')
    history = (generation(4, 1), generation(5, 2), generation(6, 3, change), generation(7, 3, change), generation(8, 3, change))
    child_context = replace(context(1), history=history)
    assert [found.number for to in (0, 4, 6) if (found := child_context.before(to))] == [5, 4, 6]
    assert [child_context.before(to) for to in (3, 8, 9)] == [None, None, None]
    assert replace(child_context, history=history[-2:]).before() is None
