"""What others did is told once, at the next look."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

from fake_instance import TEXT, FakeInstance

from balance.admin.events.watcher import EventWatcher
from balance.admin.state_view import StateView
from balance.admin.supervisor_orders import Reload
from balance.config.model import CircuitBreaker
from balance.health.circuit_breaker import CAUSE, STATE, TOTAL_OPENINGS, UNTIL_US, BreakerState, Signal
from balance.health.readiness import Stage
from balance.process.shared_memory.board import Board


def describe_order(view: StateView) -> list[str]:
    return [event.text for event in view.events.since(0)]


def test_nothing_is_told_while_nothing_happens() -> None:
    fake_instance = FakeInstance()
    watcher = EventWatcher(fake_instance.view)
    watcher.poll()
    watcher.poll()
    assert describe_order(fake_instance.view) == []


def test_stages_and_restarts_are_told() -> None:
    fake_instance = FakeInstance()
    watcher = EventWatcher(fake_instance.view)
    fake_instance.board.count_worker_restart()
    watcher.poll()
    fake_instance.board.count_worker_restart()
    fake_instance.board.count_worker_restart()
    fake_instance.board.set_stage(Stage.DRAINING)
    watcher.poll()
    watcher.poll()
    assert describe_order(fake_instance.view) == [
        "a worker was replaced (1 since the start)",
        "the instance is draining; /ready says no",
        "2 workers were replaced (3 since the start)",
    ]


def test_reloads_are_told_with_what_they_changed() -> None:
    fake_instance = FakeInstance()
    watcher = EventWatcher(fake_instance.view)
    fake_instance.source = fake_instance.source.with_text(TEXT.replace("weight: 2", "weight: 5"))
    asyncio.run(fake_instance.submit_order(Reload()))
    asyncio.run(fake_instance.submit_order(Reload(rollback=True)))
    watcher.poll()
    fake_instance.source = fake_instance.source.with_text("nonsense: 1\n")
    asyncio.run(fake_instance.submit_order(Reload()))
    watcher.poll()
    assert describe_order(fake_instance.view) == [
        "generation 2 is served (admin API): ~1 backend",
        "generation 3 is served (rollback to 1): ~1 backend",
        "a reload was refused; nothing changed, the log says why",
    ]
    first = fake_instance.view.events.since(0)[0]
    assert (first.kind, first.fields["result"], first.fields["generation"]) == ("reload", "success", 2)


def test_breakers_are_told_when_they_move(make_view: Callable[..., StateView]) -> None:
    view = make_view()
    pools = tuple(replace(pool, breaker=CircuitBreaker(enabled=True)) for pool in view.config.pools)
    view.config = replace(view.config, pools=pools)
    watcher = EventWatcher(view)
    assert isinstance(view.board, Board)
    evidence = view.board.evidence(2)
    evidence[STATE], evidence[TOTAL_OPENINGS], evidence[CAUSE], evidence[UNTIL_US] = (
        BreakerState.OPEN,
        1,
        Signal.FAILURES,
        1 << 62,
    )
    watcher.poll()
    evidence[STATE], evidence[CAUSE] = BreakerState.CLOSED, Signal.TRIALS_PASSED
    watcher.poll()
    watcher.poll()
    assert describe_order(view) == [
        "the circuit breaker of backend app/a2 is open: too many failures in a row",
        "the circuit breaker of backend app/a2 is closed: the requests that tried it went well",
    ]


def test_a_successor_says_that_it_is_one() -> None:
    async def main() -> None:
        fake_instance = FakeInstance()
        fake_instance.board.count_control_restart()  # in the instance that this one has replaced
        EventWatcher(fake_instance.view, 1).start(asyncio.get_running_loop())
        assert describe_order(fake_instance.view) == []
        fake_instance.board.count_control_restart()
        EventWatcher(fake_instance.view, 1).start(asyncio.get_running_loop())
        assert describe_order(fake_instance.view) == [
            "the control process was replaced (1 since the start); the log has what was before"
        ]

    asyncio.run(main())


def test_who_asks_is_told_what_has_happened_by_then() -> None:
    async def main() -> None:
        fake_instance = FakeInstance()
        EventWatcher(fake_instance.view).start(asyncio.get_running_loop())
        fake_instance.board.count_worker_restart()
        assert describe_order(fake_instance.view) == ["a worker was replaced (1 since the start)"]  # without waiting for a look
        assert len(fake_instance.view.events.since(0)) == 1

    asyncio.run(main())
