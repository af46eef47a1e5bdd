"""Assigns the board's slots to backends, listeners, routes and their rules, and keeps them from one configuration to the next.

A backend is identified by its pool, name and address; its counters, health and breaker are at its slot. A rule is identified
by its name and what it says: hits of what stood there before are not its own. A backend that is taken out of the
configuration keeps its slot, and its numbers when it comes back, until another backend needs the slot.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

from balance.config.model import Config

Identity = tuple[str, str, str]  # pool, name, address
KEPT_SLOTS: Final = 1024  # of identities that were taken out: the latest keep theirs even where others could use them
NOBODY: Final = 0  # the slot that stands for no backend
LISTENER: Final = ""  # in place of the pool in a listener's identity; no pool has this name
ROUTE: Final = "/"  # in place of the pool in a route's identity; its name is route_key()
RULE: Final = "//"  # in place of the pool in a rule's identity; its name is rule_key()


class NoRoomError(Exception):
    """The configuration has more backends than the board has slots."""

    def __init__(self, wanted: int, kept: int, room: int) -> None:
        besides = f", besides {kept} that go and are still in use," if kept else ""
        super().__init__(f"{wanted} backends{besides} need more room than the {room} that this instance was started with")


def route_key(listener: str, route: str) -> tuple[str, str]:
    """The key of a route in Assignment.slots. A name has no `/`."""
    return ROUTE, f"{listener}/{route}"


def route_of(key: tuple[str, str]) -> tuple[str, str]:
    """(listener, route) of a route_key(); two empty texts for any other key."""
    if key[0] != ROUTE:
        return "", ""
    listener, _, route = key[1].partition("/")
    return listener, route


def rule_key(listener: str, route: str, rule: str) -> tuple[str, str]:
    """The key of a rule of a route in Assignment.slots."""
    return RULE, f"{listener}/{route}/{rule}"


@dataclass(frozen=True, slots=True)
class Assignment:
    """A slot for every backend, listener, route and rule of one configuration. It has no effect until SlotBook.adopt()."""

    slots: Mapping[
        tuple[str, str], int
    ]  # by (pool, name); a listener's by (LISTENER, name), a route's by route_key(), a rule's by rule_key()
    identities: Mapping[Identity, int]
    reused: frozenset[int]  # slots of another backend before, which must be cleared first
    used: int  # slots below this number are in use


def route_keys(config: Config) -> list[tuple[str, str]]:
    """The route_key() of every route of every listener."""
    return [route_key(listener.name, route.name) for listener in config.listeners for route in listener.http.routes]


def rule_identities(config: Config) -> Iterator[Identity]:
    """The identity of every rule of every route: its rule_key(), and a digest of what it says."""
    for listener in config.listeners:
        for route in listener.http.routes:
            for rule in route.policy.rules:
                said = blake2b(repr(rule).encode(), digest_size=8).hexdigest()
                yield *rule_key(listener.name, route.name, rule.name), said


class SlotBook:
    """The supervisor's record of slots: which identity has each, or had it last."""

    __slots__ = ("_capacity", "_owners", "_present", "_used")

    def __init__(self, capacity: int) -> None:
        """`capacity` includes slot 0, which is never assigned."""
        self._capacity = capacity
        self._owners: dict[Identity, int] = {}  # the one that was taken out longest ago first
        self._present: Mapping[Identity, int] = {}
        self._used = 1

    def assign(self, config: Config, is_unused: Callable[[int], bool]) -> Assignment:
        """Find slots for a configuration. `is_unused(slot)`: no worker has a lease or connection of the backend at that slot.

        Slots of the configuration that is served now are not reused, since its backends are chosen until the last worker has
        changed over. NoRoomError when there are not enough.
        """
        wanted = {
            (pool.name, backend.name, str(backend.address)): (pool.name, backend.name)
            for pool in config.pools
            for backend in pool.backends
        }
        backends = len(wanted)
        wanted |= {(LISTENER, listener.name, ""): (LISTENER, listener.name) for listener in config.listeners}
        for key in route_keys(config):
            wanted[*key, ""] = key
        wanted |= {identity: identity[:2] for identity in rule_identities(config)}
        slots: dict[tuple[str, str], int] = {}
        identities: dict[Identity, int] = {}
        reused: set[int] = set()
        used = self._used
        others = [(owner, slot) for owner, slot in self._owners.items() if owner not in wanted]
        gone = [slot for owner, slot in others if owner not in self._present]
        left = (slot for slot in gone if is_unused(slot))
        surplus = max(len(gone) - KEPT_SLOTS, 0)  # of discovery that never rests: else every address that ever was has its own
        for identity, name in wanted.items():
            slot = self._owners.get(identity, NOBODY)
            if not slot and surplus and (slot := next(left, NOBODY)):
                surplus -= 1
                reused.add(slot)
            elif not slot and used < self._capacity:
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
        """Make the assignment the current one."""
        for owner in [owner for owner, slot in self._owners.items() if slot in assignment.reused]:
            del self._owners[owner]
        gone = [identity for identity in self._present if identity not in assignment.identities]
        for identity in (*gone, *assignment.identities):  # they move to the end, in this order
            slot = self._owners.pop(identity, None)
            self._owners[identity] = assignment.identities[identity] if slot is None else slot
        self._present = assignment.identities
        self._used = assignment.used

    @property
    def names(self) -> dict[int, tuple[str, str]]:
        """(pool, name) by slot, of the identity that has the slot or had it last: the slot's counters are its own."""
        return {slot: identity[:2] for identity, slot in self._owners.items()}

    def dump(self) -> list[tuple[Identity, int, bool]]:
        """(identity, slot, whether it is served now) of all slots, for the instance that replaces this one in an upgrade."""
        return [(owner, slot, owner in self._present) for owner, slot in self._owners.items()]

    def restore(self, dumped: list[tuple[Identity, int, bool]]) -> None:
        """Take over what dump() returned."""
        self._owners = {owner: slot for owner, slot, _ in dumped}
        self._present = {owner: slot for owner, slot, is_present in dumped if is_present}
        self._used = max((slot + 1 for _, slot, _ in dumped), default=1)
