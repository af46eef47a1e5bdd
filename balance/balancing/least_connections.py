"""The backend with the fewest leases per unit of weight, counted over every worker of this machine."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from balance.balancing.draw import pair
from balance.balancing.policy import NOBODY, Needs
from balance.load import Load

SCAN_LIMIT = 32  # above it two random candidates stand for all: a scan of 10,000 would cost a millisecond


class LeastConnections:
    """Compares (active + 1) / weight. The scan starts after the last choice: ties go round instead of to the first."""

    __slots__ = ("_last", "_loads", "_rand")
    needs = Needs.OUTCOMES | Needs.ELSEWHERE

    def __init__(self, rand: Callable[[], float]) -> None:
        self._rand = rand
        self._loads: Sequence[Load] = ()
        self._last = 0

    def rebuild(self, loads: Sequence[Load], members: Sequence[Load] = ()) -> None:
        self._loads = loads
        self._last = int(self._rand() * len(loads))

    def pick(self, key: bytes, avoid: Collection[int], now: float) -> int:
        count = len(self._loads)
        if count > SCAN_LIMIT:
            return self._least(pair(self._rand, count, avoid), (), now)
        start = self._last + 1
        index = self._least((*range(start, count), *range(min(start, count))), avoid, now)
        if index != NOBODY:
            self._last = index
        return index

    def _least(self, candidates: Sequence[int], avoid: Collection[int], now: float) -> int:
        loads = self._loads
        best, best_active, best_weight = NOBODY, 1.0, 0
        for index in candidates:
            if index == NOBODY:
                return NOBODY
            load = loads[index]
            active: float = load.active + load.elsewhere + 1
            if load.debt:
                active += load.owed(now)
            # active / weight < best_active / best_weight, without dividing
            if active * best_weight < best_active * load.weight and (not avoid or index not in avoid):
                best, best_active, best_weight = index, active, load.weight
        return best
