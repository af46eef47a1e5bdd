"""weighted-least-connections: the fewest leases per weight; ties by smooth weighted round robin (nginx's least_conn)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from balance.balancing.least_connections import SCAN_LIMIT
from balance.balancing.policy import NO_BACKEND, Needs, Policy
from balance.balancing.power_of_two import PowerOfTwo
from balance.load import Load


class WeightedLeastConnections(Policy):
    """Compares active / weight, so that an idle pool is all ties and shares exactly by weight.

    least-connections compares (active + 1) / weight, which in an idle pool always chooses the highest weight.
    """

    __slots__ = ("_credit", "_loads", "_two")

    def __init__(self, rand: Callable[[], float]) -> None:
        super().__init__(rand, Needs.OUTCOMES | Needs.ACTIVE_ELSEWHERE)
        self._loads: Sequence[Load] = ()
        self._credit: list[float] = []
        self._two = PowerOfTwo(rand)

    def rebuild(self, loads: Sequence[Load], members: Sequence[Load] = ()) -> None:
        if len(loads) > SCAN_LIMIT:
            self._two.rebuild(loads)
        # Backends that stay keep their credit, so that a flapping backend does not restart the order at the highest weight. The
        # random start, less than 1, only breaks ties, so that workers do not all begin with the first backend.
        credit = dict(zip(self._loads, self._credit, strict=True))
        self._credit = [credit[load] if load in credit else self._rand() for load in loads]
        self._loads = loads

    def pick(self, key: bytes, avoid: Collection[int], now: float) -> int:
        loads = self._loads
        if len(loads) > SCAN_LIMIT:
            return self._two.pick(key, avoid, now)
        tied: list[int] = []
        least, least_weight = 1.0, 0
        for index, load in enumerate(loads):
            if avoid and index in avoid:
                continue
            active: float = load.active + load.active_elsewhere
            if load.debt:
                active += load.current_debt(now)
            mine, best = active * least_weight, least * load.weight
            if mine < best:
                tied = [index]
                least, least_weight = active, load.weight
            elif mine == best:
                tied.append(index)
        return self._weighted_turn(tied)

    def _weighted_turn(self, tied: Sequence[int]) -> int:
        """Smooth weighted round robin among the tied backends."""
        if len(tied) < 2:
            return tied[0] if tied else NO_BACKEND
        loads, credit = self._loads, self._credit
        total, highest = 0, tied[0]
        for index in tied:
            weight = loads[index].weight
            credit[index] += weight
            total += weight
            if credit[index] > credit[highest]:
                highest = index
        credit[highest] -= total
        return highest
