"""The token bucket (ATM Forum TM 4.1's GCRA): `burst` at once, and `rate` a second on average.

In any span of w seconds at most burst + rate * w requests are admitted. The bucket is full again at the time
mark + used / rate; a worker that finds it full at `now` sets its mark so that this time is now. Marks are only ever too low, as
a bucket that was full then can have been used since: so the highest of all workers' is right, and each writes its own alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from balance.rate_limiting.bucket_table import BucketTable
from balance.rate_limiting.limiter import TOLERANCE, SharedLimiter


class TokenBucket(SharedLimiter):
    """One limit in one worker; a Limiter."""

    __slots__ = ("_most", "_rate", "_spacing_s")

    def __init__(self, table: BucketTable, name: str, rate: float, burst: int, clock: Callable[[], float]) -> None:
        """`rate` is in requests a second."""
        super().__init__(table, f"{name} token-bucket {rate} {burst}".encode(), clock, burst, burst / rate)
        self._rate: Final = rate
        self._spacing_s: Final = 1.0 / rate
        self._most: Final = burst + TOLERANCE

    def admit(self, key: bytes) -> bool:
        table, spacing_s = self._table, self._spacing_s
        slot, hashed = self._slots.find(key)
        is_new = slot < 0
        if is_new:
            slot = table.free(hashed)
        counted = table.used(slot) * spacing_s
        mark = 0.0 if is_new else table.mark(slot)
        now = self._clock()
        if is_new and (other := self._slots.look_again(hashed)) >= 0:  # which other workers may have used for long
            slot, is_new = other, False
            counted, mark = table.used(slot) * spacing_s, table.mark(slot)
            now = self._clock()
        if is_new:
            table.begin_marks(slot, now - counted)
            table.take(slot, hashed)
            used = 0.0
        else:
            used = (mark + counted - now) * self._rate
            if used <= 0.0:
                used = 0.0
                table.set_mark(slot, now - counted)
        used += 1.0
        if used > self._most:
            self.retry_s = (used - self.limit) * spacing_s
            self.reset_s = (used - 1.0) * spacing_s
            self.remaining = 0
            return False
        self.reset_s = used * spacing_s
        self.remaining = int(self._most - used)
        table.count(slot, now + used * spacing_s)
        return True
