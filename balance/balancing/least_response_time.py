"""Draw two, take the one that is expected to answer sooner: peak EWMA, as Finagle and linkerd have it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from balance.balancing.draw import pair
from balance.balancing.policy import Needs
from balance.load import Load


class LeastResponseTime:
    """Compares Load.expected_s() / weight. Needs no word from other workers: what is slow is slow for each of them."""

    __slots__ = ("_loads", "_rand")
    needs = Needs.LATENCY

    def __init__(self, rand: Callable[[], float]) -> None:
        self._rand = rand
        self._loads: Sequence[Load] = ()

    def rebuild(self, loads: Sequence[Load], members: Sequence[Load] = ()) -> None:
        self._loads = loads

    def pick(self, key: bytes, avoid: Collection[int], now: float) -> int:
        loads = self._loads
        index, other = pair(self._rand, len(loads), avoid)
        if index == other:
            return index
        first, second = loads[index], loads[other]
        return other if second.expected_s(now) * first.weight < first.expected_s(now) * second.weight else index
