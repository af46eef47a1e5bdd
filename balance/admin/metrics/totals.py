"""Sums of the workers' counters. Workers write while this reads; each cell is atomic."""

from __future__ import annotations

import math
from collections.abc import Sequence

from balance.runtime import counters


class Totals:
    """Sums over all rows."""

    __slots__ = ("_rows",)

    def __init__(self, rows: Sequence[memoryview]) -> None:
        self._rows = rows

    def cell(self, index: int) -> int:
        """One cell, over all workers."""
        return sum(row[index] for row in self._rows)

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
        counts: dict[tuple[int, int, int, int], int] = {}
        for row in self._rows:
            for index in counters.series_pairs(row):
                key = row[index]
                if not key:
                    break
                parts = counters.series_parts(key)
                counts[parts] = counts.get(parts, 0) + row[index + 1]
        return counts

    def histogram(self, base: int, bounds: Sequence[int], unit: int) -> tuple[list[tuple[float, int]], float]:
        """Cumulative buckets (upper bound, count) and the sum; `unit` converts from the cells' unit."""
        buckets = []
        count = 0
        for index, bound in enumerate((*bounds, math.inf)):
            count += self.cell(base + index)
            buckets.append((bound / unit, count))
        return buckets, self.cell(base + len(bounds) + 1) / unit
