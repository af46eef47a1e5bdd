"""A histogram of latencies: buckets 0.1 % wide, as HdrHistogram's with three digits, made for one list increment a reply.

It is our own because the Python binding of HdrHistogram costs 2 us a value, a third of what a whole request may cost here.
Histograms of several processes are added up, bucket by bucket; a percentile is only ever read from the sum.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Final

SUB_BITS: Final = 10  # each power of two has 2**SUB_BITS buckets
HALF: Final = 1 << SUB_BITS
MAX_BITS: Final = 45  # 2**45 ns are ten hours
BUCKETS: Final = ((MAX_BITS - SUB_BITS) << SUB_BITS) + 2 * HALF


def bucket_of(ns: int) -> int:
    """The index of a latency's bucket. The connections have these lines themselves: a call would cost more than they do."""
    shift = ns.bit_length() - SUB_BITS - 1
    return ns if shift <= 0 else min((shift << SUB_BITS) + (ns >> shift), BUCKETS - 1)


def highest_of(bucket: int) -> int:
    """The highest latency that falls into a bucket: a percentile is never told better than it was."""
    shift = max((bucket >> SUB_BITS) - 1, 0)
    return ((bucket - (shift << SUB_BITS)) << shift) + (1 << shift) - 1


class Histogram:
    """Counts by bucket, of those buckets that have any."""

    def __init__(self, counts: Mapping[int, int] | None = None) -> None:
        self.counts: dict[int, int] = dict(counts or {})

    @classmethod
    def of(cls, dense: Iterable[int]) -> Histogram:
        """Of a whole list of buckets, as a connection counts into."""
        return cls({bucket: count for bucket, count in enumerate(dense) if count})

    def add(self, other: Histogram) -> None:
        for bucket, count in other.counts.items():
            self.counts[bucket] = self.counts.get(bucket, 0) + count

    def record(self, ns: int, count: int = 1) -> None:
        bucket = bucket_of(ns)
        self.counts[bucket] = self.counts.get(bucket, 0) + count

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    def percentile_ns(self, percent: float) -> int:
        """The least latency that at least so many percent stay within; 0 of nothing."""
        # By rank, without interpolation: what lies between two measured latencies was never measured.
        rank = max(math.ceil(self.total * percent / 100 - 1e-9), 1)
        for bucket in sorted(self.counts):
            rank -= self.counts[bucket]
            if rank <= 0:
                return highest_of(bucket)
        return 0

    @property
    def max_ns(self) -> int:
        return highest_of(max(self.counts)) if self.counts else 0

    @property
    def min_ns(self) -> int:
        return highest_of(min(self.counts)) if self.counts else 0

    @property
    def mean_ns(self) -> float:
        total = self.total
        return sum(highest_of(bucket) * count for bucket, count in self.counts.items()) / total if total else 0.0

    @property
    def deviation_ns(self) -> float:
        total, mean = self.total, self.mean_ns
        if not total:
            return 0.0
        return math.sqrt(sum((highest_of(bucket) - mean) ** 2 * count for bucket, count in self.counts.items()) / total)
