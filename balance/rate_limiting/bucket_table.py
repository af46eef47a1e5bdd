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

from collections.abc import Callable
from hashlib import blake2b
from struct import Struct
from typing import Any, Final, cast

from balance.mypyc_attr import mypyc_attr

SLOTS: Final = 1 << 17
WAYS: Final = 8
MARKS: Final = 12  # of a sliding window
CELL_BYTES: Final = 8
NO_TIME: Final = -1e-9  # the mark of the time 0.0, which is none
GROUP: Final = 8  # rows whose cells of a slot are side by side: one cache line of counts, and one read
# In cells: for each slot the hash of its key (0: free), when its limit is unused again (a float, seconds of the monotonic
# clock; a hint), the head of its sliding window and that window's marks; then for each group of rows the counts and the marks
# of token buckets, slot by slot.
FULL_AT: Final = SLOTS
_HEADS: Final = 2 * SLOTS
_WINDOWS: Final = 3 * SLOTS
_GROUPS: Final = _WINDOWS + MARKS * SLOTS
CELLS: Final = 2 * GROUP  # of a slot in a group: the counts of its rows, then their marks
_GROUP: Final = CELLS * SLOTS

MAX_PLAIN_KEY: Final = 64  # longer ones are remembered by their hash


def table_cells(rows: int) -> int:
    """The size of a table for so many workers. Pages that nobody has touched cost nothing."""
    return _GROUPS + _GROUP * -(-rows // GROUP)


Reader = Callable[[memoryview, int], tuple[Any, ...]]  # of the cells at an offset, in bytes


def _reader(cells: str) -> Reader:
    return Struct("@" + cells).unpack_from  # the machine's own format reads a cell at once, never half of it: others write


@mypyc_attr(allow_interpreted_subclasses=True)
class BucketTable:
    """As one worker sees it. Where each call counts, limiters read and write a key's cells themselves."""

    __slots__ = ("_both", "_counts", "_in_use", "_memory", "_secret", "floats", "numbers", "own", "rows")

    def __init__(self, memory: memoryview, rows: memoryview, own: int, secret: bytes) -> None:
        """`memory` has table_cells() cells of 8 bytes; `rows` is the cell that says how many rows are in use, this worker's
        `own` among them; `secret` is the same for all workers.
        """
        self._memory = memory.cast("B")
        self.numbers = self._memory.cast("Q")
        self.floats = self._memory.cast("d")
        self.rows = rows
        self.own = _GROUPS + _GROUP * (own // GROUP) + own % GROUP
        self._secret = secret[:64]
        self._in_use = 0
        self._look_at_rows(rows[0])

    @classmethod
    def of_one_worker(cls, secret: bytes = b"") -> BucketTable:
        """For a process that shares it with no other."""
        return cls(memoryview(bytearray(CELL_BYTES * table_cells(1))), memoryview(b"\x01"), 0, secret)

    def hash(self, limit: bytes, key: bytes) -> int:
        """The hash of a key of that limit; never 0."""
        return int.from_bytes(blake2b(limit + key, digest_size=8, key=self._secret).digest(), "little") or 1

    def holds(self, slot: int, hashed: int) -> bool:
        """Whether the slot is still that key's."""
        held: bool = self.numbers[slot] == hashed
        return held

    def find(self, hashed: int) -> int:
        """The slot of a key; -1 where it has none."""
        first = hashed % SLOTS & -WAYS
        for slot, held in enumerate(self.numbers[first : first + WAYS].tolist(), first):
            if held == hashed:
                return slot
        return -1

    def free(self, hashed: int) -> int:
        """The slot to give to a key without one; whoever is in it is forgotten once take() is called."""
        first = hashed % SLOTS & -WAYS
        at = first + FULL_AT
        unused_at = cast(list[float], self.floats[at : at + WAYS].tolist())
        return first + unused_at.index(min(unused_at))

    def take(self, slot: int, hashed: int) -> None:
        """The slot is that key's; the marks are set."""
        self.numbers[slot] = hashed

    def _look_at_rows(self, rows: int) -> None:
        """Read this many from now on."""
        self._in_use = rows
        count = min(rows, GROUP)
        self._counts: Reader = _reader(f"{count}Q")
        self._both: Reader = _reader(f"{count}Q{CELL_BYTES * (GROUP - count)}x{count}d")

    def used(self, slot: int) -> int:
        """The sum of the counts of all workers."""
        rows = self.rows[0]
        if rows == 1:
            count: int = self.numbers[_GROUPS + CELLS * slot]
            return count
        if rows != self._in_use:
            self._look_at_rows(rows)
        counts = sum(self._counts(self._memory, CELL_BYTES * (_GROUPS + CELLS * slot)))
        if rows > GROUP:
            for at in range(_GROUPS + _GROUP + CELLS * slot, _GROUPS + _GROUP * -(-rows // GROUP), _GROUP):
                counts += sum(self.numbers[at : at + GROUP].tolist())
        return counts

    def count(self, slot: int, unused_at: float) -> None:
        """This worker has admitted one more, and so the limit is unused again from that time on."""
        self.numbers[self.own + CELLS * slot] += 1
        self.floats[FULL_AT + slot] = unused_at

    def keep_until(self, slot: int, unused_at: float) -> None:
        """The limit is unused again from that time on, not before."""
        if unused_at > self.floats[FULL_AT + slot]:
            self.floats[FULL_AT + slot] = unused_at

    # --- the marks of token buckets: one for each worker, the highest one counts ----------------------

    def used_since(self, slot: int) -> tuple[int, float]:
        """The sum of the counts of all workers, and their highest mark; 0.0 is none."""
        rows = self.rows[0]
        at = _GROUPS + CELLS * slot
        if rows == 1:
            return self.numbers[at], self.floats[at + GROUP]
        if rows != self._in_use:
            self._look_at_rows(rows)
        if rows <= GROUP:
            cells = self._both(self._memory, CELL_BYTES * at)
            counted, marks = sum(cells[:rows]), cells[rows:]
        else:
            counted, marks = self.used(slot), tuple(self.floats[self._mark_of(row, slot)] for row in range(rows))
        mark = max(marks)
        if mark <= 0.0:  # below 0 are the marks of who has admitted more than the clock has seen
            mark = max(filter(None, marks), default=0.0)
        return counted, mark

    def set_mark(self, slot: int, mark: float) -> None:
        """Set this worker's."""
        self.floats[self.own + GROUP + CELLS * slot] = mark or NO_TIME

    def begin_marks(self, slot: int, mark: float) -> None:
        """Set this worker's, and take away the others': those of another key."""
        for row in range(self.rows[0]):
            self.floats[self._mark_of(row, slot)] = 0.0
        self.set_mark(slot, mark)

    @staticmethod
    def _mark_of(row: int, slot: int) -> int:
        return _GROUPS + _GROUP * (row // GROUP) + GROUP + row % GROUP + CELLS * slot

    # --- the marks of sliding windows: a ring, written by whoever admits first ------------------------

    def head(self, slot: int) -> int:
        """What the ring comes to for the part that it was looked through in; 0: nobody has looked."""
        head: int = self.numbers[_HEADS + slot]
        return head

    def set_head(self, slot: int, head: int) -> None:
        self.numbers[_HEADS + slot] = head

    def window(self, slot: int) -> list[int]:
        """The ring."""
        at = _WINDOWS + MARKS * slot
        ring: list[int] = self.numbers[at : at + MARKS].tolist()
        return ring

    def set_window_mark(self, slot: int, index: int, mark: int) -> None:
        self.numbers[_WINDOWS + MARKS * slot + index] = mark

    def begin_window(self, slot: int) -> None:
        """Take away the marks of another key."""
        self.numbers[_HEADS + slot] = 0
        for at in range(_WINDOWS + MARKS * slot, _WINDOWS + MARKS * (slot + 1)):
            self.numbers[at] = 0
