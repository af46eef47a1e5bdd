"""The shared memory that all processes see: where each row lies and who writes it. What a row means: runtime.cells.

One anonymous mapping, made before the first fork, so it has no name to leak and goes with the last process. Every cell
is 64 bits, aligned and has one writer, so nobody locks:

    a row per worker slot     written by that worker          (its gauges are zeroed by the supervisor when it is gone)
    the states row            written by control              (a pair of cells per backend: state, since when)
    the supervision row       written by the supervisor       (the stage, restarts)

Pages are given out by the kernel when first touched: rows and backends that are not used cost nothing.
"""

from __future__ import annotations

import mmap
from collections.abc import Sequence

from balance.health.readiness import Stage
from balance.health.thresholds import State
from balance.runtime import cells

CELL_BYTES = 8

# --- the supervision row --------------------------------------------------------------------------
_STAGE = 0
_CONTROL_RESTARTS = 1
_WORKER_RESTARTS = 2
_SUPERVISION_CELLS = 64


class Board:
    """The mapping, cut into rows. Inherited by fork; what one process writes the others read."""

    __slots__ = ("_states", "_supervision", "rows", "slots")

    def __init__(self, workers: int, slots: int) -> None:
        """`slots`: how many backends there is room for, slot 0 (nobody) included."""
        self.slots = slots
        row_cells = cells.row_cells(slots)
        total = workers * row_cells + 2 * slots + _SUPERVISION_CELLS
        memory = memoryview(mmap.mmap(-1, total * CELL_BYTES)).cast("Q")
        self.rows: Sequence[memoryview] = tuple(
            memory[worker * row_cells : (worker + 1) * row_cells] for worker in range(workers)
        )
        rest = memory[workers * row_cells :]
        self._states = rest[: 2 * slots]
        self._supervision = rest[2 * slots :]

    def state(self, slot: int) -> tuple[State, float]:
        """What control last decided about a backend, and when (seconds since the epoch, 0.0 before any decision)."""
        return State(self._states[2 * slot]), float(self._states[2 * slot + 1])

    def set_state(self, slot: int, state: State, since: float) -> None:
        """For control only."""
        self._states[2 * slot + 1] = int(since)
        self._states[2 * slot] = state

    @property
    def stage(self) -> Stage:
        return Stage(self._supervision[_STAGE])

    def set_stage(self, stage: Stage) -> None:
        """For the supervisor only."""
        self._supervision[_STAGE] = stage

    @property
    def worker_restarts(self) -> int:
        return self._supervision[_WORKER_RESTARTS]

    def count_worker_restart(self) -> None:
        """For the supervisor only."""
        self._supervision[_WORKER_RESTARTS] += 1

    @property
    def control_restarts(self) -> int:
        return self._supervision[_CONTROL_RESTARTS]

    def count_control_restart(self) -> None:
        """For the supervisor only."""
        self._supervision[_CONTROL_RESTARTS] += 1

    def zero_gauges(self, worker: int) -> None:
        """Forget what the dead worker in this slot held. Its counters stay: its successor counts on from there."""
        row = self.rows[worker]
        for cell in cells.GAUGES:
            row[cell] = 0
        for slot in range(self.slots):
            block = cells.block(slot)
            for cell in cells.BLOCK_GAUGES:
                if row[block + cell]:  # writing would touch pages of blocks that were never used
                    row[block + cell] = 0

    def active_elsewhere(self, worker: int, slot: int) -> int:
        """Leases of a backend that all workers but this one hold now."""
        cell = cells.block(slot) + cells.ACTIVE
        return sum(row[cell] for index, row in enumerate(self.rows) if index != worker)
