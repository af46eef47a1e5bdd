"""The lifeline: a pipe whose end of file is the supervisor's death."""

import asyncio
import os

from balance.process.seat import new_event_loop, watch_lifeline


def test_the_lifelines_end_is_told_once() -> None:
    loop = new_event_loop()
    readable, writable = os.pipe()
    told: list[str] = []

    def ended() -> None:
        told.append("ended")
        loop.call_later(0.05, loop.stop)

    watch_lifeline(loop, readable, ended)
    loop.run_until_complete(asyncio.sleep(0))
    assert told == []
    os.close(writable)
    loop.run_forever()
    loop.close()
    os.close(readable)
    assert told == ["ended"]


def test_the_fast_loop_is_used_where_it_is_installed() -> None:
    loop = new_event_loop()
    loop.close()
    assert type(loop).__module__.startswith("uvloop")
