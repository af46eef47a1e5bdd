"""Chance alone: each backend as often as its weight says, whatever it has to do. Needs no memory and no agreement."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from balance.balancing.draw import Lottery
from balance.balancing.policy import Needs
from balance.load import Load


class RandomChoice:
    """The plainest way to keep many balancers apart; its bursts are what the others are measured against."""

    __slots__ = ("_lottery", "_rand")
    needs = Needs.NOTHING

    def __init__(self, rand: Callable[[], float]) -> None:
        self._rand = rand
        self._lottery = Lottery(rand, ())

    def rebuild(self, loads: Sequence[Load], members: Sequence[Load] = ()) -> None:
        self._lottery = Lottery(self._rand, [load.weight for load in loads])

    def pick(self, key: bytes, avoid: Collection[int], now: float) -> int:
        return self._lottery.draw_beside(avoid)
