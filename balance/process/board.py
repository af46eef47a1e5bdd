"""The shared memory that all processes see: where each part lies and who writes it. What a row means: runtime.cells.

One anonymous mapping, made before the first fork, so it has no name to leak and goes with the last process. Every cell
is 64 bits and aligned, and has one writer or a lock:

    a row per worker slot     written by that worker          (its gauges are zeroed by the supervisor when it is gone)
    the standings             written by control              (a few cells per backend: its state, since when, ejections)
    the reasons               written by control              (a line of text per backend)
    the evidence              written by whoever holds the backend's lock: what workers must agree on (health.breaker)
    the supervision row       written by the supervisor       (the stage, restarts)
    the sessions              written by every worker, a cell at a time (runtime.sessions)

Pages are given out by the kernel when first touched: rows and backends that are not used cost nothing.
"""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from typing import NamedTuple

from balance.health.breaker import CELLS as EVIDENCE_CELLS
from balance.health.readiness import Stage
from balance.health.states import State
from balance.runtime import cells
from balance.runtime.sessions import CELLS as SESSION_CELLS

CELL_BYTES = 8

# --- a backend's standing -------------------------------------------------------------------------
_STATE = 0
_SINCE = 1  # seconds since the epoch
_UNTIL_US = 2  # when its ejection is over, on the monotonic clock
_TIMES = 3  # ejections that are not forgotten
_EJECTIONS = 4  # all of them
_STANDING_CELLS = 8

REASON_BYTES = 120  # behind its length
_REASON_CELLS = (REASON_BYTES + CELL_BYTES) // CELL_BYTES

# --- the supervision row --------------------------------------------------------------------------
_STAGE = 0
_CONTROL_RESTARTS = 1
_WORKER_RESTARTS = 2
_SUPERVISION_CELLS = 64


class Ejection(NamedTuple):
    """What is remembered of a backend's ejections."""

    times: int  # those that still lengthen the next one
    until_us: int
    total: int


class Board:
    """The mapping, cut into parts. Inherited by fork; what one process writes the others read."""

    __slots__ = ("_evidence", "_reasons", "_standings", "_supervision", "rows", "sessions", "slots")

    def __init__(self, workers: int, slots: int) -> None:
        """`slots`: how many backends there is room for, slot 0 (nobody) included."""
        self.slots = slots
        row_cells = cells.row_cells(slots)
        sizes = [row_cells] * workers + [
            slots * _STANDING_CELLS,
            slots * _REASON_CELLS,
            slots * EVIDENCE_CELLS,
            _SUPERVISION_CELLS,
            SESSION_CELLS,
        ]
        memory = memoryview(mmap.mmap(-1, sum(sizes) * CELL_BYTES)).cast("Q")
        parts = []
        for size in sizes:
            parts.append(memory[:size])
            memory = memory[size:]
        self.rows: Sequence[memoryview] = tuple(parts[:workers])
        self._standings, reasons, self._evidence, self._supervision, self.sessions = parts[workers:]
        self._reasons = reasons.cast("B")

    def state(self, slot: int) -> tuple[State, float]:
        """What control last decided about a backend, and when (seconds since the epoch, 0.0 before any decision)."""
        base = slot * _STANDING_CELLS
        return State(self._standings[base + _STATE]), float(self._standings[base + _SINCE])

    def states(self) -> list[int]:
        """The state of every slot as a number, in one look."""
        column: list[int] = self._standings[_STATE::_STANDING_CELLS].tolist()
        return column

    def reason(self, slot: int) -> str:
        """Why it is in that state, empty before any decision."""
        base = slot * _REASON_CELLS * CELL_BYTES
        size = self._reasons[base]
        return bytes(self._reasons[base + 1 : base + 1 + size]).decode("utf-8", "replace")

    def set_state(self, slot: int, state: State, since: float, reason: str = "") -> None:
        """For control only."""
        text = reason.encode("utf-8", "replace")[:REASON_BYTES]
        base = slot * _REASON_CELLS * CELL_BYTES
        self._reasons[base] = 0  # a reader in between sees no reason rather than half of two
        self._reasons[base + 1 : base + 1 + len(text)] = text
        self._reasons[base] = len(text)
        base = slot * _STANDING_CELLS
        self._standings[base + _SINCE] = int(since)
        self._standings[base + _STATE] = state

    def ejection(self, slot: int) -> Ejection:
        """What is remembered of this backend's ejections."""
        base = slot * _STANDING_CELLS
        return Ejection(self._standings[base + _TIMES], self._standings[base + _UNTIL_US], self._standings[base + _EJECTIONS])

    def set_ejection(self, slot: int, ejection: Ejection) -> None:
        """For control only."""
        base = slot * _STANDING_CELLS
        self._standings[base + _TIMES] = ejection.times
        self._standings[base + _UNTIL_US] = ejection.until_us
        self._standings[base + _EJECTIONS] = ejection.total

    def evidence(self, slot: int) -> memoryview:
        """One backend's evidence: read by all, written under its lock."""
        return self._evidence[slot * EVIDENCE_CELLS : (slot + 1) * EVIDENCE_CELLS]

    def evidence_column(self, cell: int) -> list[int]:
        """One cell of every slot's evidence, in one look."""
        column: list[int] = self._evidence[cell::EVIDENCE_CELLS].tolist()
        return column

    def column(self, cell: int) -> list[int]:
        """One cell of every backend's block, over all workers, by slot."""
        columns = [row[cells.BACKENDS + cell :: cells.BLOCK].tolist() for row in self.rows]
        return columns[0] if len(columns) == 1 else list(map(sum, zip(*columns, strict=True)))

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
