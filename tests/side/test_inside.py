"""What the side doors see: the configuration and the board, read together."""

import os

from balance.health.states import State
from balance.process.board import Board
from balance.runtime import cells
from balance.side.inside import Inside


def test_backends_come_in_the_files_order_with_their_states(inside: Inside) -> None:
    assert [(seen.pool.name, seen.backend.name, seen.slot, seen.state, seen.since) for seen in inside.backends()] == [
        ("app", "a1", 1, State.HEALTHY, 1000.0),
        ("app", "a2", 2, State.UNHEALTHY, 2000.0),
        ("raw", "r1", 3, State.UNKNOWN, 0.0),
    ]


def test_readiness_is_decided_from_every_pool(inside: Inside) -> None:
    assert [tuple(pool) for pool in inside.pool_states()] == [
        ("app", True, [State.HEALTHY, State.UNHEALTHY]),
        ("raw", False, [State.UNKNOWN]),
    ]


def test_a_worker_that_is_gone_is_seen_but_counted_nowhere(inside: Inside) -> None:
    assert isinstance(inside.board, Board)
    inside.board.rows[0][cells.BEAT_US] = 5
    inside.board.zero_gauges(1)
    assert [tuple(worker) for worker in inside.workers()] == [(os.getpid(), 5), (0, 0)]
    assert len(inside.pids()) == 3  # supervisor, control and the worker that lives
