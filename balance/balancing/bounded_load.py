"""bounded-load: consistent hashing with bounded loads (Mirrokni, Thorup, Zadimoghaddam, arXiv 1608.01350)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Final

from balance.balancing.consistent_hash import ConsistentHash
from balance.balancing.hashing import SPACE, key_hash
from balance.balancing.policy import NO_BACKEND, Needs
from balance.load import Load, PoolActive

FACTOR: Final = 1.25  # the bound relative to the mean; with 20 backends and very hot keys a third of the requests go elsewhere
REFRESH_S: Final = 0.1  # how often the other workers' leases are summed up


class BoundedLoad(ConsistentHash):
    """A backend takes at most ceil(1.25 x mean) leases for its weight; further requests go to the next one on the ring.

    The mean includes the new lease. Leases of backends that are not ready are not counted.
    """

    __slots__ = ("_elsewhere", "_peers", "_refresh_at", "_weight")

    def __init__(self, rand: Callable[[], float]) -> None:
        super().__init__(rand)
        self.needs = Needs.KEY | Needs.OUTCOMES | Needs.ACTIVE_ELSEWHERE
        self._peers = PoolActive()
        self._weight = 0
        self._elsewhere = 0.0
        self._refresh_at = 0.0

    def rebuild(self, loads: Sequence[Load], members: Sequence[Load] = ()) -> None:
        super().rebuild(loads, members)
        self._weight = sum(load.weight for load in loads)
        self._refresh_at = 0.0
        # A load that is no longer in `loads` keeps its old sum, which is not read any more.
        self._peers = PoolActive(sum(load.active for load in loads))
        for load in loads:
            load.pool_active = self._peers

    def pick(self, key: bytes, avoid: Collection[int], now: float) -> int:
        loads = self._loads
        if not loads:
            return NO_BACKEND
        if now >= self._refresh_at:
            self._elsewhere = sum(load.active_elsewhere for load in loads)
            self._peers.active = sum(load.active for load in loads)  # also counts leases from before a reload
            self._refresh_at = now + REFRESH_S
        limit = FACTOR * (self._peers.active + self._elsewhere + 1) / self._weight  # for a weight of 1

        def has_room(index: int) -> bool:
            load = loads[index]
            return load.active + load.active_elsewhere < limit * load.weight and index not in avoid

        key_position = key_hash(key) if key else int(self._rand() * SPACE)
        slot = self.slot_of(key_position)
        index = self._ready_index[self._owners[slot]]
        if index != NO_BACKEND and has_room(index):
            return index
        # Not to a backend with debt: it may have room only because its requests fail at once.
        index = self._next_ready(key_position, slot, lambda index: not loads[index].debt and has_room(index))
        if index == NO_BACKEND:
            index = self._rendezvous(key_position, has_room)
        return index if index != NO_BACKEND else self._least(avoid)

    def _least(self, avoid: Collection[int]) -> int:
        """The least loaded, when all that may be used are at the limit; it is exceeded."""
        loads = self._loads
        left = [index for index in range(len(loads)) if index not in avoid]
        return min(
            left,
            key=lambda index: (loads[index].active + loads[index].active_elsewhere) / loads[index].weight,
            default=NO_BACKEND,
        )
