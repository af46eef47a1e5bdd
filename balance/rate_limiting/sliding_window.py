"""The sliding window: never more than `max_requests` within any `window`.

Time goes by in parts of a tenth of a window. Who admits the first request of a part writes down how many had been admitted
before: what was admitted since the tenth part before this one is what counts. So a window is taken for up to a tenth longer
than it is, and the limit holds in every window, however it lies; the usual estimate from two fixed windows (as nginx's and
Cloudflare's) admits up to half as much again when the requests come in bursts.

What a part begins with is the same until it ends: it is looked up in the marks once, and kept as the head.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from balance.rate_limiting.bucket_table import MARKS, BucketTable
from balance.rate_limiting.limiter import MOST_LEARNT, SharedLimiter, Usage
from balance.rate_limiting.moved_keys import MovedKeys

PARTS: Final = 10
_COUNT_BITS: Final = 40
_COUNTS: Final = (1 << _COUNT_BITS) - 1
_PARTS: Final = (1 << 64 - _COUNT_BITS) - 1
assert PARTS + 1 <= MARKS


class SlidingWindow(SharedLimiter):
    """One limit in one worker; a Limiter."""

    __slots__ = ("part_s",)

    def __init__(
        self,
        table: BucketTable,
        name: str,
        max_requests: int,
        window_s: float,
        clock: Callable[[], float],
        moved: MovedKeys | None = None,
    ) -> None:
        identity = f"{name} sliding-window {max_requests} {window_s}".encode()
        super().__init__(table, identity, clock, max_requests, window_s, moved)
        self.part_s: Final = window_s / PARTS

    def admit(self, key: bytes) -> bool:
        table, part_s = self._table, self.part_s
        place = self._slots.young.get(key)
        if place is None or table.numbers[place[0]] != place[1]:
            place = self._slots.find(key)
        slot = place[0]
        if slot >= 0:
            counted = table.used(slot)
            head = table.head(slot)  # after the counts, or it could be of more than they are
            now = self._clock()
            part = int(now / part_s)
            if head >> _COUNT_BITS == part % _PARTS + 1:
                used = (counted - head & _COUNTS) + 1
                if used <= self.limit:
                    self._admitted(key, slot, used, part, now)
                    return True
        return self._search(key, slot, place[1])

    def _search(self, key: bytes, slot: int, hashed: int) -> bool:
        """admit() for the first request of a part, a new key, and one that may be beyond the limit."""
        table, part_s = self._table, self.part_s
        is_new = slot < 0
        if is_new:
            slot = table.free(hashed)
        counted = table.used(slot) & _COUNTS
        if is_new and (other := self._slots.look_again(hashed)) >= 0:  # which other workers may have used for long
            slot, is_new = other, False
            counted = table.used(slot) & _COUNTS
        if is_new:
            table.begin_window(slot)
        marks = table.window(slot)  # after the counts: a mark that is not there yet has nothing before it in them
        now = self._clock()
        part = int(now / part_s)
        oldest, before = _oldest(marks, part, counted)
        used = _since(before, counted) + 1
        if used > self.limit:
            self.retry_s = (oldest + PARTS + 1) * part_s - now
            self.reset_s = self._part_end(marks, part, counted) - now
            self.remaining = 0
            return False
        if marks[part % MARKS] >> _COUNT_BITS != part % _PARTS + 1:
            table.set_window_mark(slot, part % MARKS, part % _PARTS + 1 << _COUNT_BITS | counted)
        table.set_head(slot, part % _PARTS + 1 << _COUNT_BITS | before)
        if is_new:
            table.take(slot, hashed)
        self._admitted(key, slot, used, part, now)
        return True

    def _admitted(self, key: bytes, slot: int, used: int, part: int, now: float) -> None:
        unused_at = (part + PARTS + 1) * self.part_s
        self.reset_s = unused_at - now
        self.remaining = self.limit - used
        self._table.count(slot, unused_at)
        if self._moved is not None:
            self._moved.add(self, key)

    def is_spent(self, key: bytes) -> bool:
        usage = self.usage(key)
        if usage.used < self.limit:
            return False
        part = int(usage.at / self.part_s)
        oldest, _ = _oldest(self._table.window(usage.slot), part, usage.counted)
        self.retry_s = self.reset_s = (oldest + PARTS + 1) * self.part_s - usage.at
        self.remaining = 0
        return True

    def usage(self, key: bytes) -> Usage:
        table = self._table
        slot, hashed = self._slots.find(key)
        if slot < 0:
            return Usage(slot, hashed, 0, 0.0, self._clock())
        counted = table.used(slot) & _COUNTS
        marks = table.window(slot)
        now = self._clock()
        before = _oldest(marks, int(now / self.part_s), counted)[1]
        return Usage(slot, hashed, counted, float(_since(before, counted)), now)

    def learn(self, usage: Usage, ages: Sequence[tuple[float, int]]) -> None:
        """At the time of `usage` so many had been admitted on all machines, each of them at least so many seconds before.

        What is known here stays known: only what is more than that changes anything.
        """
        table, part_s, counted = self._table, self.part_s, usage.counted
        if usage.slot < 0 or not table.holds(usage.slot, usage.hashed):
            return
        now = self._clock()  # not `usage.at`: rather later than it was, so that nothing is forgotten early
        part = int(now / part_s)
        by_part = dict.fromkeys(range(part - PARTS, part + 1), 0)
        for age_s, count in ages:
            at = int((now - age_s) / part_s)
            if at in by_part:
                by_part[at] += min(count, MOST_LEARNT * self.limit)
        marks = table.window(usage.slot)
        told, known = 0, 0
        for each in range(part, part - PARTS - 1, -1):  # from the youngest part to the oldest
            told += by_part[each]
            index, tag = each % MARKS, each % _PARTS + 1
            if marks[index] >> _COUNT_BITS == tag:
                known = max(known, _since(marks[index] & _COUNTS, counted))
            elif not by_part[each]:
                continue
            if told > known:
                table.set_window_mark(usage.slot, index, tag << _COUNT_BITS | counted - told & _COUNTS)
        table.set_head(usage.slot, 0)
        table.keep_until(usage.slot, (part + PARTS + 1) * part_s)

    def _part_end(self, marks: list[int], part: int, counted: int) -> float:
        """When the last part in which something was admitted is out of the window."""
        for each in range(part, part - PARTS, -1):
            mark = marks[each % MARKS]
            if mark >> _COUNT_BITS == each % _PARTS + 1 and mark & _COUNTS != counted:
                break
        return (each + PARTS + 1) * self.part_s


def _oldest(marks: list[int], part: int, counted: int) -> tuple[int, int]:
    """The oldest part of the window that has a mark, and how many had been admitted before it."""
    for each in range(part - PARTS, part + 1):
        mark = marks[each % MARKS]
        if mark >> _COUNT_BITS == each % _PARTS + 1:
            return each, mark & _COUNTS
    return part + 1, counted


def _since(before: int, counted: int) -> int:
    """How many were admitted since there were so many; 0 where the mark is newer than the counts that we have read."""
    since = counted - before & _COUNTS
    return since if since <= _COUNTS >> 1 else 0
