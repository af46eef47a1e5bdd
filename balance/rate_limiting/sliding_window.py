"""The sliding window: never more than `max_requests` within any `window`.

Time goes by in parts of a tenth of a window. Who admits the first request of a part writes down how many had been admitted
before: what was admitted since the tenth part before this one is what counts. So a window is taken for up to a tenth longer
than it is, and the limit holds in every window, however it lies; the usual estimate from two fixed windows (as nginx's and
Cloudflare's) admits up to half as much again when the requests come in bursts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from balance.rate_limiting.bucket_table import MARKS, BucketTable
from balance.rate_limiting.limiter import SharedLimiter

PARTS: Final = 10
_COUNT_BITS: Final = 40
_COUNTS: Final = (1 << _COUNT_BITS) - 1
_PARTS: Final = (1 << 64 - _COUNT_BITS) - 1
assert PARTS + 1 <= MARKS


class SlidingWindow(SharedLimiter):
    """One limit in one worker; a Limiter."""

    __slots__ = ("_part_s",)

    def __init__(self, table: BucketTable, name: str, max_requests: int, window_s: float, clock: Callable[[], float]) -> None:
        super().__init__(table, f"{name} sliding-window {max_requests} {window_s}".encode(), clock, max_requests, window_s)
        self._part_s: Final = window_s / PARTS

    def admit(self, key: bytes) -> bool:
        table, part_s = self._table, self._part_s
        slot, hashed = self._slots.find(key)
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
        oldest, before = part + 1, counted
        for each in range(part - PARTS, part + 1):
            mark = marks[each % MARKS]
            if mark >> _COUNT_BITS == each % _PARTS + 1:
                oldest, before = each, mark & _COUNTS
                break
        used = (counted - before & _COUNTS) + 1
        if used > self.limit:
            self.retry_s = (oldest + PARTS + 1) * part_s - now
            self.reset_s = self._part_end(marks, part) - now
            self.remaining = 0
            return False
        if marks[part % MARKS] >> _COUNT_BITS != part % _PARTS + 1:
            table.set_window_mark(slot, part % MARKS, part % _PARTS + 1 << _COUNT_BITS | counted)
        if is_new:
            table.take(slot, hashed)
        unused_at = (part + PARTS + 1) * part_s
        self.reset_s = unused_at - now
        self.remaining = self.limit - used
        table.count(slot, unused_at)
        return True

    def _part_end(self, marks: list[int], part: int) -> float:
        """When the last part in which something was admitted is out of the window."""
        for each in range(part, part - PARTS, -1):
            if marks[each % MARKS] >> _COUNT_BITS == each % _PARTS + 1:
                break
        return (each + PARTS + 1) * self._part_s
