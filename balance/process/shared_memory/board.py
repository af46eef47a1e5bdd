"""The shared memory of all processes (as Apache's scoreboard): its layout, and who writes each part. The counters of a row:
runtime.counters.

One mapping of a memfd, made before the first fork. Every cell is a 64-bit aligned integer with one writer or a lock:

    supervision row    written by the supervisor         stage, restarts, reloads, number of rows and slots in use
    statuses           written by control                per backend: state, since when, ejections, last hit
    reasons            written by control                per backend: a line of text
    sessions           written by every worker           one cell at a time (session_table); preceded by a random key
    blocks             written by control                addresses that were blocked at run time (access_lists.shared_blocks)
    evidence           written under the backend's lock  per backend: circuit breaker (health.circuit_breaker)
    client counts      written by one worker each        connections per client address (access_lists.client_counts)
    buckets            written by every worker           rate limits: counts in cells of its own (rate_limiting)
    rows               written by one worker each        counters and gauges; the supervisor zeroes the gauges of a dead worker

There are spare rows and slots: workers are replaced and backends added at run time. Pages are allocated when first touched, so
unused ones cost nothing.
"""

from __future__ import annotations

import mmap
import os
import sys
import time
import zlib
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple, overload

from balance.access_lists import client_counts
from balance.access_lists.shared_blocks import CELLS as BLOCK_CELLS
from balance.admin.supervisor_orders import ReloadResult
from balance.health.circuit_breaker import CELLS as EVIDENCE_CELLS
from balance.health.readiness import Stage
from balance.health.states import State
from balance.model import Why
from balance.rate_limiting import bucket_table
from balance.runtime import counters
from balance.runtime.sessions.session_table import CELLS as SESSION_CELLS

CELL_BYTES = 8
TABLE_CELLS = client_counts.TABLE_BYTES // CELL_BYTES

# --- a backend's standing -------------------------------------------------------------------------
_STATE = 0
_SINCE = 1  # seconds since the epoch
_UNTIL_US = 2  # when its ejection is over, on the monotonic clock
_TIMES = 3  # ejections that are not forgotten
_EJECTIONS = 4  # all of them
_LAST_HIT = 5  # when a request was last seen to have chosen it, seconds since the epoch
_STATUS_CELLS = 8

REASON_BYTES = 120  # behind its length
_REASON_CELLS = (REASON_BYTES + CELL_BYTES) // CELL_BYTES

# --- the supervision row --------------------------------------------------------------------------
_STAGE = 0
_CONTROL_RESTARTS = 1
_WORKER_RESTARTS = 2
_ROWS = 3  # in use
_SLOTS = 4  # in use
_GENERATION = 5
_CONTROL_BEAT = 8
_CONNECTIONS_LOST = 20  # with workers that died
_LAST_RELOAD = 9  # 1 + how it ended, 0 where there was none
_STATES_US = 10  # when the last state was written, on the monotonic clock
_RELOADS = 16  # one cell for each ReloadResult
_ADMIN_REFUSED = 24  # one cell for each AdminRefusal; written by control
_CPU_TOLD_US = 32  # the CPU time of all processes that was last told; written by control
_TIME_BUCKETS = 40  # how many bounds there are, and they: of histograms of times, in microseconds
_SUPERVISION_CELLS = 64

_KEY_BYTES = 32
_KEY_CELLS = _KEY_BYTES // CELL_BYTES


class Ejection(NamedTuple):
    """The ejections of a backend."""

    times: int  # those that still lengthen the next one
    until_us: int
    total: int


class Rows(Sequence[memoryview]):
    """The rows in use; a dead worker's row keeps its counters."""

    __slots__ = ("_all", "_supervision")

    def __init__(self, rows: Sequence[memoryview], supervision: memoryview) -> None:
        self._all = rows
        self._supervision = supervision

    def __len__(self) -> int:
        return self._supervision[_ROWS]

    def __iter__(self) -> Iterator[memoryview]:
        return iter(self._all[: self._supervision[_ROWS]])

    @overload
    def __getitem__(self, index: int) -> memoryview: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[memoryview]: ...
    def __getitem__(self, index: int | slice) -> memoryview | Sequence[memoryview]:
        return self._all[: self._supervision[_ROWS]][index]


class Board:
    """The mapping, cut into parts. Inherited by fork."""

    __slots__ = ("_evidence", "_reasons", "_statuses", "_supervision", "blocks", "buckets", "client_counts", "fd", "max_rows",
                 "max_slots", "rows", "session_key", "sessions")  # fmt: skip

    def __init__(
        self, workers: int, slots: int, *, max_rows: int = 0, max_slots: int = 0, inherited_fd: int | None = None
    ) -> None:
        """`workers` rows and `slots` (slot 0 is no backend) are in use; `max_*` is the room.

        `inherited_fd` is the memfd of the instance that is replaced; `max_*` must be what they were there.
        """
        self.max_rows = max(workers, max_rows)
        self.max_slots = max(slots, max_slots)
        row_cells = counters.row_cells(self.max_slots)
        sizes = [
            _SUPERVISION_CELLS,
            _KEY_CELLS,
            SESSION_CELLS,
            BLOCK_CELLS,
            self.max_slots * _STATUS_CELLS,
            self.max_slots * _REASON_CELLS,
            self.max_slots * EVIDENCE_CELLS,
            *[row_cells] * self.max_rows,
            *[TABLE_CELLS] * self.max_rows,
            bucket_table.table_cells(self.max_rows),
        ]
        self.fd, mapping = _mapping(sum(sizes) * CELL_BYTES, inherited_fd)
        memory = memoryview(mapping).cast("Q")
        parts = []
        for size in sizes:
            parts.append(memory[:size])
            memory = memory[size:]
        self._supervision, key, self.sessions, self.blocks, self._statuses, reasons, self._evidence = parts[:7]
        if not any(key):
            key.cast("B")[:] = os.urandom(_KEY_BYTES)
        self.session_key = key.tobytes()  # random, and the same in all processes and in those that replace them
        self._reasons = reasons.cast("B")
        self.rows = Rows(tuple(parts[7 : 7 + self.max_rows]), self._supervision)
        self.client_counts = tuple(part.cast("B") for part in parts[7 + self.max_rows : -1])  # by row
        self.buckets = parts[-1]
        self._supervision[_ROWS] = max(workers, self._supervision[_ROWS])
        self._supervision[_SLOTS] = max(slots, self._supervision[_SLOTS])

    @property
    def slots(self) -> int:
        """How many slots are in use, slot 0 and removed backends included."""
        return self._supervision[_SLOTS]

    @property
    def rows_in_use(self) -> memoryview:
        """The cell that says how many rows are."""
        return self._supervision[_ROWS : _ROWS + 1]

    def use_slots(self, count: int) -> None:
        """Supervisor only: the slots below `count` are in use from now on."""
        self._supervision[_SLOTS] = max(count, self._supervision[_SLOTS])

    def use_row(self, index: int) -> None:
        """Supervisor only: a worker is about to be forked for that row."""
        self._supervision[_ROWS] = max(index + 1, self._supervision[_ROWS])

    def state(self, slot: int) -> tuple[State, float]:
        """A backend's state, and since when (seconds since the epoch, 0.0 before any decision)."""
        base = slot * _STATUS_CELLS
        return State(self._statuses[base + _STATE]), float(self._statuses[base + _SINCE])

    def states(self) -> list[int]:
        """The state of every slot, as numbers, in one read."""
        column: list[int] = self._statuses[_STATE : self.slots * _STATUS_CELLS : _STATUS_CELLS].tolist()
        return column

    def reason(self, slot: int) -> str:
        """Why the backend is in its state; empty before any decision."""
        base = slot * _REASON_CELLS * CELL_BYTES
        size = self._reasons[base]
        return bytes(self._reasons[base + 1 : base + 1 + size]).decode("utf-8", "replace")

    def set_state(self, slot: int, state: State, since: float, reason: str = "") -> None:
        """Control only; or the supervisor, for a slot that gets a new backend."""
        text = reason.encode("utf-8", "replace")[:REASON_BYTES]
        base = slot * _REASON_CELLS * CELL_BYTES
        self._reasons[base] = 0  # a reader in between sees no reason rather than half of two
        self._reasons[base + 1 : base + 1 + len(text)] = text
        self._reasons[base] = len(text)
        base = slot * _STATUS_CELLS
        self._statuses[base + _SINCE] = int(since)
        self._statuses[base + _STATE] = state
        self._supervision[_STATES_US] = max(self._supervision[_STATES_US] + 1, time.monotonic_ns() // 1000)

    @property
    def states_changed_us(self) -> int:
        """When a state was last written, strictly increasing."""
        return self._supervision[_STATES_US]

    def ejection(self, slot: int) -> Ejection:
        """The backend's ejections."""
        base = slot * _STATUS_CELLS
        return Ejection(self._statuses[base + _TIMES], self._statuses[base + _UNTIL_US], self._statuses[base + _EJECTIONS])

    def set_ejection(self, slot: int, ejection: Ejection) -> None:
        """Control only."""
        base = slot * _STATUS_CELLS
        self._statuses[base + _TIMES] = ejection.times
        self._statuses[base + _UNTIL_US] = ejection.until_us
        self._statuses[base + _EJECTIONS] = ejection.total

    def last_hit(self, slot: int) -> int:
        """When the backend was last chosen, to some seconds; since the epoch, 0 for never."""
        return self._statuses[slot * _STATUS_CELLS + _LAST_HIT]

    def set_last_hit(self, slot: int, at: float) -> None:
        """Control only."""
        self._statuses[slot * _STATUS_CELLS + _LAST_HIT] = int(at)

    def evidence(self, slot: int) -> memoryview:
        """One backend's circuit breaker cells: read by all, written under its lock."""
        return self._evidence[slot * EVIDENCE_CELLS : (slot + 1) * EVIDENCE_CELLS]

    def evidence_column(self, cell: int) -> list[int]:
        """One breaker cell of every slot, in one read."""
        column: list[int] = self._evidence[cell : self.slots * EVIDENCE_CELLS : EVIDENCE_CELLS].tolist()
        return column

    def column(self, cell: int) -> list[int]:
        """One counter of every slot, summed over all workers."""
        end = counters.block(self.slots)
        columns = [row[counters.BACKENDS + cell : end : counters.BLOCK].tolist() for row in self.rows]
        return columns[0] if len(columns) == 1 else list(map(sum, zip(*columns, strict=True)))

    @property
    def stage(self) -> Stage:
        return Stage(self._supervision[_STAGE])

    def set_stage(self, stage: Stage) -> None:
        """Supervisor only."""
        self._supervision[_STAGE] = stage

    @property
    def worker_restarts(self) -> int:
        return self._supervision[_WORKER_RESTARTS]

    def count_worker_restart(self) -> None:
        """Supervisor only."""
        self._supervision[_WORKER_RESTARTS] += 1

    @property
    def connections_lost(self) -> int:
        """Client connections that workers held when they died."""
        return self._supervision[_CONNECTIONS_LOST]

    def count_lost_connections(self, count: int) -> None:
        """Supervisor only."""
        self._supervision[_CONNECTIONS_LOST] += count

    @property
    def control_restarts(self) -> int:
        return self._supervision[_CONTROL_RESTARTS]

    def count_control_restart(self) -> None:
        """Supervisor only."""
        self._supervision[_CONTROL_RESTARTS] += 1

    @property
    def control_heartbeat(self) -> int:
        """Changes as long as control's event loop runs."""
        return self._supervision[_CONTROL_BEAT]

    def bump_control_heartbeat(self) -> None:
        """Control only."""
        self._supervision[_CONTROL_BEAT] += 1

    @property
    def generation(self) -> int:
        """The number of the configuration that is served, 1 from the start."""
        return self._supervision[_GENERATION]

    def set_generation(self, number: int) -> None:
        """Supervisor only."""
        self._supervision[_GENERATION] = number

    def reloads(self, result: ReloadResult) -> int:
        """How many reloads had that result."""
        return self._supervision[_RELOADS + result]

    @property
    def last_reload(self) -> ReloadResult | None:
        """The result of the last reload, None before the first."""
        ended = self._supervision[_LAST_RELOAD]
        return ReloadResult(ended - 1) if ended else None

    def count_reload(self, result: ReloadResult) -> None:
        """Supervisor only."""
        self._supervision[_RELOADS + result] += 1
        self._supervision[_LAST_RELOAD] = 1 + result

    @property
    def time_buckets_us(self) -> tuple[int, ...]:
        """The bounds of histograms of times that this memory counts by."""
        first = _TIME_BUCKETS + 1
        return tuple(self._supervision[first : first + self._supervision[_TIME_BUCKETS]]) or counters.TIME_BUCKETS_US

    def set_time_buckets(self, bounds_us: Sequence[int]) -> None:
        """Supervisor only, before anything is counted."""
        for index, bound in enumerate(bounds_us, _TIME_BUCKETS + 1):
            self._supervision[index] = bound
        self._supervision[_TIME_BUCKETS] = len(bounds_us)

    def admin_refusals(self, reason: int) -> int:
        """How many requests to the admin port were refused for that reason, an AdminRefusal."""
        return self._supervision[_ADMIN_REFUSED + reason]

    def count_admin_refusal(self, reason: int) -> None:
        """Control only."""
        self._supervision[_ADMIN_REFUSED + reason] += 1

    @property
    def cpu_told_us(self) -> int:
        """The CPU time of all processes that was last told."""
        return self._supervision[_CPU_TOLD_US]

    def tell_cpu_us(self, us: int) -> None:
        """Control only: it never falls, whoever tells it next."""
        self._supervision[_CPU_TOLD_US] = us

    def clear_slots(self, slots: Collection[int]) -> None:
        """Supervisor only: zero these slots everywhere, before other backends get them."""
        if not slots:
            return
        for slot in slots:
            self.set_state(slot, State.UNKNOWN, 0.0)
            self.set_ejection(slot, Ejection(0, 0, 0))
            self.set_last_hit(slot, 0.0)
            evidence = self.evidence(slot)
            for cell in range(EVIDENCE_CELLS):
                evidence[cell] = 0
            block = counters.block(slot)
            for row in self.rows:
                for cell in range(block, block + counters.BLOCK):
                    row[cell] = 0
        for row in self.rows:
            for entry in range(counters.EXEMPLARS, counters.BACKENDS, counters.EXEMPLAR):
                if row[entry] and row[entry + 1] // (counters.MAX_TIME_BUCKETS + 1) in slots:
                    row[entry] = 0
            for pair in counters.series_pairs(row):
                if not row[pair]:
                    break
                slot, _, _, route = counters.series_parts(row[pair])
                if slot in slots or (route and route in slots):
                    row[pair + 1] = 0

    def is_unused(self, slot: int) -> bool:
        """Whether no worker has a request or connection at the backend in that slot."""
        block = counters.block(slot)
        return not any(row[block + cell] for row in self.rows for cell in counters.BLOCK_GAUGES)

    def zero_gauges(self, index: int) -> int:
        """Zero a dead worker's gauges; its counters stay. Returns how many client connections it held."""
        row = self.rows[index]
        held = row[counters.CONNECTIONS_OPEN]
        client_counts.clear(self.client_counts[index])
        for cell in counters.GAUGES:
            row[cell] = 0
        for slot in range(self.slots):
            block = counters.block(slot)
            for cell in counters.BLOCK_GAUGES:
                if row[block + cell]:  # writing would touch pages of blocks that were never used
                    row[block + cell] = 0
        return held

    def active_elsewhere(self, own: int, slots: range) -> Sequence[int]:
        """Of these slots, one after the other, what all workers but this one have in flight."""
        begin, end = counters.block(slots.start) + counters.ACTIVE, counters.block(slots.stop)
        columns = [row[begin : end : counters.BLOCK].tolist() for index, row in enumerate(self.rows) if index != own]
        return list(map(sum, zip(*columns, strict=True))) if columns else [0] * len(slots)


def layout() -> int:
    """A checksum of the layout: it differs when cells of two versions mean different things."""
    names = {name: value for name, value in vars(counters).items() if name.isupper() and isinstance(value, (int, tuple))}
    own = (
        _SUPERVISION_CELLS,
        SESSION_CELLS,
        BLOCK_CELLS,
        TABLE_CELLS,
        _STATUS_CELLS,
        _REASON_CELLS,
        EVIDENCE_CELLS,
        bucket_table.table_cells(1),
        _RELOADS,
        _LAST_RELOAD,
        _STATES_US,
        _EJECTIONS,
        _ADMIN_REFUSED,
        _CPU_TOLD_US,
        _TIME_BUCKETS,
    )
    return zlib.crc32(repr((sorted(names.items()), own, [*map(str, Why)], [*map(str, State)])).encode())


def _mapping(size: int, inherited_fd: int | None) -> tuple[int, mmap.mmap]:
    """The mapping and its memfd; -1 where there is no memfd."""
    if inherited_fd is not None:
        return inherited_fd, mmap.mmap(inherited_fd, size)
    if sys.platform != "linux":
        return -1, mmap.mmap(-1, size)
    fd = os.memfd_create("balance-board")  # sparse, and not charged before it is touched
    os.ftruncate(fd, size)
    return fd, mmap.mmap(fd, size)
