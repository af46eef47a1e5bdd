"""The same key to the same backend unless that has its fill (Mirrokni, Thorup, Zadimoghaddam, arXiv 1608.01350)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from balance.balancing.consistent_hash import ConsistentHash
from balance.balancing.hashing import SPACE, key_hash
from balance.balancing.policy import NOBODY, Needs
from balance.load import Load, Peers

FACTOR = 1.25  # of the mean, by weight: a third of the requests for 20 backends and very hot keys go elsewhere; nothing melts
LOOK_S = 0.1  # how often the other workers' leases are summed


class BoundedLoad(ConsistentHash):
    """No backend holds more leases than ceil(1.25 x mean) for its weight; what does not fit walks on along the ring.

    The mean counts the lease that is being given. The leases of a backend that is no longer ready count for nothing.
    """

    __slots__ = ("_elsewhere", "_look_at", "_peers", "_weight")
    needs = Needs.KEY | Needs.OUTCOMES | Needs.ELSEWHERE

    def __init__(self, rand: Callable[[], float]) -> None:
        super().__init__(rand)
        self._peers = Peers()
        self._weight = 0
        self._elsewhere = 0.0
        self._look_at = 0.0

    def rebuild(self, loads: Sequence[Load], members: Sequence[Load] = ()) -> None:
        super().rebuild(loads, members)
        self._weight = sum(load.weight for load in loads)
        self._look_at = 0.0
        # A load that is not in `loads` keeps the sum it had, which nobody reads any more.
        self._peers = Peers(sum(load.active for load in loads))
        for load in loads:
            load.peers = self._peers

    def pick(self, key: bytes, avoid: Collection[int], now: float) -> int:
        loads = self._loads
        if not loads:
            return NOBODY
        if now >= self._look_at:
            self._elsewhere = sum(load.elsewhere for load in loads)
            self._peers.active = sum(load.active for load in loads)  # leases of an algorithm before a reload tell it nothing
            self._look_at = now + LOOK_S
        due = FACTOR * (self._peers.active + self._elsewhere + 1) / self._weight  # for a weight of 1

        def has_room(index: int) -> bool:
            load = loads[index]
            return load.active + load.elsewhere < due * load.weight and index not in avoid

        spot = key_hash(key) if key else int(self._rand() * SPACE)
        place = self.place(spot)
        index = self._seats[self._owners[place]]
        if index != NOBODY and has_room(index):
            return index
        # What does not fit elsewhere must not pour into one that is empty because it fails.
        index = self._walk_on(spot, place, lambda index: not loads[index].debt and has_room(index))
        if index == NOBODY:
            index = self._compare_all(spot, has_room)
        return index if index != NOBODY else self._least(avoid)

    def _least(self, avoid: Collection[int]) -> int:
        """When all that may be used have their fill, because others are avoided: the bound is theirs to break."""
        loads = self._loads
        left = [index for index in range(len(loads)) if index not in avoid]
        return min(left, key=lambda index: (loads[index].active + loads[index].elsewhere) / loads[index].weight, default=NOBODY)
