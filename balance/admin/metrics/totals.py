"""Sums of the workers' counters. Workers write while this reads; each cell is atomic."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from balance.runtime import counters

Buckets = tuple[list[tuple[float, int]], float]  # cumulative: (upper bound, count); and the sum


class Example(NamedTuple):
    """A traced request as the example of a bucket."""

    trace_id: str
    value: float  # in seconds
    at: float  # seconds since the epoch


class Totals:
    """Sums over all rows."""

    __slots__ = ("_rows",)

    def __init__(self, rows: Sequence[memoryview]) -> None:
        self._rows = rows

    def cell(self, index: int) -> int:
        """One cell, over all workers."""
        return sum(row[index] for row in self._rows)

    def column(self, cell: int, slots: int) -> list[int]:
        """One cell of the blocks of the first `slots` slots, in one read of each row."""
        end = counters.block(slots)
        columns = [row[counters.BACKENDS + cell : end : counters.BLOCK].tolist() for row in self._rows]
        return columns[0] if len(columns) == 1 else list(map(sum, zip(*columns, strict=True)))

    @property
    def bytes_in(self) -> int:
        """From clients, all modes."""
        return self.cell(counters.BYTES_IN) + self.cell(counters.REQUEST_SIZE + counters.SIZE_SUM)

    @property
    def bytes_out(self) -> int:
        """To clients, all modes."""
        return self.cell(counters.BYTES_OUT) + self.cell(counters.RESPONSE_SIZE + counters.SIZE_SUM)

    def series(self) -> dict[tuple[int, int, int, int], int]:
        """Requests by (slot, method code, status, the route's slot), in the order of their first request."""
        return {parts: count for parts, count in self._all_series().items() if parts[1] < counters.FAILED_TRIES}

    def grpc_calls(self) -> dict[tuple[int, int], int]:
        """gRPC calls by (slot, gRPC status), likewise."""
        found = self._all_series().items()
        return {(slot, status): count for (slot, kind, status, _), count in found if kind == counters.GRPC_CALLS}

    def _all_series(self) -> dict[tuple[int, int, int, int], int]:
        counts: dict[tuple[int, int, int, int], int] = {}
        for row in self._rows:
            for index in counters.series_pairs(row):
                key = row[index]
                if not key:
                    break
                parts = counters.series_parts(key)
                counts[parts] = counts.get(parts, 0) + row[index + 1]
        return counts

    def histogram(self, base: int, bounds: Sequence[int], unit: int) -> Buckets:
        """A histogram of sizes, whose sum is behind its buckets; `unit` converts from the cells' unit."""
        counts = [self.cell(base + index) for index in range(len(bounds) + 1)]
        return cumulative(counts, bounds, unit), self.cell(base + len(bounds) + 1) / unit

    def times(self, base: int, bounds_us: Sequence[int]) -> Buckets:
        """A histogram of times, in seconds."""
        counts = [self.cell(base + index) for index in range(len(bounds_us) + 1)]
        return cumulative(counts, bounds_us, 1_000_000), self.cell(base + counters.TIME_SUM) / 1_000_000

    def examples(self) -> dict[tuple[int, int], Example]:
        """The newest traced request by (slot, bucket of its histogram of requests), of those that are remembered."""
        found: dict[tuple[int, int], Example] = {}
        for row in self._rows:
            for entry in range(counters.EXEMPLARS, counters.BACKENDS, counters.EXEMPLAR):
                at_us, number, us, high, low = row[entry : entry + counters.EXEMPLAR].tolist()
                if not at_us or row[entry] != at_us:  # none, or it is being written
                    continue
                key = divmod(number, counters.MAX_TIME_BUCKETS + 1)
                known = found.get(key)
                if known is None or known.at < at_us / 1e6:
                    found[key] = Example(f"{high:016x}{low:016x}", us / 1e6, at_us / 1e6)
        return found


def cumulative(counts: Sequence[int], bounds: Sequence[int], unit: int) -> list[tuple[float, int]]:
    """The buckets of a histogram from the counts of each."""
    buckets = []
    count = 0
    for bound, each in zip((*bounds, math.inf), counts, strict=True):
        count += each
        buckets.append((bound / unit, count))
    return buckets
