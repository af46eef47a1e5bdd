"""How many connections each client address has, and how many it opened in the last second, over all workers of the machine.

Each worker has a table in shared memory that it alone writes; what an address has is the sum over all tables, so no lock is
needed and the bound holds for the machine: two workers that admit at the same moment may exceed it by one each. A table is a
count-min sketch (Cormode and Muthukrishnan, 2005) of two rows: its size is fixed, whatever number of addresses comes, and an
address is counted too high only where both of its cells are shared with others. Which cells it has depends on a key that nobody
outside knows, so that collisions can't be made. IPv6 clients count by their /64, which is what one customer gets.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from balance.access_lists.address_range import unmapped

_WIDTH: Final = 1 << 16  # cells of a row of the sketch
_MASK: Final = _WIDTH - 1
_SKETCH: Final = 2 * _WIDTH
# A table, in cells of 32 bits: a head, the connections that are open, and those opened in this and the last second.
_USED: Final = 0  # 1 once a worker counts here
_SECOND: Final = 1  # of each of the two sketches of connections opened: the second that it is about
_NEWER: Final = 3  # 1 when a worker has begun since this table's worker looked for others; the one cell that others write
_OPEN: Final = 16
_OPENED: Final = (_OPEN + _SKETCH, _OPEN + 2 * _SKETCH)
_CELLS: Final = _OPEN + 3 * _SKETCH
TABLE_BYTES: Final = 4 * _CELLS

_EMPTY: Final = bytes(4 * _SKETCH)

Place = tuple[int, int]  # the two cells of an address, from the beginning of a sketch


def clear(table: memoryview) -> None:
    """The table's worker is gone, and its connections with it. One that was never used is not touched, and costs nothing."""
    if table.cast("I")[_USED]:
        table[:] = bytes(TABLE_BYTES)


class ClientCounts:
    """As seen by one worker. Times are seconds of the monotonic clock, which all workers share."""

    __slots__ = ("_key", "_live", "_live_at", "_own", "_tables")

    def __init__(self, tables: Sequence[memoryview], own: memoryview, key: bytes) -> None:
        """`tables` are those of all workers, in bytes; `own` is this worker's; `key` is random, the same in all of them."""
        clear(own)  # of a worker that had this place before
        self._tables = [table.cast("I") for table in tables]
        self._own = own.cast("I")
        self._own[_USED] = 1
        for table in self._tables:
            if table[_USED]:
                table[_NEWER] = 1
        self._key = key
        self._live: list[memoryview] = []
        self._live_at = -1

    def place(self, packed: bytes) -> Place:
        """The cells of a client; `packed` as inet_pton() returns it."""
        packed = unmapped(packed)
        number = hash(self._key + (packed if len(packed) == 4 else packed[:8]))
        return number & _MASK, _WIDTH + (number >> 24 & _MASK)

    def connections(self, place: Place, now: float) -> int:
        """How many are open."""
        return self._least(_OPEN, place, int(now))

    def opened(self, place: Place, now: float) -> float:
        """How many were opened in the last second: those of this one, and a part of those of the one before."""
        second = int(now)
        self._look(second)
        first, other = place
        total = [0.0, 0.0]
        for back, weight in ((0, 1.0), (1, 1.0 - (now - second))):
            which = second - back & 1
            at = _OPENED[which]
            for table in self._live:
                if table[_SECOND + which] == second - back & 0xFFFFFFFF:
                    total[0] += weight * table[at + first]
                    total[1] += weight * table[at + other]
        return min(total)

    def add(self, place: Place, now: float) -> None:
        """One more was opened here."""
        second, own = int(now), self._own
        which = second & 1
        at = _OPENED[which]
        if own[_SECOND + which] != second & 0xFFFFFFFF:
            own.cast("B")[4 * at : 4 * (at + _SKETCH)] = _EMPTY
            own[_SECOND + which] = second & 0xFFFFFFFF
        for cell in place:
            own[at + cell] += 1
            own[_OPEN + cell] += 1

    def leave(self, place: Place) -> None:
        """One that add() has counted is closed."""
        own = self._own
        for cell in place:
            own[_OPEN + cell] -= 1

    def _least(self, at: int, place: Place, second: int) -> int:
        self._look(second)
        first, other = at + place[0], at + place[1]
        return min(sum([table[first] for table in self._live]), sum([table[other] for table in self._live]))

    def _look(self, second: int) -> None:
        """Which workers there are: again when one has begun, and once a second, as some have ended."""
        own = self._own
        if second != self._live_at or own[_NEWER]:
            self._live_at = second
            own[_NEWER] = 0  # before the look: whoever begins later sets it again
            self._live = [table for table in self._tables if table[_USED]]
