"""Draw two, take the one that is likely to cost less in all: latency x leases x handicap / success^2 / weight."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from balance.balancing.draw import pair
from balance.balancing.policy import Needs
from balance.load import Load

LEAST_SUCCESS = 0.05  # one that only fails is 400 times as costly: tried now and then, not forgotten


class Adaptive:
    """Latency as least-response-time sees it. Success counts squared: an answer that must be asked for again costs twice."""

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
        return other if cost(loads[other], now) < cost(loads[index], now) else index


def cost(load: Load, now: float) -> float:
    """What one more request is likely to cost, comparable between backends."""
    success = max(1.0 - load.failing(now), LEAST_SUCCESS)
    return load.expected_s(now) * load.handicap / (load.weight * success * success)
