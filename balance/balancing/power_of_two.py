"""Draw two, take the one with fewer leases for its weight (Mitzenmacher's power of two choices), over all workers."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from balance.balancing.draw import Lottery, pair
from balance.balancing.policy import NOBODY, Needs
from balance.load import Load


class PowerOfTwo:
    """The first is drawn by weight and the second is any other, which must have less to do: an idle pool shares by weight."""

    __slots__ = ("_loads", "_lottery", "_rand")
    needs = Needs.OUTCOMES | Needs.ELSEWHERE

    def __init__(self, rand: Callable[[], float]) -> None:
        self._rand = rand
        self._loads: Sequence[Load] = ()
        self._lottery = Lottery(rand, ())

    def rebuild(self, loads: Sequence[Load], members: Sequence[Load] = ()) -> None:
        self._loads = loads
        self._lottery = Lottery(self._rand, [load.weight for load in loads])

    def pick(self, key: bytes, avoid: Collection[int], now: float) -> int:
        loads = self._loads
        if len(loads) < 2 or avoid:
            index, other = self._among_the_rest(avoid)
        else:
            index = self._lottery.draw()
            other = int(self._rand() * (len(loads) - 1))
            if other >= index:
                other += 1
        if index == other:
            return index
        first, second = loads[index], loads[other]
        first_held: float = first.active + first.elsewhere
        second_held: float = second.active + second.elsewhere
        if first.debt:
            first_held += first.owed(now)
        if second.debt:
            second_held += second.owed(now)
        return other if second_held * first.weight < first_held * second.weight else index

    def _among_the_rest(self, avoid: Collection[int]) -> tuple[int, int]:
        index = self._lottery.draw_beside(avoid)
        other = pair(self._rand, len(self._loads), {*avoid, index})[0]
        return index, index if other == NOBODY else other
