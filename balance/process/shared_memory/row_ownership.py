"""Which process owns which worker row, across the two instances that share memory during an upgrade.

A row belongs to the process whose pid it holds. The supervisor writes the pid right after the fork; claiming and releasing rows
happens under one lock, so that two supervisors never take the same row and neither clears the other's.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager

from balance.process.os_calls import is_alive
from balance.process.shared_memory.board import Board
from balance.process.shared_memory.locks import ROWS_LOCK, Locks
from balance.runtime import counters

LOCK_TIMEOUT_S = 1.0  # a holder needs as long as a fork; a stopped one must not block us
RETRY_INTERVAL_S = 0.001


class RowOwnership:
    """The rows as one supervisor uses them."""

    __slots__ = ("_board", "_lock_timeout_s", "_locks")

    def __init__(self, board: Board, locks: Locks, lock_timeout_s: float = LOCK_TIMEOUT_S) -> None:
        self._board = board
        self._locks = locks
        self._lock_timeout_s = lock_timeout_s

    @contextmanager
    def locked(self) -> Iterator[bool]:
        """Hold the lock of the rows. Yields False when another instance does not release it in time."""
        deadline = time.monotonic() + self._lock_timeout_s
        while not (is_locked := self._locks.take(ROWS_LOCK)) and time.monotonic() < deadline:
            time.sleep(RETRY_INTERVAL_S)
        try:
            yield is_locked
        finally:
            if is_locked:
                self._locks.leave(ROWS_LOCK)

    def is_free(self, row: int) -> bool:
        """Whether no live process owns the row; its gauges are zero then. Call while locked. IndexError beyond the last row."""
        if row >= self._board.max_rows:
            raise IndexError(row)
        self._board.use_row(row)
        pid = self._board.rows[row][counters.PID]
        if pid and is_alive(pid):
            return False  # it may be another instance's worker
        self._board.zero_gauges(row)
        return True

    def claim(self, row: int, pid: int) -> None:
        """Give the row to a process that was just forked. Call while locked."""
        self._board.rows[row][counters.PID] = pid

    def release(self, row: int, pid: int) -> int:
        """Zero the row of a dead child, unless another process owns it by now. Returns its number of client connections."""
        with self.locked() as is_locked:
            if is_locked and self._board.rows[row][counters.PID] == pid:
                return self._board.zero_gauges(row)
        return 0

    def clear_stale(self, ours: Collection[int]) -> None:
        """Zero the rows of dead processes, except `ours`, which are reaped by this supervisor."""
        if not any(self._is_stale(row, ours) for row in range(len(self._board.rows))):
            return
        with self.locked() as is_locked:
            for row in range(len(self._board.rows)) if is_locked else ():
                if self._is_stale(row, ours):
                    self._board.zero_gauges(row)

    def _is_stale(self, row: int, ours: Collection[int]) -> bool:
        pid = self._board.rows[row][counters.PID]
        return pid != 0 and row not in ours and not is_alive(pid)
