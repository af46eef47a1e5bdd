"""random: a random backend, in proportion to the weights."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from balance.balancing.policy import Policy
from balance.balancing.sampling import WeightedSampler
from balance.load import Load


class RandomChoice(Policy):
    """Stateless; needs no coordination between workers or instances."""

    __slots__ = ("_lottery",)

    def __init__(self, rand: Callable[[], float]) -> None:
        super().__init__(rand)
        self._lottery = WeightedSampler(rand, ())

    def rebuild(self, loads: Sequence[Load], members: Sequence[Load] = ()) -> None:
        self._lottery = WeightedSampler(self._rand, [load.weight for load in loads])

    def pick(self, key: bytes, avoid: Collection[int], now: float) -> int:
        return self._lottery.sample_excluding(avoid)
