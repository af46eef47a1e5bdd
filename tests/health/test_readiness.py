"""`/ready` and `/health`: states in, reasons out."""

import pytest

from balance.health.readiness import PoolStates, Stage, Worker, is_stuck, not_ready_reasons, unhealthy_reasons
from balance.health.states import State

U, H, X, D = State.UNKNOWN, State.HEALTHY, State.UNHEALTHY, State.DRAINING
NOW_US = 60_000_000
GOOD, GONE, SILENT, NEW = Worker(7, NOW_US - 100_000), Worker(0, 0), Worker(8, NOW_US - 11_000_000), Worker(9, 0)


@pytest.mark.parametrize(
    ("stage", "is_checked", "states", "reasons"),
    [
        (Stage.SERVING, True, [H, X], []),
        (Stage.SERVING, False, [U, U], []),
        (Stage.SERVING, True, [U, H], []),
        (Stage.SERVING, True, [U, U], ["pool web: the first health checks are not answered yet"]),
        (Stage.SERVING, True, [U, X], ["pool web: the first health checks are not answered yet"]),
        (Stage.SERVING, True, [X, X], ["pool web: no backend is healthy"]),
        (Stage.SERVING, False, [D, D], ["pool web: no backend is healthy"]),
        (Stage.SERVING, False, [D, U], []),
        (Stage.STARTING, False, [U], ["starting"]),
        (Stage.DRAINING, True, [H], ["draining"]),
        (Stage.DRAINING, True, [X], ["draining", "pool web: no backend is healthy"]),
    ],
)
def test_readiness_names_every_reason(stage: Stage, is_checked: bool, states: list[State], reasons: list[str]) -> None:
    assert not_ready_reasons(stage, [PoolStates("web", is_checked, states)]) == reasons


def test_one_pool_without_a_backend_is_enough_to_be_not_ready() -> None:
    pools = [PoolStates("a", True, [H]), PoolStates("b", True, [X])]
    assert not_ready_reasons(Stage.SERVING, pools) == ["pool b: no backend is healthy"]


@pytest.mark.parametrize(
    ("stage", "workers", "reasons"),
    [
        (Stage.SERVING, [GOOD, GOOD], []),
        (Stage.SERVING, [GOOD, GONE], []),
        (Stage.SERVING, [GOOD, SILENT], []),
        (Stage.SERVING, [NEW], []),
        (Stage.SERVING, [GONE, GONE], ["no worker is alive"]),
        (Stage.SERVING, [SILENT, GONE], ["no worker has turned for 10s"]),
        (Stage.STARTING, [GONE], []),
        (Stage.DRAINING, [GONE], []),
        (Stage.DRAINING, [GOOD], []),
    ],
)
def test_health_needs_one_worker_that_turns(stage: Stage, workers: list[Worker], reasons: list[str]) -> None:
    assert unhealthy_reasons(stage, workers, NOW_US) == reasons


@pytest.mark.parametrize(("worker", "stuck"), [(GOOD, False), (GONE, False), (SILENT, True), (NEW, False)])
def test_only_a_living_worker_that_fell_silent_is_stuck(worker: Worker, stuck: bool) -> None:
    assert is_stuck(worker, NOW_US) is stuck
