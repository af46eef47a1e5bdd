"""The board: shared over a fork, one writer per row, and nothing counted is ever lost with its worker."""

import os
import signal
from collections.abc import Callable

import pytest

from balance.health.readiness import Stage
from balance.health.states import State
from balance.process.shared_memory.board import Board, Ejection
from balance.runtime import counters
from balance.runtime.row import Row


def in_a_child(work: Callable[[], None]) -> int:
    """Run a callable in a forked child; returns its wait status."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
        finally:
            os._exit(0)
    return os.waitpid(pid, 0)[1]


def test_what_a_child_writes_its_parent_reads() -> None:
    board = Board(workers=2, slots=3)

    def work() -> None:
        board.rows[1][counters.CONNECTIONS] += 5
        board.set_state(2, State.UNHEALTHY, 1234.9)

    in_a_child(work)
    assert board.rows[1][counters.CONNECTIONS] == 5
    assert board.rows[0][counters.CONNECTIONS] == 0
    assert board.state(2) == (State.UNHEALTHY, 1234.0)
    assert board.state(1) == (State.UNKNOWN, 0.0)


def test_a_killed_worker_loses_no_count_and_its_successor_counts_on() -> None:
    board = Board(workers=1, slots=2)
    key = counters.series_key(slot=1, method=1, status=200)

    def work() -> None:
        Row(board.rows[0]).count_request(key)
        os.kill(os.getpid(), signal.SIGKILL)

    assert os.WTERMSIG(in_a_child(work)) == signal.SIGKILL
    board.zero_gauges(0)
    Row(board.rows[0]).count_request(key)
    first = counters.series_pairs(board.rows[0]).start
    assert tuple(board.rows[0][first : first + 4]) == (key, 2, 0, 0)


def test_only_gauges_are_zeroed_and_only_the_dead_workers() -> None:
    board = Board(workers=2, slots=3)
    for row in board.rows:
        for cell in range(len(row)):
            row[cell] = 7
    assert board.zero_gauges(0) == 7  # client connections
    gauges = {*counters.GAUGES, *(counters.block(slot) + cell for slot in range(3) for cell in counters.BLOCK_GAUGES)}
    assert {cell for cell, value in enumerate(board.rows[0]) if value == 0} == gauges
    assert set(board.rows[1]) == {7}


@pytest.mark.parametrize(("worker", "elsewhere"), [(0, 5), (1, 4), (2, 3)])
def test_a_worker_sees_what_the_others_hold_and_not_its_own(worker: int, elsewhere: int) -> None:
    board = Board(workers=3, slots=2)
    for held, row in enumerate(board.rows, start=1):
        row[counters.block(1) + counters.ACTIVE] = held
    assert board.active_elsewhere(worker, range(2)) == [0, elsewhere]
    assert board.active_elsewhere(worker, range(1, 2)) == [elsewhere]
    assert board.active_elsewhere(worker, range(1)) == [0]


def test_rows_and_states_do_not_overlap() -> None:
    board = Board(workers=2, slots=2)
    for row in board.rows:
        row[len(row) - 1] = 2**64 - 1
    board.set_stage(Stage.DRAINING)
    board.count_worker_restart()
    board.count_control_restart()
    board.set_state(1, State.HEALTHY, 5.0)
    assert [row[0] for row in board.rows] == [0, 0]
    assert board.state(0) == (State.UNKNOWN, 0.0)
    assert (board.stage, board.worker_restarts, board.control_restarts) == (Stage.DRAINING, 1, 1)


def test_a_reason_is_kept_beside_the_state_and_cut_where_it_would_not_fit() -> None:
    board = Board(workers=1, slots=3)
    board.set_state(1, State.UNHEALTHY, 5.0, "status 500, expected 200")
    board.set_state(2, State.UNHEALTHY, 5.0, "\u00e9" * 200)
    assert board.reason(1) == "status 500, expected 200"
    assert board.reason(2) == "\u00e9" * 60
    board.set_state(1, State.HEALTHY, 6.0, "ok")
    assert (board.reason(0), board.reason(1)) == ("", "ok")
    assert board.states() == [State.UNKNOWN, State.HEALTHY, State.UNHEALTHY]


def test_columns_are_the_same_cells_in_one_look() -> None:
    board = Board(workers=2, slots=3)
    for worker, row in enumerate(board.rows):
        for slot in range(3):
            row[counters.block(slot) + counters.LEASES] = 10 * slot + worker
    board.evidence(2)[5] = 7
    board.set_ejection(1, Ejection(2, 3, 4))
    assert board.column(counters.LEASES) == [1, 21, 41]
    assert board.evidence_column(5) == [0, 0, 7]
    assert (board.ejection(1), board.ejection(0)) == (Ejection(2, 3, 4), Ejection(0, 0, 0))
    assert board.state(1) == (State.UNKNOWN, 0.0)
