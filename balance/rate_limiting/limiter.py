"""What stages ask: may this key have one more, and what is told to the client about it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from balance.rate_limiting.bucket_table import BucketTable
from balance.rate_limiting.key_slots import KeySlots

TOLERANCE: Final = 1e-6  # of a request, for what adding fractions of seconds loses


class Limiter(Protocol):
    """One limit in one worker. After admit() the other attributes are about that request."""

    limit: int  # how many at once
    window_s: float  # in this time, where nothing was used before
    remaining: int  # how many more would be admitted now
    reset_s: float  # how long until the limit is as if unused
    retry_s: float  # how long until one more will be admitted; after a refusal

    def admit(self, key: bytes) -> bool:
        """Whether one more request of this key is within the limit; it is counted then. A refused one counts for nothing."""
        ...


class SharedLimiter:
    """What both kinds have in common. `clock` is read after the table, so that no worker judges by a time before the counts."""

    __slots__ = ("_clock", "_slots", "_table", "limit", "remaining", "reset_s", "retry_s", "window_s")

    def __init__(self, table: BucketTable, name: bytes, clock: Callable[[], float], limit: int, window_s: float) -> None:
        self._table = table
        self._slots = KeySlots(table, name)
        self._clock = clock
        self.limit = limit
        self.window_s = window_s
        self.remaining = limit
        self.reset_s = 0.0
        self.retry_s = 0.0
