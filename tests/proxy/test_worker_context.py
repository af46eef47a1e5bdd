"""What the connections of a worker share."""

import pytest
from stage import Stage, until

from balance.proxy.worker_context import WorkerContext
from balance.runtime import counters


def test_request_ids_are_never_given_twice(stage: Stage) -> None:
    workers = [WorkerContext(stage.loop, stage.row, 0.0, None) for _ in range(3)]
    ids = [worker.next_request_id() for worker in workers for _ in range(1000)]
    assert len(set(ids)) == 3000
    assert all(len(it) == 24 and int(it, 16) for it in ids)
    assert ids[:1000] == sorted(ids[:1000])  # in the order of their worker's requests


@pytest.mark.parametrize(
    ("beat_s", "worst_s", "late_s"),
    [
        (0.0, 0.0, 0.0),  # nothing has been measured yet
        (99.98, 0.0, 0.0),
        (99.98, 0.3, 0.3),  # the worst of the last second
        (99.0, 0.3, 0.95),  # a turn that has not ended yet
    ],
)
def test_what_has_happened_may_have_waited_for_the_loop(stage: Stage, beat_s: float, worst_s: float, late_s: float) -> None:
    stage.row.cells[counters.BEAT_US], stage.row.cells[counters.LAG_MAX_US] = int(beat_s * 1e6), int(worst_s * 1e6)
    assert max(0.0, WorkerContext(stage.loop, stage.row, 0.0, None).lateness_s(100.0)) == pytest.approx(late_s)


async def test_connections_are_those_that_are_open(stage: Stage) -> None:
    await stage.open(stage.refusing())
    clients = [await stage.client() for _ in range(3)]
    await until(lambda: len(stage.worker.connections) == 3)
    for client in clients:
        client.close()
    await stage.settled()
    assert stage.worker.connections == set()
