"""weighted-round-robin: nginx's smooth weighted round robin, with exact shares per period and no bursts.

As in nginx (commit 52327e0), each pick adds every backend's weight to its credit, chooses the highest credit and subtracts the
total from it. The sequence is periodic, so it is computed once per ready set: a pick is O(1).
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Collection, Sequence
from functools import lru_cache
from typing import Final

from balance.balancing.policy import NO_BACKEND, Policy
from balance.load import Load

MAX_STEPS: Final = 65_536  # backends x period; a few milliseconds at a rebuild


class WeightedRoundRobin(Policy):
    """Weights 3/2/1 give exactly 3, 2 and 1 of any six requests; 5/1/1 gives a a b a c a a."""

    __slots__ = ("_next", "_sequence", "_weights")

    def __init__(self, rand: Callable[[], float]) -> None:
        super().__init__(rand)
        self._weights: tuple[int, ...] = ()
        self._sequence: Sequence[int] = ()
        self._next = 0

    def rebuild(self, loads: Sequence[Load], members: Sequence[Load] = ()) -> None:
        weights = tuple([load.weight for load in loads])
        if weights != self._weights:
            self._weights = weights
            self._sequence = sequence_of(weights)
        self._next = int(self._rand() * len(self._sequence))  # a flapping backend would always restart the order

    def pick(self, key: bytes, avoid: Collection[int], now: float) -> int:
        sequence = self._sequence
        for _ in range(len(sequence)):
            position = self._next
            self._next = position + 1 if position + 1 < len(sequence) else 0
            index = sequence[position]
            if not avoid or index not in avoid:
                return index
        return NO_BACKEND


@lru_cache(maxsize=8)  # a reload computes it in a thread first; a flapping backend reuses it
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
    """One period of nginx's order, in O(backends x period)."""
    total = sum(shares)
    credit = [0] * len(shares)
    sequence = []
    for _ in range(total):
        for index, share in enumerate(shares):
            credit[index] += share
        highest = max(range(len(shares)), key=credit.__getitem__)
        credit[highest] -= total
        sequence.append(highest)
    return sequence


def spread(shares: Sequence[int]) -> list[int]:
    """One period by earliest deadline first (as in Envoy), in O(period x log backends), for when smooth() takes too long.

    The shares are as exact as smooth()'s; the order may differ.
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
