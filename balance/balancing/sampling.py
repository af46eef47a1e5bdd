"""Random choice of one backend by weight, or of two different ones, in constant time unless most are excluded."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Final

from balance.balancing.policy import NO_BACKEND

MAX_TRIES: Final = 8  # then the excluded ones are filtered out; usually they are the few that a request has tried


def sample_pair(rand: Callable[[], float], count: int, avoid: Collection[int]) -> tuple[int, int]:
    """Two indices below `count` that are not in `avoid`; equal when only one is left, NO_BACKEND when none is."""
    if count < 2:
        return (NO_BACKEND, NO_BACKEND) if count == 0 or 0 in avoid else (0, 0)
    for _ in range(MAX_TRIES):
        first = int(rand() * count)
        second = int(rand() * (count - 1))
        if second >= first:
            second += 1
        if not avoid:
            return first, second
        if first in avoid:
            first = second
        elif second in avoid:
            second = first
        if first not in avoid:
            return first, second
    left = [index for index in range(count) if index not in avoid]
    first, second = sample_pair(rand, len(left), ())
    return (NO_BACKEND, NO_BACKEND) if first == NO_BACKEND else (left[first], left[second])


class WeightedSampler:
    """Random indices in proportion to weights, in constant time (Walker's alias method, built as by Vose)."""

    __slots__ = ("_aliases", "_chances", "_count", "_rand", "_weights")

    def __init__(self, rand: Callable[[], float], weights: Sequence[int]) -> None:
        self._rand = rand
        self._count = count = len(weights)
        self._weights = weights
        self._chances: list[float] | None = None  # equal weights need no table
        self._aliases = list(range(count))
        total = sum(weights)
        if not count or min(weights) == max(weights):
            return
        self._chances = chances = [weight * count / total for weight in weights]
        small = [index for index in range(count) if chances[index] < 1.0]
        large = [index for index in range(count) if chances[index] >= 1.0]
        while small and large:
            under, over = small.pop(), large[-1]
            self._aliases[under] = over
            chances[over] -= 1.0 - chances[under]
            if chances[over] < 1.0:
                small.append(large.pop())

    def sample(self) -> int:
        """A random index; there must be at least one."""
        position = self._rand() * self._count
        index = int(position)
        if self._chances is None or position - index < self._chances[index]:
            return index
        return self._aliases[index]

    def sample_excluding(self, avoid: Collection[int]) -> int:
        """A random index that is not in `avoid`; NO_BACKEND when none is left."""
        if not self._count:
            return NO_BACKEND
        for _ in range(MAX_TRIES):
            index = self.sample()
            if index not in avoid:
                return index
        left = [index for index in range(self._count) if index not in avoid]
        if not left:
            return NO_BACKEND
        return left[WeightedSampler(self._rand, [self._weights[index] for index in left]).sample()]
