"""adaptive: of two random backends, the one with the lower latency x leases x handicap / success rate^2 / weight."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Final

from balance.balancing.policy import Needs, Policy
from balance.balancing.sampling import sample_pair
from balance.load import Load

MIN_SUCCESS: Final = 0.05  # a backend that only fails costs 400 times as much, and is still tried now and then


class Adaptive(Policy):
    """Latency as in least-response-time. The success rate is squared, since a failed request is usually sent again."""

    __slots__ = ("_loads",)

    def __init__(self, rand: Callable[[], float]) -> None:
        super().__init__(rand, Needs.LATENCY)
        self._loads: Sequence[Load] = ()

    def rebuild(self, loads: Sequence[Load], members: Sequence[Load] = ()) -> None:
        self._loads = loads

    def pick(self, key: bytes, avoid: Collection[int], now: float) -> int:
        loads = self._loads
        index, other = sample_pair(self._rand, len(loads), avoid)
        if index == other:
            return index
        return other if cost(loads[other], now) < cost(loads[index], now) else index


def cost(load: Load, now: float) -> float:
    """The cost of one more request, comparable between backends."""
    success = max(1.0 - load.failure_rate(now), MIN_SUCCESS)
    return load.expected_cost_s(now) * load.handicap / (load.weight * success * success)
