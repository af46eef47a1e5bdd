"""consistent-hash: a ketama hash ring (Karger 1997); adding or removing a backend moves only its own keys."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from balance.balancing.hash_table import HashTable, WeightedIds
from balance.balancing.hashing import points

POINTS_PER_WEIGHT: Final = 160  # as in nginx and Pingora; the fullest of 10 backends gets about 1.15 of its share
MAX_POINTS: Final = 1 << 18  # 0.1 s to build; above this the points per weight are halved until they fit


class ConsistentHash(HashTable):
    """Less even than maglev, which moves a few more keys; see `docs/BALANCING.md`."""

    __slots__ = ("_points",)
    _points: Sequence[int]

    def build(self, membership: WeightedIds) -> None:
        self._points, self._owners = ring(membership)

    def slot_of(self, key_position: int) -> int:
        slot = bisect_left(self._points, key_position)
        return slot if slot < len(self._points) else 0


def points_per_weight(membership: WeightedIds) -> float:
    """Halved instead of scaled, so that it rarely changes with the number of backends: a change moves keys."""
    total = sum(weight for _, weight in membership)
    each = float(POINTS_PER_WEIGHT)
    while each * total > MAX_POINTS:
        each /= 2
    return each


@lru_cache(maxsize=8)  # a reload that does not change a pool's backends reuses the ring
def ring(membership: WeightedIds) -> tuple[Sequence[int], Sequence[int]]:
    """The points in order, and the owner of each."""
    each = points_per_weight(membership)
    marks = []
    for member, (identity, weight) in enumerate(membership):
        marks += [point << 32 | member for point in points(identity, max(1, round(each * weight)))]
    marks.sort()
    return array("I", [mark >> 32 for mark in marks]), array("I", [mark & 0xFFFFFFFF for mark in marks])
