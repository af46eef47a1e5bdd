"""Base of the hashing policies: a table over all backends of a pool, and the next choice when a backend is not ready.

The table is rebuilt when backends or weights change, not when one goes down: then only its keys move, to the owners of the next
entries (as in Sozu).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Collection, Sequence
from math import log
from typing import Final

from balance.balancing.hashing import SPACE, key_hash
from balance.balancing.policy import NO_BACKEND, Needs, Policy
from balance.load import Load

WeightedIds = tuple[tuple[bytes, int], ...]  # (identity, weight) of each backend

MAX_PROBES: Final = 64  # entries that are looked at before rendezvous hashing over all ready backends


class HashTable(Policy):
    """An abstract policy. `_owners` has the backend of each entry; `_ready_index` maps backends to indices in the ready set."""

    __slots__ = ("_loads", "_membership", "_owners", "_ready_index")

    def __init__(self, rand: Callable[[], float]) -> None:
        super().__init__(rand, Needs.KEY)
        self._loads: Sequence[Load] = ()
        self._membership: WeightedIds = ()
        self._owners: Sequence[int] = ()
        self._ready_index: list[int] = []

    @abstractmethod
    def build(self, membership: WeightedIds) -> None:
        """Build the table for at least one backend."""

    @abstractmethod
    def slot_of(self, key_position: int) -> int:
        """The entry of the table for a hash."""

    def rebuild(self, loads: Sequence[Load], members: Sequence[Load] = ()) -> None:
        members = members or loads
        membership = tuple([(load.identity, load.weight) for load in members])
        if membership != self._membership:
            self._membership = membership
            if membership:
                self.build(membership)
        ready_index = {load: index for index, load in enumerate(loads)}
        self._ready_index = [ready_index.get(load, NO_BACKEND) for load in members]
        self._loads = loads

    def pick(self, key: bytes, avoid: Collection[int], now: float) -> int:
        if not self._loads:
            return NO_BACKEND
        key_position = key_hash(key) if key else int(self._rand() * SPACE)
        slot = self.slot_of(key_position)
        index = self._ready_index[self._owners[slot]]
        if index != NO_BACKEND and (not avoid or index not in avoid):
            return index
        return self._next_ready(key_position, slot, lambda index: index not in avoid)

    def _next_ready(self, key_position: int, slot: int, is_wanted: Callable[[int], bool]) -> int:
        """The next entry's owner that is ready and allowed by `is_wanted`."""
        owners, ready_index = self._owners, self._ready_index
        size = len(owners)
        for step in range(slot + 1, slot + 1 + MAX_PROBES):
            index = ready_index[owners[step % size]]
            if index != NO_BACKEND and is_wanted(index):
                return index
        return self._rendezvous(key_position, is_wanted)

    def _rendezvous(self, key_position: int, is_wanted: Callable[[int], bool]) -> int:
        """Weighted rendezvous hashing (highest random weight) over the ready backends, for when few are ready. Linear."""
        best, least = NO_BACKEND, 0.0
        for index, load in enumerate(self._loads):
            if is_wanted(index):
                wait = -log((key_hash(load.identity, key_position) + 0.5) / SPACE) / load.weight
                if best == NO_BACKEND or wait < least:
                    best, least = index, wait
        return best
