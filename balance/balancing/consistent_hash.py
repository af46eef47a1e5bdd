"""The same key to the same backend, on a ring (Karger 1997, in ketama's manner): only the keys of who leaves or comes move."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Sequence
from functools import lru_cache

from balance.balancing.hashing import points
from balance.balancing.table import Membership, Table

POINTS = 160  # for a weight of 1, as nginx and Pingora have it: the fullest of 10 backends has some 1.15 of its share
MOST_POINTS = 1 << 18  # a tenth of a second to lay; above it a weight gets half as many, or half of those, until they fit


class ConsistentHash(Table):
    """Uneven by nature, see `docs/BALANCING.md`; maglev is even, and moves a few more keys."""

    __slots__ = ("_points",)
    _points: Sequence[int]

    def lay(self, membership: Membership) -> None:
        self._points, self._owners = ring(membership)

    def place(self, spot: int) -> int:
        place = bisect_left(self._points, spot)
        return place if place < len(self._points) else 0


def points_per_weight(membership: Membership) -> float:
    """Halved as often as it takes, rather than scaled: so it seldom changes with the membership, which would move keys."""
    total = sum(weight for _, weight in membership)
    each = float(POINTS)
    while each * total > MOST_POINTS:
        each /= 2
    return each


@lru_cache(maxsize=8)  # a reload that leaves a pool's members alone lays nothing
def ring(membership: Membership) -> tuple[Sequence[int], Sequence[int]]:
    """The points in order, and whose each is."""
    each = points_per_weight(membership)
    marks = []
    for member, (identity, weight) in enumerate(membership):
        marks += [point << 32 | member for point in points(identity, max(1, round(each * weight)))]
    marks.sort()
    return array("I", [mark >> 32 for mark in marks]), array("I", [mark & 0xFFFFFFFF for mark in marks])
