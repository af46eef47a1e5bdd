"""Who counts on which row of the board, over the two instances that share it during an upgrade.

A row belongs to the process whose number stands in it. It is written by the supervisor that forks, so that the row is taken
before the child has done anything; and rows are taken and cleared under one lock, so that two supervisors never choose the same
one, and neither clears what has just become the other's.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager

from balance.process.os_calls import is_alive
from balance.process.shared_memory.board import Board
from balance.process.shared_memory.locks import ROWS_LOCK, Locks
from balance.runtime import counters

LOCK_TIMEOUT_S = 1.0  # a holder needs as long as a fork; one that is stopped must not stop us
RETRY_INTERVAL_S = 0.001


class RowOwnership:
    """One supervisor's view of the rows."""

    __slots__ = ("_board", "_lock_timeout_s", "_locks")

    def __init__(self, board: Board, locks: Locks, lock_timeout_s: float = LOCK_TIMEOUT_S) -> None:
        self._board = board
        self._locks = locks
        self._lock_timeout_s = lock_timeout_s

    @contextmanager
    def locked(self) -> Iterator[bool]:
        """Nobody else takes or clears a row meanwhile. False when another instance does not let go of them."""
        deadline = time.monotonic() + self._lock_timeout_s
        while not (is_locked := self._locks.take(ROWS_LOCK)) and time.monotonic() < deadline:
            time.sleep(RETRY_INTERVAL_S)
        try:
            yield is_locked
        finally:
            if is_locked:
                self._locks.leave(ROWS_LOCK)

    def is_free(self, row: int) -> bool:
        """Whether no living process counts there; it is clean then. To be asked while held; IndexError for no row."""
        if row >= self._board.max_rows:
            raise IndexError(row)
        self._board.use_row(row)
        pid = self._board.rows[row][counters.PID]
        if pid and is_alive(pid):
            return False  # it may be another instance's: of the one before this one, or of one that is to take over
        self._board.zero_gauges(row)
        return True

    def claim(self, row: int, pid: int) -> None:
        """The row is that process's, which was just born. To be called while held."""
        self._board.rows[row][counters.PID] = pid

    def release(self, row: int, pid: int) -> int:
        """That process of ours is gone: what it held is free. If the row is somebody else's by now, it stays so.

        Returns how many clients' connections it held.
        """
        with self.locked() as is_locked:
            if is_locked and self._board.rows[row][counters.PID] == pid:
                return self._board.zero_gauges(row)
        return 0

    def clear_stale(self, ours: Collection[int]) -> None:
        """Clear the rows whose processes are dead and that nobody else will clear. `ours` are not looked at: their departure
        is still to come."""
        if not any(self._is_stale(row, ours) for row in range(len(self._board.rows))):
            return
        with self.locked() as is_locked:
            for row in range(len(self._board.rows)) if is_locked else ():
                if self._is_stale(row, ours):
                    self._board.zero_gauges(row)

    def _is_stale(self, row: int, ours: Collection[int]) -> bool:
        pid = self._board.rows[row][counters.PID]
        return pid != 0 and row not in ours and not is_alive(pid)
