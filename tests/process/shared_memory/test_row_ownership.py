"""Who counts on which row: two supervisors over one board never take the same, and what the dead have left is cleared."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest

from balance.process.shared_memory.board import Board
from balance.process.shared_memory.locks import Locks
from balance.process.shared_memory.row_ownership import RowOwnership
from balance.runtime import counters

ROWS_LOCK = 8
SLOT = counters.block(1)


class Case:
    def __init__(self) -> None:
        self.board = Board(0, 2, max_rows=ROWS_LOCK)
        self.locks = Locks()
        self.row_ownership = RowOwnership(self.board, self.locks, lock_timeout_s=0.05)

    def let(self, row: int, pid: int) -> memoryview:
        """A worker of that number counts there, has a post, permits in stock and a trial under way."""
        self.board.use_row(row)
        found: memoryview = self.board.rows[row]
        for cell in (counters.PLACE, SLOT + counters.CREDIT, SLOT + counters.TRIALS, counters.CONNECTIONS):
            found[cell] = 1
        found[counters.PID] = pid
        return found


def gauges(row: memoryview) -> list[int]:
    return [row[cell] for cell in (counters.PID, counters.PLACE, SLOT + counters.CREDIT, SLOT + counters.TRIALS)]


@pytest.fixture
def case() -> Iterator[Case]:
    case = Case()
    yield case
    os.close(case.board.fd)
    os.close(case.locks.fileno())


@pytest.fixture
def dead() -> int:
    """The number of a process that was."""
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return pid


def in_a_child(work: Callable[[], object]) -> None:
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(pid, 0)[1] == 0


def test_a_row_of_a_living_process_is_not_free_and_that_of_a_dead_one_is_cleared(case: Case, dead: int) -> None:
    case.let(0, os.getpid())
    row = case.let(1, dead)
    assert [case.row_ownership.is_free(index) for index in range(3)] == [False, True, True]
    assert gauges(row) == [0, 0, 0, 0]
    assert row[counters.CONNECTIONS] == 1  # what was counted stays counted
    with pytest.raises(IndexError):
        case.row_ownership.is_free(ROWS_LOCK)


def test_a_row_is_cleared_for_the_process_that_had_it_and_for_no_other(case: Case, dead: int) -> None:
    row = case.let(0, os.getpid())
    case.row_ownership.release(0, dead)  # it had the row before, and another instance has taken it since
    assert gauges(row) == [os.getpid(), 1, 1, 1]
    case.row_ownership.release(0, os.getpid())
    assert gauges(row) == [0, 0, 0, 0]


def test_what_the_dead_of_others_have_left_is_swept_and_nothing_else(case: Case, dead: int) -> None:
    ghost, other, mine = case.let(0, dead), case.let(1, os.getpid()), case.let(2, dead)
    taken = case.let(3, 0)  # and nobody is born there yet
    case.row_ownership.clear_stale(ours={2})
    assert gauges(ghost) == [0, 0, 0, 0]
    assert gauges(other) == [os.getpid(), 1, 1, 1]
    assert gauges(mine) == [dead, 1, 1, 1]
    assert gauges(taken) == [0, 1, 1, 1]


def test_while_another_instance_holds_the_rows_nothing_is_cleared(case: Case, dead: int) -> None:
    row = case.let(0, dead)
    other = RowOwnership(case.board, case.locks, lock_timeout_s=0.0)

    def work() -> None:
        with other.locked() as is_locked:
            assert not is_locked
            other.clear_stale(())
            other.release(0, dead)
            assert gauges(row) == [dead, 1, 1, 1]

    with case.row_ownership.locked() as is_locked:
        assert is_locked
        in_a_child(work)
    in_a_child(lambda: other.clear_stale(()))
    assert gauges(row) == [0, 0, 0, 0]


def test_two_instances_that_take_rows_at_once_take_different_ones(case: Case) -> None:
    readable, writable = os.pipe()

    def take_some() -> None:
        row_ownership = RowOwnership(case.board, case.locks, lock_timeout_s=20.0)
        for _ in range(ROWS_LOCK // 2):
            with row_ownership.locked() as is_locked:
                assert is_locked
                row = next(row for row in range(ROWS_LOCK) if row_ownership.is_free(row))
                os.sched_yield()
                row_ownership.claim(row, os.getpid())
            os.write(writable, bytes([row]))

    (begin, go), (end, over) = os.pipe(), os.pipe()
    pids = []
    for _ in range(2):
        pid = os.fork()
        if pid == 0:
            try:
                os.read(begin, 1)
                take_some()
                os.write(writable, b"\xff")
                os.read(end, 1)  # it lives until all rows are taken
            finally:
                os._exit(0)
        pids.append(pid)
    os.write(go, b"xx")
    rows: list[int] = []
    while rows.count(0xFF) < 2:
        rows += os.read(readable, 64)
    os.write(over, b"xx")
    for pid in pids:
        os.waitpid(pid, 0)
    for fd in (begin, go, end, over, readable, writable):
        os.close(fd)
    assert sorted(rows) == [*range(ROWS_LOCK), 0xFF, 0xFF]
