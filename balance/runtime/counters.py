"""Where each number lives on the shared board: the layout of one worker's row of 64-bit cells.

A row has one writer, its worker, so an increment needs no lock; the control process adds the rows up. The layout is the
whole contract between them: no message carries a count, and a worker that dies loses none.

Gauges (marked so) are written from time to time by a timer; the supervisor zeroes them when the worker is gone.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Final

from balance.model import Why
from balance.retry.decision import NOT_RETRIED, RetryOutcome

# --- the head of a row --------------------------------------------------------------------------
PID: Final = 0  # gauge
BEAT_US: Final = 1  # gauge: the monotonic clock at the last tick, microseconds; a stuck worker stops beating
CONNECTIONS: Final = 2  # client connections accepted
CONNECTIONS_OPEN: Final = 3  # gauge
EXCHANGES_OPEN: Final = 4  # gauge: requests being served
BYTES_IN: Final = 5  # from clients, in TCP mode and tunnels; HTTP's stand in the sum of REQUEST_SIZE
BYTES_OUT: Final = 6  # to clients, the same
LAG_US: Final = 7  # gauge: how late the last tick came, microseconds
LAG_MAX_US: Final = 8  # gauge: the worst of the last second
LOG_LINES_LOST: Final = 9  # access lines dropped because nobody took them
SERIES_LOST: Final = 10  # requests counted under no series because the table was full
APPLIED_US: Final = 11  # gauge: the board's states as of then hold here, and the gauges of all backends were written since
CUT: Final = 12  # requests and connections that the end of a drain has cut
PAUSES_SHORT: Final = 13  # times that a listening socket was left alone because descriptors ran short
PAUSES_FULL: Final = 14  # the same, because its listener had max_clients
PAUSED: Final = 15  # gauge: listening sockets that are left alone now
CLIENTS_RECLAIMED: Final = 16  # idle clients that were closed for others
DIALS_FAILED_HERE: Final = 17  # connections to backends that could not be made for want of descriptors, ports or memory of ours

RETRIES_SKIPPED: Final = (
    18  # tries that failed and were not made again: one cell for each reason in NOT_RETRIED, from the first on
)
LEAVING: Final = 29  # gauge: 1 while it accepts nothing new and finishes what it has
GENERATION: Final = 30  # gauge: the number of the configuration that it serves
PLACE: Final = 31  # gauge: 1 + the worker's number, which its successor will have too; 0 in a row that nobody writes

# Gauges that the supervisor zeroes when a worker is gone.
GAUGES: Final = (PID, BEAT_US, CONNECTIONS_OPEN, EXCHANGES_OPEN, LAG_US, LAG_MAX_US, PAUSED, LEAVING, GENERATION, PLACE,
          APPLIED_US)  # fmt: skip

WHY: Final = 32  # how requests and connections ended: one cell for each Why
REQUEST_SIZE: Final = 96  # histogram over SIZE_BUCKETS, then the sum in bytes
RESPONSE_SIZE: Final = 112  # the same

# --- one block for each backend, by its slot; slot 0 stands for "no backend was chosen" -----------
BACKENDS: Final = 128
BLOCK: Final = 64
ACTIVE: Final = 0  # gauge: leases held
IDLE: Final = 1  # gauge: parked connections
OPEN: Final = 2  # gauge: connections, parked or not
LEASES: Final = 3  # requests or connections sent here
CONNECTS: Final = 4
CONNECT_FAILURES: Final = 5
RETRIES: Final = 6  # attempts moved away from this backend
FAILURES: Final = 7  # leases that ended by the backend's fault
SENT_BYTES: Final = 8
RECEIVED_BYTES: Final = 9
TRIALS: Final = 10  # gauge: leases that find out whether the backend is well again
TRIALS_PASSED: Final = 11
TRIALS_FAILED: Final = 12
BLAMED: Final = 13  # leases that speak against the backend: failures and bad answers, where anybody watches
ABORTED: Final = 14  # leases that say nothing about it
UPSTREAM_TIME: Final = 16  # histogram over TIME_BUCKETS_US, then the sum in microseconds: from the choice to the reply's end
REQUEST_TIME: Final = 32  # the same, from the request's first byte to the reply's last
CREDIT: Final = 48  # gauge: permits that this worker holds, where the backend has a limit
WANTED: Final = 49  # gauge: 1 while this worker could use one more
WAITING: Final = 50  # gauge: requests in this worker's queue; of a pool, in the block of its first backend
SESSIONS: Final = 51  # client sessions that began here, where sessions are kept
TCP_SESSIONS: Final = 52  # connections in TCP mode that began here; of nobody's slot, those that found no backend

BLOCK_GAUGES: Final = (ACTIVE, IDLE, OPEN, TRIALS, CREDIT, WANTED, WAITING)

# --- behind the blocks, the series table: requests by backend, method and status ----------------------
# Pairs of (key, count). A worker takes the next free pair when it meets a combination for the first time, so the table
# holds what happened and not all that could.
SERIES_ANYWAY: Final = 2048  # pairs, however few backends there are
SERIES_PER_BACKEND: Final = 4  # and for each one so many more

TIME_BUCKETS_US: Final = (500, 1000, 2500, 5000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
                   1_000_000, 2_500_000, 5_000_000, 10_000_000)  # fmt: skip
TIME_SUM: Final = len(TIME_BUCKETS_US) + 1  # after the buckets and the overflow bucket
SIZE_BUCKETS: Final = (100, 1000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000)
SIZE_SUM: Final = len(SIZE_BUCKETS) + 1

METHODS: Final = ("", "GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "OTHER")
METHOD_CODES: Final = {name.encode(): code for code, name in enumerate(METHODS)}
METHOD_OTHER: Final = METHODS.index("OTHER")  # no label that a client can grow without bound

assert RETRIES_SKIPPED + len(NOT_RETRIED) <= LEAVING
assert len(Why) <= REQUEST_SIZE - WHY
assert REQUEST_SIZE + SIZE_SUM < RESPONSE_SIZE
assert UPSTREAM_TIME + TIME_SUM < REQUEST_TIME
assert REQUEST_TIME + TIME_SUM < CREDIT
assert max(BLOCK_GAUGES) < BLOCK


def row_cells(backend_slots: int) -> int:
    """How many cells a row with room for `backend_slots` backends (slot 0 included) takes."""
    return BACKENDS + BLOCK * backend_slots + 2 * (SERIES_ANYWAY + SERIES_PER_BACKEND * backend_slots)


def series_pairs(row: memoryview) -> range:
    """Where the pairs of the series table begin in a row of row_cells()."""
    slots = (len(row) - BACKENDS - 2 * SERIES_ANYWAY) // (BLOCK + 2 * SERIES_PER_BACKEND)
    return range(BACKENDS + BLOCK * slots, len(row), 2)


def block(slot: int) -> int:
    """The first cell of a backend's block."""
    return BACKENDS + BLOCK * slot


def series_key(slot: int, method: int, status: int) -> int:
    """One combination as one number, never 0 (0 marks a free pair)."""
    return 1 << 48 | slot << 20 | method << 10 | status


def series_parts(key: int) -> tuple[int, int, int]:
    """(slot, method code, status) of a key."""
    return key >> 20 & 0xFFFFFFF, key >> 10 & 0x3FF, key & 0x3FF


def skipped(why: RetryOutcome) -> int:
    """The cell that counts the tries that were not made again for this reason."""
    return RETRIES_SKIPPED + why - NOT_RETRIED[0]


class Row:
    """One worker's cells, with what a bare memoryview cannot do fast: series and histograms."""

    __slots__ = ("_free", "_pairs", "_series", "cells")

    def __init__(self, cells: memoryview) -> None:
        """`cells` is a row of the board, cast to 'Q'. A successor in the row goes on where the last worker stopped."""
        self.cells = cells
        self._series: dict[int, int] = {}
        self._pairs = series_pairs(cells)
        self._free = self._pairs.start
        while self._free < self._pairs.stop and cells[self._free]:
            self._series[cells[self._free]] = self._free + 1
            self._free += 2

    def count_request(self, key: int) -> None:
        """One more request of this series_key()."""
        try:
            self.cells[self._series[key]] += 1
        except KeyError:
            self._first_of_series(key)

    def _first_of_series(self, key: int) -> None:
        if self._free >= self._pairs.stop:
            self.cells[SERIES_LOST] += 1
            return
        self._series[key] = self._free + 1
        self.cells[self._free + 1] = 1  # the count before the key: a reader must not see a key without its count
        self.cells[self._free] = key
        self._free += 2

    def count_exchange(
        self, slot: int, method: bytes, status: int, why: int, request_us: int, upstream_us: int, size_in: int, size_out: int
    ) -> None:
        """One request that ended: everything that is counted of it, in one call because every call costs.

        `slot` is its backend's, 0 for none; times in microseconds, `upstream_us` negative when no backend ended it well.
        """
        cells = self.cells
        base = BACKENDS + BLOCK * slot
        cells[base + SENT_BYTES] += size_in
        cells[base + RECEIVED_BYTES] += size_out
        bucket = bisect_left(TIME_BUCKETS_US, request_us)
        cells[base + (REQUEST_TIME + bucket)] += 1
        cells[base + (REQUEST_TIME + TIME_SUM)] += request_us
        if upstream_us >= 0:
            if bucket and upstream_us <= TIME_BUCKETS_US[bucket - 1]:  # seldom: the two differ by the time before the choice
                bucket = bisect_left(TIME_BUCKETS_US, upstream_us)
            cells[base + (UPSTREAM_TIME + bucket)] += 1
            cells[base + (UPSTREAM_TIME + TIME_SUM)] += upstream_us
        cells[REQUEST_SIZE + bisect_left(SIZE_BUCKETS, size_in)] += 1
        cells[REQUEST_SIZE + SIZE_SUM] += size_in
        cells[RESPONSE_SIZE + bisect_left(SIZE_BUCKETS, size_out)] += 1
        cells[RESPONSE_SIZE + SIZE_SUM] += size_out
        cells[WHY + why] += 1
        key = 1 << 48 | slot << 20 | METHOD_CODES.get(method, METHOD_OTHER) << 10 | status  # series_key(), in line
        try:
            cells[self._series[key]] += 1
        except KeyError:
            self._first_of_series(key)

    def observe_time(self, base: int, us: int) -> None:
        """`us` microseconds into the histogram at cell `base`."""
        cells = self.cells
        cells[base + bisect_left(TIME_BUCKETS_US, us)] += 1
        cells[base + TIME_SUM] += us

    def observe_size(self, base: int, size: int) -> None:
        """`size` bytes into the histogram at cell `base`."""
        cells = self.cells
        cells[base + bisect_left(SIZE_BUCKETS, size)] += 1
        cells[base + SIZE_SUM] += size


def count_moved(row: Row, block: int, from_client: int, from_backend: int) -> None:
    """Bytes that passed unparsed, to and from the backend whose block begins at cell `block`."""
    cells = row.cells
    cells[BYTES_IN] += from_client
    cells[BYTES_OUT] += from_backend
    cells[block + SENT_BYTES] += from_client
    cells[block + RECEIVED_BYTES] += from_backend
