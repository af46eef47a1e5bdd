"""Smooth weighted round robin: exact shares over any run as long as the sum of the weights, without bursts.

The order is nginx's (commit 52327e0): every pick adds each backend's weight to its credit, takes the richest and
charges it the sum. The sequence repeats, so it is computed once per ready set and then read: a pick is O(1).
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Collection, Sequence
from functools import lru_cache

from balance.balancing.policy import NOBODY, Needs
from balance.load import Load

MAX_STEPS = 65_536  # backends x length of the sequence: a few milliseconds of work at a rebuild


class WeightedRoundRobin:
    """3/2/1 gives exactly 3, 2 and 1 of any six; 5/1/1 gives a a b a c a a."""

    __slots__ = ("_next", "_rand", "_sequence", "_weights")
    needs = Needs.NOTHING

    def __init__(self, rand: Callable[[], float]) -> None:
        self._rand = rand
        self._weights: tuple[int, ...] = ()
        self._sequence: Sequence[int] = ()
        self._next = 0

    def rebuild(self, loads: Sequence[Load], members: Sequence[Load] = ()) -> None:
        weights = tuple([load.weight for load in loads])
        if weights != self._weights:
            self._weights = weights
            self._sequence = sequence_of(weights)
        self._next = int(self._rand() * len(self._sequence))  # a flapping set would always begin at the heaviest

    def pick(self, key: bytes, avoid: Collection[int], now: float) -> int:
        sequence = self._sequence
        for _ in range(len(sequence)):
            position = self._next
            self._next = position + 1 if position + 1 < len(sequence) else 0
            index = sequence[position]
            if not avoid or index not in avoid:
                return index
        return NOBODY


@lru_cache(maxsize=8)  # a reload lays it off the event loop first, and a backend that flaps finds the one it had
def sequence_of(weights: tuple[int, ...]) -> Sequence[int]:
    """One period for these weights."""
    divisor = math.gcd(*weights) or 1
    shares = [weight // divisor for weight in weights]
    if len(shares) * sum(shares) <= MAX_STEPS:
        return smooth(shares)
    if max(shares) == min(shares):
        return range(len(shares))
    return spread(shares)


def smooth(shares: Sequence[int]) -> list[int]:
    """One period of nginx's order. O(backends x period)."""
    total = sum(shares)
    credit = [0] * len(shares)
    sequence = []
    for _ in range(total):
        for index, share in enumerate(shares):
            credit[index] += share
        richest = max(range(len(shares)), key=credit.__getitem__)
        credit[richest] -= total
        sequence.append(richest)
    return sequence


def spread(shares: Sequence[int]) -> list[int]:
    """One period in the order of evenly spaced deadlines (earliest first, as Envoy does it). O(period x log backends).

    The shares are as exact as smooth()'s; neighbours may differ. For sets where smooth() would take too long.
    """
    heap = [(0.5 / share, index, 0) for index, share in enumerate(shares)]
    heapq.heapify(heap)
    sequence = []
    while heap:
        _, index, served = heap[0]
        sequence.append(index)
        served += 1
        if served < shares[index]:
            heapq.heapreplace(heap, ((served + 0.5) / shares[index], index, served))
        else:
            heapq.heappop(heap)
    return sequence
