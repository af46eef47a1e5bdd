"""What others did is told once, at the next look."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

from steered import TEXT, Steered

from balance.config.model import CircuitBreaker
from balance.health.breaker import CAUSE, OPENED, PHASE, UNTIL_US, Phase, Signal
from balance.health.readiness import Stage
from balance.process.board import Board
from balance.side.inside import Inside
from balance.side.observer import Observer
from balance.side.steering import Reload


def told(inside: Inside) -> list[str]:
    return [happening.text for happening in inside.events.since(0)]


def test_nothing_is_told_while_nothing_happens() -> None:
    steered = Steered()
    observer = Observer(steered.inside)
    observer.look()
    observer.look()
    assert told(steered.inside) == []


def test_stages_and_restarts_are_told() -> None:
    steered = Steered()
    observer = Observer(steered.inside)
    steered.board.count_worker_restart()
    observer.look()
    steered.board.count_worker_restart()
    steered.board.count_worker_restart()
    steered.board.set_stage(Stage.DRAINING)
    observer.look()
    observer.look()
    assert told(steered.inside) == [
        "a worker was replaced (1 since the start)",
        "the instance is draining; /ready says no",
        "2 workers were replaced (3 since the start)",
    ]


def test_reloads_are_told_with_what_they_changed() -> None:
    steered = Steered()
    observer = Observer(steered.inside)
    steered.source = steered.source.with_text(TEXT.replace("weight: 2", "weight: 5"))
    asyncio.run(steered.steer(Reload()))
    asyncio.run(steered.steer(Reload(rollback=True)))
    observer.look()
    steered.source = steered.source.with_text("nonsense: 1\n")
    asyncio.run(steered.steer(Reload()))
    observer.look()
    assert told(steered.inside) == [
        "generation 2 is served (admin API): ~1 backend",
        "generation 3 is served (rollback to 1): ~1 backend",
        "a reload was refused; nothing changed, the log says why",
    ]
    first = steered.inside.events.since(0)[0]
    assert (first.kind, first.about["result"], first.about["generation"]) == ("reload", "success", 2)


def test_breakers_are_told_when_they_move(make_inside: Callable[..., Inside]) -> None:
    inside = make_inside()
    pools = tuple(replace(pool, breaker=CircuitBreaker(enabled=True)) for pool in inside.config.pools)
    inside.config = replace(inside.config, pools=pools)
    observer = Observer(inside)
    assert isinstance(inside.board, Board)
    evidence = inside.board.evidence(2)
    evidence[PHASE], evidence[OPENED], evidence[CAUSE], evidence[UNTIL_US] = Phase.OPEN, 1, Signal.FAILURES, 1 << 62
    observer.look()
    evidence[PHASE], evidence[CAUSE] = Phase.CLOSED, Signal.TRIALS_PASSED
    observer.look()
    observer.look()
    assert told(inside) == [
        "the circuit breaker of backend app/a2 is open: too many failures in a row",
        "the circuit breaker of backend app/a2 is closed: the requests that tried it went well",
    ]


def test_a_successor_says_that_it_is_one() -> None:
    async def main() -> None:
        steered = Steered()
        steered.board.count_control_restart()  # in the instance that this one has replaced
        Observer(steered.inside, 1).start(asyncio.get_running_loop())
        assert told(steered.inside) == []
        steered.board.count_control_restart()
        Observer(steered.inside, 1).start(asyncio.get_running_loop())
        assert told(steered.inside) == ["the control process was replaced (1 since the start); the log has what was before"]

    asyncio.run(main())
