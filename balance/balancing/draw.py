"""Drawing lots among backends: one by weight, or two that are not the same. Constant time but where most are avoided."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from balance.balancing.policy import NOBODY

TRIES = 8  # before the avoided are taken out one by one: they are the few that a request has tried


def pair(rand: Callable[[], float], count: int, avoid: Collection[int]) -> tuple[int, int]:
    """Two indices below `count`, not in `avoid`; the same twice when there is one left, NOBODY when none is."""
    if count < 2:
        return (NOBODY, NOBODY) if count == 0 or 0 in avoid else (0, 0)
    for _ in range(TRIES):
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
    first, second = pair(rand, len(left), ())
    return (NOBODY, NOBODY) if first == NOBODY else (left[first], left[second])


class Lottery:
    """Draws an index as often as its weight says, in constant time (Walker's alias method, as Vose builds it)."""

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
            poor, rich = small.pop(), large[-1]
            self._aliases[poor] = rich
            chances[rich] -= 1.0 - chances[poor]
            if chances[rich] < 1.0:
                small.append(large.pop())

    def draw(self) -> int:
        """An index; there must be one."""
        spot = self._rand() * self._count
        index = int(spot)
        if self._chances is None or spot - index < self._chances[index]:
            return index
        return self._aliases[index]

    def draw_beside(self, avoid: Collection[int]) -> int:
        """The same, but none of `avoid`; NOBODY when none is left."""
        if not self._count:
            return NOBODY
        for _ in range(TRIES):
            index = self.draw()
            if index not in avoid:
                return index
        left = [index for index in range(self._count) if index not in avoid]
        if not left:
            return NOBODY
        return left[Lottery(self._rand, [self._weights[index] for index in left]).draw()]
