"""The table of all rate limits of an instance: one slot for each key that was seen lately, in memory that all workers share.

What a key has used is a sum of numbers of which each worker writes its own, so nobody takes a lock and no count is lost; two
workers that admit at the same moment don't see each other, so a limit may be exceeded by one for each other worker, never by
more. Counts are never reset, also not when a slot gets another key or a worker dies: what matters is how far the sum has moved
since a mark, and who gives a slot to a key sets the mark.

A key has WAYS slots to be in. Where all are taken, the one whose limit is the first to be unused again is forgotten, which
mostly is one that nobody uses any more. To be forgotten while it is used up, a key needs WAYS others that are used up even
more: so who makes up keys to have his own forgotten asks more often under those than he gains, or they are all let in anyway.
Which keys meet there depends on a secret.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

SLOTS: Final = 1 << 17
WAYS: Final = 8
MARKS: Final = 12  # of a sliding window
CELL_BYTES: Final = 8
# In cells: for each slot the hash of its key (0: free) and when its limit is unused again (a float, seconds of the monotonic
# clock; a hint), and the marks of sliding windows; then for each worker's row the counts and the marks of token buckets.
_FULL_AT: Final = SLOTS
_WINDOWS: Final = 2 * SLOTS
_ROWS: Final = _WINDOWS + MARKS * SLOTS
_ROW: Final = 2 * SLOTS

MAX_PLAIN_KEY: Final = 64  # longer ones are remembered by their hash


def table_cells(rows: int) -> int:
    """The size of a table for so many workers. Pages that nobody has touched cost nothing."""
    return _ROWS + _ROW * rows


class BucketTable:
    """As one worker sees it."""

    __slots__ = ("_floats", "_numbers", "_own", "_rows", "_secret")

    def __init__(self, memory: memoryview, rows: memoryview, own: int, secret: bytes) -> None:
        """`memory` has table_cells() cells of 8 bytes; `rows` is the cell that says how many rows are in use, this worker's
        `own` among them; `secret` is the same for all workers.
        """
        octets = memory.cast("B")
        self._numbers = octets.cast("Q")
        self._floats = octets.cast("d")
        self._rows = rows
        self._own = _ROWS + _ROW * own
        self._secret = secret[:64]

    @classmethod
    def of_one_worker(cls, secret: bytes = b"") -> BucketTable:
        """For a process that shares it with no other."""
        return cls(memoryview(bytearray(CELL_BYTES * table_cells(1))), memoryview(b"\x01"), 0, secret)

    def hash(self, limit: bytes, key: bytes) -> int:
        """The hash of a key of that limit; never 0."""
        return int.from_bytes(blake2b(limit + key, digest_size=8, key=self._secret).digest(), "little") or 1

    def holds(self, slot: int, hashed: int) -> bool:
        """Whether the slot is still that key's."""
        held: bool = self._numbers[slot] == hashed
        return held

    def find(self, hashed: int) -> int:
        """The slot of a key; -1 where it has none."""
        first = hashed % SLOTS & -WAYS
        for slot, held in enumerate(self._numbers[first : first + WAYS].tolist(), first):
            if held == hashed:
                return slot
        return -1

    def free(self, hashed: int) -> int:
        """The slot to give to a key without one; whoever is in it is forgotten once take() is called."""
        first = hashed % SLOTS & -WAYS
        at = first + _FULL_AT
        unused_at = self._floats[at : at + WAYS].tolist()
        return first + unused_at.index(min(unused_at))

    def take(self, slot: int, hashed: int) -> None:
        """The slot is that key's; the marks are set."""
        self._numbers[slot] = hashed

    def used(self, slot: int) -> int:
        """The sum of the counts of all workers."""
        rows = self._rows[0]
        at = _ROWS + slot
        if rows == 1:
            count: int = self._numbers[at]
            return count
        return sum(self._numbers[at : at + _ROW * rows : _ROW].tolist())

    def count(self, slot: int, unused_at: float) -> None:
        """This worker has admitted one more, and so the limit is unused again from that time on."""
        self._numbers[self._own + slot] += 1
        self._floats[_FULL_AT + slot] = unused_at

    # --- the marks of token buckets: one for each worker, the highest one counts ----------------------

    def mark(self, slot: int) -> float:
        """The highest mark of all workers; 0.0 is none."""
        rows = self._rows[0]
        at = _ROWS + SLOTS + slot
        if rows == 1:
            mark: float = self._floats[at]
            return mark
        marks = list(filter(None, self._floats[at : at + _ROW * rows : _ROW].tolist()))
        return max(marks) if marks else 0.0

    def set_mark(self, slot: int, mark: float) -> None:
        """Set this worker's."""
        self._floats[self._own + SLOTS + slot] = mark or -1e-9

    def begin_marks(self, slot: int, mark: float) -> None:
        """Set this worker's, and take away the others': those of another key."""
        for row in range(self._rows[0]):
            self._floats[_ROWS + SLOTS + slot + _ROW * row] = 0.0
        self.set_mark(slot, mark)

    # --- the marks of sliding windows: a ring, written by whoever admits first ------------------------

    def window(self, slot: int) -> list[int]:
        """The ring."""
        at = _WINDOWS + MARKS * slot
        ring: list[int] = self._numbers[at : at + MARKS].tolist()
        return ring

    def set_window_mark(self, slot: int, index: int, mark: int) -> None:
        self._numbers[_WINDOWS + MARKS * slot + index] = mark

    def begin_window(self, slot: int) -> None:
        """Take away the marks of another key."""
        for at in range(_WINDOWS + MARKS * slot, _WINDOWS + MARKS * (slot + 1)):
            self._numbers[at] = 0
