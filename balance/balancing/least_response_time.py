"""least-response-time: of two random backends, the one with the lower peak EWMA cost (Finagle, linkerd)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from balance.balancing.policy import Needs, Policy
from balance.balancing.sampling import sample_pair
from balance.load import Load


class LeastResponseTime(Policy):
    """Compares Load.expected_cost_s() / weight. Uses this worker's own measurements only: a slow backend is slow for all."""

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
        first, second = loads[index], loads[other]
        return other if second.expected_cost_s(now) * first.weight < first.expected_cost_s(now) * second.weight else index
