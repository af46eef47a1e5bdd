"""least-connections: the backend with the fewest active leases per weight, over all workers."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Final

from balance.balancing.policy import NO_BACKEND, Needs, Policy
from balance.balancing.sampling import sample_pair
from balance.load import Load

SCAN_LIMIT: Final = 32  # above it, two random candidates are compared: a scan of 10,000 backends would take a millisecond


class LeastConnections(Policy):
    """Compares (active + 1) / weight. The scan starts after the last choice, so that ties go round-robin."""

    __slots__ = ("_last", "_loads")

    def __init__(self, rand: Callable[[], float]) -> None:
        super().__init__(rand, Needs.OUTCOMES | Needs.ACTIVE_ELSEWHERE)
        self._loads: Sequence[Load] = ()
        self._last = 0

    def rebuild(self, loads: Sequence[Load], members: Sequence[Load] = ()) -> None:
        self._loads = loads
        self._last = int(self._rand() * len(loads))

    def pick(self, key: bytes, avoid: Collection[int], now: float) -> int:
        count = len(self._loads)
        if count > SCAN_LIMIT:
            return self._least(sample_pair(self._rand, count, avoid), (), now)
        start = self._last + 1
        index = self._least((*range(start, count), *range(min(start, count))), avoid, now)
        if index != NO_BACKEND:
            self._last = index
        return index

    def _least(self, candidates: Sequence[int], avoid: Collection[int], now: float) -> int:
        loads = self._loads
        best, best_active, best_weight = NO_BACKEND, 1.0, 0
        for index in candidates:
            if index == NO_BACKEND:
                return NO_BACKEND
            load = loads[index]
            active: float = load.active + load.active_elsewhere + 1
            if load.debt:
                active += load.current_debt(now)
            # active / weight < best_active / best_weight, without dividing
            if active * best_weight < best_active * load.weight and (not avoid or index not in avoid):
                best, best_active, best_weight = index, active, load.weight
        return best
