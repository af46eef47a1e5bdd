"""The backend furthest below its share of the leases; those level with it take weighted turns (nginx's least_conn)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from balance.balancing.least_connections import SCAN_LIMIT
from balance.balancing.policy import NOBODY, Needs
from balance.balancing.power_of_two import PowerOfTwo
from balance.load import Load


class WeightedLeastConnections:
    """Compares active / weight, so that in an idle pool all are level and share exactly by weight.

    least-connections asks who would be least loaded with one more, which of an idle pool is always the heaviest.
    """

    __slots__ = ("_credit", "_loads", "_rand", "_two")
    needs = Needs.OUTCOMES | Needs.ELSEWHERE

    def __init__(self, rand: Callable[[], float]) -> None:
        self._rand = rand
        self._loads: Sequence[Load] = ()
        self._credit: list[float] = []
        self._two = PowerOfTwo(rand)

    def rebuild(self, loads: Sequence[Load], members: Sequence[Load] = ()) -> None:
        if len(loads) > SCAN_LIMIT:
            self._two.rebuild(loads)
        # Those that stay keep their turn, so that a flap does not always begin at the heaviest. Chance, being less than 1, only
        # breaks ties: workers don't all begin at the first.
        credit = dict(zip(self._loads, self._credit, strict=True))
        self._credit = [credit[load] if load in credit else self._rand() for load in loads]
        self._loads = loads

    def pick(self, key: bytes, avoid: Collection[int], now: float) -> int:
        loads = self._loads
        if len(loads) > SCAN_LIMIT:
            return self._two.pick(key, avoid, now)
        level: list[int] = []
        least, least_weight = 1.0, 0
        for index, load in enumerate(loads):
            if avoid and index in avoid:
                continue
            active: float = load.active + load.elsewhere
            if load.debt:
                active += load.owed(now)
            mine, best = active * least_weight, least * load.weight
            if mine < best:
                level = [index]
                least, least_weight = active, load.weight
            elif mine == best:
                level.append(index)
        return self._turn(level)

    def _turn(self, level: Sequence[int]) -> int:
        """Smooth weighted round robin among those that are level."""
        if len(level) < 2:
            return level[0] if level else NOBODY
        loads, credit = self._loads, self._credit
        total, richest = 0, level[0]
        for index in level:
            weight = loads[index].weight
            credit[index] += weight
            total += weight
            if credit[index] > credit[richest]:
                richest = index
        credit[richest] -= total
        return richest
