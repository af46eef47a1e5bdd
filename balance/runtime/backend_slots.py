"""Which block of the board belongs to which backend, and to which listener, from one configuration to the next.

A backend is the same one as long as its pool, its name and its address are: its counters, health and breaker go with its
slot. One that was taken out keeps its slot, and finds its numbers again when it comes back, until the room is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from balance.config.model import Config

Identity = tuple[str, str, str]  # pool, name, address
NOBODY: Final = 0  # the slot that stands for no backend
LISTENER: Final = ""  # what stands for the pool in a listener's identity: no pool is called so


class NoRoomError(Exception):
    """More backends than the board has room for."""

    def __init__(self, wanted: int, kept: int, room: int) -> None:
        besides = f", besides {kept} that go and are still in use," if kept else ""
        super().__init__(f"{wanted} backends{besides} need more room than the {room} that this instance was started with")


@dataclass(frozen=True, slots=True)
class Assignment:
    """A slot for every backend of one configuration. Nothing has changed until the book adopts it."""

    slots: Mapping[tuple[str, str], int]  # by pool and name, as everybody asks; a listener's by LISTENER and name
    identities: Mapping[Identity, int]
    reused: frozenset[int]  # slots that belonged to another backend and must be cleared first
    used: int  # slots below this number are in use


class SlotBook:
    """For the supervisor: who has which slot, and who had it last."""

    __slots__ = ("_capacity", "_owners", "_present", "_used")

    def __init__(self, capacity: int) -> None:
        """`capacity` counts slot 0, which is never given away."""
        self._capacity = capacity
        self._owners: dict[Identity, int] = {}  # those who left longest ago first
        self._present: Mapping[Identity, int] = {}
        self._used = 1

    def assign(self, config: Config, is_unused: Callable[[int], bool]) -> Assignment:
        """Find slots for a configuration. `is_unused` says whether no worker holds anything of the backend that had a slot.

        Those that are served now keep theirs, for they are chosen until the last worker has changed over.
        NoRoomError when there are not enough.
        """
        wanted = {
            (pool.name, backend.name, str(backend.address)): (pool.name, backend.name)
            for pool in config.pools
            for backend in pool.backends
        }
        backends = len(wanted)
        wanted |= {(LISTENER, listener.name, ""): (LISTENER, listener.name) for listener in config.listeners}
        slots: dict[tuple[str, str], int] = {}
        identities: dict[Identity, int] = {}
        reused: set[int] = set()
        used = self._used
        others = [(owner, slot) for owner, slot in self._owners.items() if owner not in wanted]
        left = (slot for owner, slot in others if owner not in self._present and is_unused(slot))
        for identity, name in wanted.items():
            slot = self._owners.get(identity, NOBODY)
            if not slot and used < self._capacity:
                slot, used = used, used + 1
            elif not slot:
                slot = next(left, NOBODY)
                reused.add(slot)
            if not slot:
                kept = sum(owner in self._present or not is_unused(slot) for owner, slot in others)
                raise NoRoomError(backends, kept, self._capacity - 1)
            slots[name] = identities[identity] = slot
        return Assignment(slots, identities, frozenset(reused), used)

    def adopt(self, assignment: Assignment) -> None:
        """It holds from now on."""
        for owner in [owner for owner, slot in self._owners.items() if slot in assignment.reused]:
            del self._owners[owner]
        gone = [identity for identity in self._present if identity not in assignment.identities]
        for identity in (*gone, *assignment.identities):  # at the end, in this order
            slot = self._owners.pop(identity, None)
            self._owners[identity] = assignment.identities[identity] if slot is None else slot
        self._present = assignment.identities
        self._used = assignment.used

    @property
    def names(self) -> dict[int, tuple[str, str]]:
        """The pool and the name of whoever has a slot or had it last: what is counted there is counted of it."""
        return {slot: identity[:2] for identity, slot in self._owners.items()}

    def dump(self) -> list[tuple[Identity, int, bool]]:
        """The whole book, for the instance that takes this one's place: who has which slot, and whether it is served now."""
        return [(owner, slot, owner in self._present) for owner, slot in self._owners.items()]

    def restore(self, dumped: list[tuple[Identity, int, bool]]) -> None:
        """Go on with a book that dump() has written."""
        self._owners = {owner: slot for owner, slot, _ in dumped}
        self._present = {owner: slot for owner, slot, is_present in dumped if is_present}
        self._used = max((slot + 1 for _, slot, _ in dumped), default=1)
