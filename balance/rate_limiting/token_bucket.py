"""The token bucket (ATM Forum TM 4.1's GCRA): `burst` at once, and `rate` a second on average.

In any span of w seconds at most burst + rate * w requests are admitted. The bucket is full again at the time
mark + used / rate; a worker that finds it full at `now` sets its mark so that this time is now. Marks are only ever too low, as
a bucket that was full then can have been used since: so the highest of all workers' is right, and each writes its own alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from balance.rate_limiting.bucket_table import CELLS, FULL_AT, GROUP, NO_TIME, BucketTable
from balance.rate_limiting.key_slots import KEPT
from balance.rate_limiting.limiter import MOST_LEARNT, TOLERANCE, SharedLimiter, Usage
from balance.rate_limiting.moved_keys import MovedKeys


class TokenBucket(SharedLimiter):
    """One limit in one worker; a Limiter."""

    __slots__ = ("_heard", "_heard_before", "_most", "_spacing_s", "rate")

    def __init__(
        self,
        table: BucketTable,
        name: str,
        rate: float,
        burst: int,
        clock: Callable[[], float],
        moved: MovedKeys | None = None,
    ) -> None:
        """`rate` is in requests a second."""
        super().__init__(table, f"{name} token-bucket {rate} {burst}".encode(), clock, burst, burst / rate, moved)
        self.rate: Final = rate
        self._spacing_s: Final = 1.0 / rate
        self._most: Final = burst + TOLERANCE
        self._heard: dict[int, tuple[float, float]] = {}  # of a key: what was used on all machines, and when that was so
        self._heard_before: dict[int, tuple[float, float]] = {}  # dropped when the other one is full

    def admit(self, key: bytes) -> bool:
        table, spacing_s = self._table, self._spacing_s
        numbers, floats = table.numbers, table.floats
        place = self._slots.young.get(key)
        if place is None or numbers[place[0]] != place[1]:
            place = self._slots.find(key)
        slot = place[0]
        if slot < 0:
            slot, used, now = self._begin(place[1])
            own = table.own + CELLS * slot
        else:
            own = table.own + CELLS * slot
            if table.rows[0] == 1:
                counted, mark = numbers[own] * spacing_s, floats[own + GROUP]
            else:
                count, mark = table.used_since(slot)
                counted = count * spacing_s
            now = self._clock()
            used = (mark + counted - now) * self.rate
            if used <= 0.0:
                used = 0.0
                floats[own + GROUP] = now - counted or NO_TIME
        used += 1.0
        if used > self._most:
            self.retry_s = (used - self.limit) * spacing_s
            self.reset_s = (used - 1.0) * spacing_s
            self.remaining = 0
            return False
        self.reset_s = reset_s = used * spacing_s
        self.remaining = int(self._most - used)
        numbers[own] += 1
        floats[FULL_AT + slot] = now + reset_s
        if self._moved is not None:
            self._moved.add(self, key)
        return True

    def _begin(self, hashed: int) -> tuple[int, float, float]:
        """The slot of a key that had none, what is used of it, and now."""
        table, spacing_s = self._table, self._spacing_s
        slot = table.free(hashed)
        counted = table.used(slot) * spacing_s
        now = self._clock()
        if (other := self._slots.look_again(hashed)) >= 0:  # which other workers may have used for long
            count, mark = table.used_since(other)
            counted = count * spacing_s
            now = self._clock()
            used = (mark + counted - now) * self.rate
            if used <= 0.0:
                table.set_mark(other, now - counted)
            return other, max(0.0, used), now
        table.begin_marks(slot, now - counted)
        table.take(slot, hashed)
        return slot, 0.0, now

    def is_spent(self, key: bytes) -> bool:
        used = self.usage(key).used
        if used + 1.0 <= self._most:
            return False
        self.retry_s = (used + 1.0 - self.limit) * self._spacing_s
        self.reset_s = used * self._spacing_s
        self.remaining = 0
        return True

    def usage(self, key: bytes) -> Usage:
        table = self._table
        slot, hashed = self._slots.find(key)
        if slot < 0:
            return Usage(slot, hashed, 0, 0.0, self._clock())
        counted, mark = table.used_since(slot)
        now = self._clock()
        return Usage(slot, hashed, counted, max(0.0, (mark + counted * self._spacing_s - now) * self.rate), now)

    def known(self, usage: Usage, count: int) -> float:
        """What is used on all machines at least: as was heard last, and so many since. Not what other workers have admitted
        here, who say so themselves: or it would be counted twice.
        """
        heard, at = self._heard.get(usage.hashed) or self._heard_before.get(usage.hashed) or (0.0, usage.at)
        return min(usage.used, max(0.0, heard - (usage.at - at) * self.rate) + count)

    def learn(self, usage: Usage, used: float) -> None:
        """At the time of `usage` so much was used on all machines. What is known here stays known: only more counts."""
        table, spacing_s = self._table, self._spacing_s
        if len(self._heard) >= KEPT:
            self._heard, self._heard_before = {}, self._heard
        self._heard[usage.hashed] = min(used, float(MOST_LEARNT * self.limit)), usage.at
        if usage.slot < 0 or not table.holds(usage.slot, usage.hashed):
            return
        unused_at = usage.at + min(used, float(MOST_LEARNT * self.limit)) * spacing_s
        mark = unused_at - usage.counted * spacing_s
        if mark > table.used_since(usage.slot)[1]:
            table.set_mark(usage.slot, mark)
            table.keep_until(usage.slot, unused_at)
