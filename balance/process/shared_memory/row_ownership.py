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
from balance.process.shared_memory.locks import ROWS, Locks
from balance.runtime import counters

PATIENCE_S = 1.0  # a holder needs as long as a fork; one that is stopped must not stop us
PAUSE_S = 0.001


class RowOwnership:
    """One supervisor's view of the rows."""

    __slots__ = ("_board", "_locks", "_patience_s")

    def __init__(self, board: Board, locks: Locks, patience_s: float = PATIENCE_S) -> None:
        self._board = board
        self._locks = locks
        self._patience_s = patience_s

    @contextmanager
    def held(self) -> Iterator[bool]:
        """Nobody else takes or clears a row meanwhile. False when another instance does not let go of them."""
        give_up_at = time.monotonic() + self._patience_s
        while not (is_held := self._locks.take(ROWS)) and time.monotonic() < give_up_at:
            time.sleep(PAUSE_S)
        try:
            yield is_held
        finally:
            if is_held:
                self._locks.leave(ROWS)

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

    def take(self, row: int, pid: int) -> None:
        """The row is that process's, which was just born. To be called while held."""
        self._board.rows[row][counters.PID] = pid

    def clear(self, row: int, pid: int) -> int:
        """That process of ours is gone: what it held is free. If the row is somebody else's by now, it stays so.

        Returns how many clients' connections it held.
        """
        with self.held() as is_held:
            if is_held and self._board.rows[row][counters.PID] == pid:
                return self._board.zero_gauges(row)
        return 0

    def sweep(self, ours: Collection[int]) -> None:
        """Clear the rows whose processes are dead and that nobody else will clear. `ours` are not looked at: their departure
        is still to come."""
        if not any(self._is_ghost(row, ours) for row in range(len(self._board.rows))):
            return
        with self.held() as is_held:
            for row in range(len(self._board.rows)) if is_held else ():
                if self._is_ghost(row, ours):
                    self._board.zero_gauges(row)

    def _is_ghost(self, row: int, ours: Collection[int]) -> bool:
        pid = self._board.rows[row][counters.PID]
        return pid != 0 and row not in ours and not is_alive(pid)
