"""What the admin endpoints see: the configuration and the board, read together."""

import asyncio
import os
from collections.abc import Callable

from balance.admin.state_view import StateView
from balance.admin.supervisor_orders import OrderResult, Restart
from balance.health.states import State
from balance.process.shared_memory.board import Board
from balance.runtime import counters


def test_backends_come_in_the_files_order_with_their_states(view: StateView) -> None:
    assert [(seen.pool.name, seen.backend.name, seen.slot, seen.state, seen.since) for seen in view.backends()] == [
        ("app", "a1", 1, State.HEALTHY, 1000.0),
        ("app", "a2", 2, State.UNHEALTHY, 2000.0),
        ("raw", "r1", 3, State.UNKNOWN, 0.0),
    ]


def test_readiness_is_decided_from_every_pool(view: StateView) -> None:
    assert [pool[:3] for pool in view.pool_states()] == [
        ("app", True, [State.HEALTHY, State.UNHEALTHY]),
        ("raw", False, [State.UNKNOWN]),
    ]


def test_a_worker_that_is_gone_is_seen_but_counted_nowhere(view: StateView) -> None:
    assert isinstance(view.board, Board)
    view.board.rows[0][counters.BEAT_US] = 5
    view.board.zero_gauges(1)
    assert [tuple(worker) for worker in view.workers()] == [(os.getpid(), 5), (0, 0)]
    assert len(view.pids()) == 3  # supervisor, control and the worker that lives


def test_a_worker_that_leaves_is_shown_behind_those_who_stay_and_decides_nothing(view: StateView) -> None:
    board = view.board
    assert isinstance(board, Board)
    first, second = board.rows[0], board.rows[1]
    first[counters.LEAVING] = 1
    first[counters.BEAT_US] = 5
    assert [(number, row is None) for number, row in view.worker_rows()] == [(0, True), (1, False), (0, False)]
    assert [worker.pid for worker in view.workers()] == [0, os.getpid()]  # nobody stands at the first post
    assert len(view.pids()) == 4  # but it runs, and costs what it costs
    second[counters.PLACE] = 0
    assert [number for number, row in view.worker_rows() if row is not None] == [0]


def test_slots_follow_the_configuration_and_keep_their_workers(
    make_view: Callable[..., StateView],
) -> None:
    view = make_view(workers=3)
    board = view.board
    assert isinstance(board, Board)
    for row, place, leaving in zip(board.rows, (3, 1, 5), (0, 0, 0), strict=True):
        row[counters.PLACE], row[counters.LEAVING] = place, leaving
    rows = view.worker_rows()
    # One that a smaller configuration has no post for, and that has not begun to leave yet, is shown too.
    assert [(number, row is not None) for number, row in rows] == [(0, True), (1, False), (2, True), (4, True)]
    assert rows[0][1] is not None
    assert rows[0][1][counters.PLACE] == 1
    assert len(view.workers()) == 3


def test_all_draining_workers_of_a_slot_are_shown(make_view: Callable[..., StateView]) -> None:
    view = make_view(workers=3)
    for row, leaving in zip(view.board.rows, (1, 0, 1), strict=True):
        row[counters.PLACE], row[counters.LEAVING] = 1, leaving
    rows = view.worker_rows()
    assert [(number, row is not None) for number, row in rows] == [(0, True), (1, False), (2, False), (0, True), (0, True)]


def test_of_two_workers_in_a_slot_the_latest_heartbeat_counts(make_view: Callable[..., StateView]) -> None:
    view = make_view(workers=2)
    for row, place, pid, beat_us in zip(view.board.rows, (1, 1), (10, 11), (9_000_000, 5_000_000), strict=True):
        row[counters.PLACE], row[counters.PID], row[counters.BEAT_US] = place, pid, beat_us
    assert [tuple(worker) for worker in view.workers()] == [(10, 9_000_000), (0, 0)]
    (first, second) = view.worker_rows()
    assert first[1] is not None and first[1][counters.PID] == 10
    assert second == (1, None)


def test_an_instance_that_nobody_steers_says_so(view: StateView) -> None:
    async def ask() -> OrderResult:
        return await view.submit_order(Restart())

    order_result = asyncio.run(ask())
    assert (order_result.is_done, order_result.problems) == (False, ("this instance takes no such order",))
    assert list(view.generations()) == []
