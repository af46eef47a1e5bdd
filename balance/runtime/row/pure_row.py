"""The row in Python: what an increment of each cell is. native_row.c does the same; a change here is one there."""

from __future__ import annotations

from bisect import bisect_left
from typing import Final

from balance.runtime.counters import (
    BACKENDS,
    BLOCK,
    BYTES_IN,
    BYTES_OUT,
    EXEMPLAR,
    EXEMPLAR_ENTRIES,
    EXEMPLARS,
    MAX_TIME_BUCKETS,
    METHOD_CODES,
    METHOD_OTHER,
    RECEIVED_BYTES,
    REQUEST_SIZE,
    REQUEST_TIME,
    RESPONSE_SIZE,
    ROUTE_HITS,
    SENT_BYTES,
    SERIES_LOST,
    SIZE_BUCKETS,
    SIZE_SUM,
    TIME_BUCKETS_US,
    TIME_SUM,
    UPSTREAM_TIME,
    WHY,
    series_pairs,
)

# A method of an imported name is looked up anew at each call: CPython takes the name for a module's.
_code_of: Final = METHOD_CODES.get


class Row:
    """One worker's row, with methods for series and histograms."""

    __slots__ = ("_bounds", "_free", "_pairs", "_series", "cells")

    def __init__(self, cells: memoryview, time_buckets_us: tuple[int, ...] = TIME_BUCKETS_US) -> None:
        """`cells` is a row of the board, cast to 'Q'. A worker that takes over a row continues its series.

        `time_buckets_us` are the bounds of its histograms of times, at most MAX_TIME_BUCKETS.
        """
        self.cells = cells
        self._bounds = time_buckets_us
        self._series: dict[int, int] = {}
        self._pairs = series_pairs(cells)
        self._free = self._pairs.start
        while self._free < self._pairs.stop and cells[self._free]:
            self._series[cells[self._free]] = self._free + 1
            self._free += 2

    def count_request(self, key: int) -> None:
        """Add one to the series of this series_key()."""
        try:
            self.cells[self._series[key]] += 1
        except KeyError:
            self._first_of_series(key)

    def _first_of_series(self, key: int) -> None:
        if not key:
            raise ValueError("a series has a key")
        if self._free >= self._pairs.stop:
            self.cells[SERIES_LOST] += 1
            return
        self._series[key] = self._free + 1
        self.cells[self._free + 1] = 1  # the count before the key: a reader must not see a key without its count
        self.cells[self._free] = key
        self._free += 2

    def count_exchange(
        self,
        slot: int,
        route: int,
        method: bytes,
        status: int,
        why: int,
        request_us: int,
        upstream_us: int,
        size_in: int,
        size_out: int,
        route_block: int,
    ) -> None:
        """Count everything of one request that ended, in one call for speed.

        `slot` is its backend's, 0 for none; `route` is the series_route() of its route. Times in microseconds; `upstream_us` is
        negative when no backend completed it. Sizes in bytes. `route_block` is the first cell of its route's block, 0 for none.
        """
        cells = self.cells
        base = BACKENDS + BLOCK * slot
        cells[base + SENT_BYTES] += size_in
        cells[base + RECEIVED_BYTES] += size_out
        bounds = self._bounds
        bucket = bisect_left(bounds, request_us)
        cells[base + (REQUEST_TIME + bucket)] += 1
        cells[base + (REQUEST_TIME + TIME_SUM)] += request_us
        if upstream_us >= 0:
            if bucket and upstream_us <= bounds[bucket - 1]:  # rare: the times differ by the time before the choice
                bucket = bisect_left(bounds, upstream_us)
            cells[base + (UPSTREAM_TIME + bucket)] += 1
            cells[base + (UPSTREAM_TIME + TIME_SUM)] += upstream_us
        cells[REQUEST_SIZE + bisect_left(SIZE_BUCKETS, size_in)] += 1
        cells[REQUEST_SIZE + SIZE_SUM] += size_in
        cells[RESPONSE_SIZE + bisect_left(SIZE_BUCKETS, size_out)] += 1
        cells[RESPONSE_SIZE + SIZE_SUM] += size_out
        cells[WHY + why] += 1
        if route_block:
            cells[route_block + ROUTE_HITS] += 1
        key = route | slot << 20 | _code_of(method, METHOD_OTHER) << 10 | status  # series_key(), inlined
        try:
            cells[self._series[key]] += 1
        except KeyError:
            self._first_of_series(key)

    def observe_time(self, base: int, us: int) -> None:
        """Add `us` microseconds to the histogram at cell `base`."""
        cells = self.cells
        cells[base + bisect_left(self._bounds, us)] += 1
        cells[base + TIME_SUM] += us

    def note_exemplar(self, slot: int, request_us: int, trace_id: bytes, epoch_s: float) -> None:
        """Remember the trace of a request that ended, as the example of its bucket of REQUEST_TIME. `trace_id`: 16 bytes."""
        number = slot * (MAX_TIME_BUCKETS + 1) + bisect_left(self._bounds, request_us)
        entry = EXEMPLARS + EXEMPLAR * (number % EXEMPLAR_ENTRIES)
        cells = self.cells
        cells[entry] = 0  # a reader in between sees none rather than half of two
        cells[entry + 1] = number
        cells[entry + 2] = request_us
        cells[entry + 3] = int.from_bytes(trace_id[:8], "big")
        cells[entry + 4] = int.from_bytes(trace_id[8:], "big")
        cells[entry] = int(epoch_s * 1e6)

    def observe_size(self, base: int, size: int) -> None:
        """Add `size` bytes to the histogram at cell `base`."""
        cells = self.cells
        cells[base + bisect_left(SIZE_BUCKETS, size)] += 1
        cells[base + SIZE_SUM] += size

    def count_one(self, cell: int) -> None:
        """Add 1 to a cell."""
        self.cells[cell] += 1

    def count_moved(self, block: int, from_client: int, from_backend: int) -> None:
        """Count bytes of TCP mode or a tunnel, to and from the backend whose block begins at cell `block`."""
        cells = self.cells
        cells[BYTES_IN] += from_client
        cells[BYTES_OUT] += from_backend
        cells[block + SENT_BYTES] += from_client
        cells[block + RECEIVED_BYTES] += from_backend
