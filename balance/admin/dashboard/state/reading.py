"""All counters of the shared memory at one time, summed over the workers, and the rates between two of them.

A row is added to another as one large integer: each cell is a lane of 64 bits, and no sum of counters overflows its lane. So
200 backends' counters are read in less than a millisecond.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from balance.runtime import counters

_ZEROS = bytes(8 * counters.BLOCK)


class Reading:
    """`head` has the cells of a row before the exemplars, which are no counters; `blocks` those of the blocks of slots."""

    __slots__ = ("at", "blocks", "head", "slots")

    def __init__(self, at: float, head: memoryview, blocks: memoryview, slots: int) -> None:
        """`at` is monotonic, in seconds."""
        self.at = at
        self.head = head
        self.blocks = blocks
        self.slots = slots

    def block(self, slot: int) -> list[int]:
        """The counters of one slot; zeros for a slot that was not in use at the time."""
        start = counters.BLOCK * slot
        return self.blocks[start : start + counters.BLOCK].tolist() if slot < self.slots else [0] * counters.BLOCK

    def raw(self, slot: int) -> bytes:
        """The same as they are in memory: what is equal to another reading has not moved."""
        start = counters.BLOCK * slot
        return self.blocks[start : start + counters.BLOCK].tobytes() if slot < self.slots else _ZEROS

    def sums(self, slots: Sequence[int]) -> list[int]:
        """The counters of some slots together."""
        return _lanes([self.raw(slot) for slot in slots], 8 * counters.BLOCK).tolist()

    def cell(self, slot: int, cell: int) -> int:
        """One counter of a slot."""
        return self.blocks[counters.BLOCK * slot + cell] if slot < self.slots else 0

    def column(self, cell: int) -> list[int]:
        """One counter of every slot."""
        column: list[int] = self.blocks[cell :: counters.BLOCK].tolist()
        return column


def read(rows: Sequence[memoryview], slots: int, now: float) -> Reading:
    """Read now."""
    return Reading(now, _sum(rows, 0, counters.EXEMPLARS), _sum(rows, counters.BACKENDS, counters.block(slots)), slots)


def _sum(rows: Sequence[memoryview], start: int, end: int) -> memoryview:
    if len(rows) == 1:
        return memoryview(rows[0][start:end].tobytes()).cast("Q")
    return _lanes([row[start:end].tobytes() for row in rows], 8 * (end - start))


def _lanes(parts: Sequence[bytes], size: int) -> memoryview:
    """Sums, lane by lane, of parts of that size in bytes."""
    total = sum(int.from_bytes(part, sys.byteorder) for part in parts)
    return memoryview((total & ((1 << 8 * size) - 1)).to_bytes(size, sys.byteorder)).cast("Q")


def quantile(buckets: Sequence[int], bounds_us: Sequence[int], share: float) -> float | None:
    """The quantile of a histogram over those bounds, in seconds, as Prometheus interpolates it; None without a value.

    Above the last bound it is that bound.
    """
    total = sum(buckets)
    if total <= 0:
        return None
    wanted = share * total
    seen = 0
    lower = 0
    for bound, count in zip(bounds_us, buckets, strict=False):
        if count > 0 and seen + count >= wanted:
            return (lower + (bound - lower) * (wanted - seen) / count) / 1e6
        seen += count
        lower = bound
    return lower / 1e6


def rounded(value: float) -> float:
    """To three digits: what is shown, so that a document changes only where something to see has."""
    return float(f"{value:.3g}") if value else 0.0


class SeriesReader:
    """The requests so far by series key. The tables only grow, so the keys that were seen are remembered."""

    __slots__ = ("_calls", "_failures", "_keys", "_parts", "_starts")

    def __init__(self) -> None:
        self._keys: dict[int, list[int]] = {}  # the keys of each row, in the order of its table
        self._parts: dict[int, tuple[int, int, int, int]] = {}
        self._starts: dict[int, range] = {}
        self._failures: set[int] = set()  # those of the keys that count failed tries
        self._calls: set[int] = set()  # those that count gRPC calls by their status

    def read(self, rows: Sequence[memoryview]) -> tuple[dict[int, int], dict[int, int]]:
        """The counts of requests by key, and those of failed tries."""
        counts: dict[int, int] = {}
        for number, row in enumerate(rows):
            keys = self._keys.setdefault(number, [])
            pairs = self._starts.get(number)
            if pairs is None:
                pairs = self._starts[number] = counters.series_pairs(row)
            index = pairs.start + 2 * len(keys)
            while index < pairs.stop and row[index]:
                keys.append(row[index])
                kind = counters.series_parts(row[index])[1]
                if kind == counters.FAILED_TRIES:
                    self._failures.add(row[index])
                elif kind == counters.GRPC_CALLS:
                    self._calls.add(row[index])
                index += 2
            for key, count in zip(keys, row[pairs.start + 1 : pairs.start + 2 * len(keys) : 2].tolist(), strict=False):
                counts[key] = counts.get(key, 0) + count
        for key in self._calls:  # they are among the requests
            counts.pop(key, None)
        failures = {key: counts.pop(key) for key in self._failures if key in counts}
        return counts, failures

    def parts(self, key: int) -> tuple[int, int, int, int]:
        """What a key says."""
        found = self._parts.get(key)
        if found is None:
            found = self._parts[key] = counters.series_parts(key)
        return found
