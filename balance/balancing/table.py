"""What policies that hash have in common: a table over the members, and the way on from a backend that can't be used.

The table is laid when the members change, and not when one of them is ready or no longer is: then the keys of that one walk
on to the next place, and no other key moves (Sozu's rule).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Collection, Sequence
from math import log

from balance.balancing.hashing import SPACE, key_hash
from balance.balancing.policy import NOBODY, Needs
from balance.load import Load

Membership = tuple[tuple[bytes, int], ...]  # (identity, weight) of each member

STEPS = 64  # along the table, before every ready backend is compared


class Table:
    """A policy but for the table. `_owners` names a member for each place; `_seats` says where it stands in the ready set."""

    __slots__ = ("_loads", "_membership", "_owners", "_rand", "_seats")
    needs = Needs.KEY

    def __init__(self, rand: Callable[[], float]) -> None:
        self._rand = rand
        self._loads: Sequence[Load] = ()
        self._membership: Membership = ()
        self._owners: Sequence[int] = ()
        self._seats: list[int] = []

    @abstractmethod
    def lay(self, membership: Membership) -> None:
        """Make the table of at least one member."""

    @abstractmethod
    def place(self, spot: int) -> int:
        """Where in the table a hash lies."""

    def rebuild(self, loads: Sequence[Load], members: Sequence[Load] = ()) -> None:
        members = members or loads
        membership = tuple([(load.identity, load.weight) for load in members])
        if membership != self._membership:
            self._membership = membership
            if membership:
                self.lay(membership)
        seats = {load: seat for seat, load in enumerate(loads)}
        self._seats = [seats.get(load, NOBODY) for load in members]
        self._loads = loads

    def pick(self, key: bytes, avoid: Collection[int], now: float) -> int:
        if not self._loads:
            return NOBODY
        spot = key_hash(key) if key else int(self._rand() * SPACE)
        place = self.place(spot)
        index = self._seats[self._owners[place]]
        if index != NOBODY and (not avoid or index not in avoid):
            return index
        return self._walk_on(spot, place, lambda index: index not in avoid)

    def _walk_on(self, spot: int, place: int, is_wanted: Callable[[int], bool]) -> int:
        """The owner of the next place that is ready and wanted."""
        owners, seats = self._owners, self._seats
        size = len(owners)
        for step in range(place + 1, place + 1 + STEPS):
            index = seats[owners[step % size]]
            if index != NOBODY and is_wanted(index):
                return index
        return self._compare_all(spot, is_wanted)

    def _compare_all(self, spot: int, is_wanted: Callable[[int], bool]) -> int:
        """Where next to nobody is ready: highest random weight, which moves no other key either. Linear, and seldom."""
        best, least = NOBODY, 0.0
        for index, load in enumerate(self._loads):
            if is_wanted(index):
                wait = -log((key_hash(load.identity, spot) + 0.5) / SPACE) / load.weight
                if best == NOBODY or wait < least:
                    best, least = index, wait
        return best
