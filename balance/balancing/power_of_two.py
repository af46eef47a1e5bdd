"""power-of-two: of two random backends, the one with fewer leases per weight over all workers (Mitzenmacher)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from balance.balancing.policy import NO_BACKEND, Needs, Policy
from balance.balancing.sampling import WeightedSampler, sample_pair
from balance.load import Load


class PowerOfTwo(Policy):
    """The first is chosen by weight; the second, any other, wins only with less load: an idle pool shares by weight."""

    __slots__ = ("_loads", "_lottery")

    def __init__(self, rand: Callable[[], float]) -> None:
        super().__init__(rand, Needs.OUTCOMES | Needs.ACTIVE_ELSEWHERE)
        self._loads: Sequence[Load] = ()
        self._lottery = WeightedSampler(rand, ())

    def rebuild(self, loads: Sequence[Load], members: Sequence[Load] = ()) -> None:
        self._loads = loads
        self._lottery = WeightedSampler(self._rand, [load.weight for load in loads])

    def pick(self, key: bytes, avoid: Collection[int], now: float) -> int:
        loads = self._loads
        if len(loads) < 2 or avoid:
            index, other = self._among_the_rest(avoid)
        else:
            index = self._lottery.sample()
            other = int(self._rand() * (len(loads) - 1))
            if other >= index:
                other += 1
        if index == other:
            return index
        first, second = loads[index], loads[other]
        first_held: float = first.active + first.active_elsewhere
        second_held: float = second.active + second.active_elsewhere
        if first.debt:
            first_held += first.current_debt(now)
        if second.debt:
            second_held += second.current_debt(now)
        return other if second_held * first.weight < first_held * second.weight else index

    def _among_the_rest(self, avoid: Collection[int]) -> tuple[int, int]:
        index = self._lottery.sample_excluding(avoid)
        other = sample_pair(self._rand, len(self._loads), {*avoid, index})[0]
        return index, index if other == NO_BACKEND else other
