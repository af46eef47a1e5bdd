"""What stages ask: may this key have one more, and what is told to the client about it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from hashlib import blake2b
from typing import Final, NamedTuple, Protocol

from balance.rate_limiting.bucket_table import BucketTable
from balance.rate_limiting.key_slots import KeySlots
from balance.rate_limiting.moved_keys import MovedKeys

TOLERANCE: Final = 1e-6  # of a request, for what adding fractions of seconds loses
MOST_LEARNT: Final = 16  # times the limit: what other machines may have admitted, whatever we are told
NAME_BYTES: Final = 16


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

    def is_spent(self, key: bytes) -> bool:
        """Whether admit() would refuse; nothing is counted."""
        ...


class Usage(NamedTuple):
    """How a key stands on this machine."""

    slot: int  # of the table; -1 where the key is not in it
    hashed: int
    counted: int  # the sum of its counts
    used: float  # requests, as the limit has them
    at: float  # when that was read


class SharedLimiter(ABC):
    """What both kinds have in common. `clock` is read after the table, so that no worker judges by a time before the counts."""

    __slots__ = ("_clock", "_moved", "_slots", "_table", "identity", "limit", "remaining", "reset_s", "retry_s", "window_s")

    def __init__(
        self,
        table: BucketTable,
        identity: bytes,
        clock: Callable[[], float],
        limit: int,
        window_s: float,
        moved: MovedKeys | None,
    ) -> None:
        """`identity` names the limit, with its numbers; `moved` is told what was admitted where other machines are to know."""
        self.identity: Final = identity
        self._table = table
        self._slots = KeySlots(table, identity)
        self._clock = clock
        self._moved = moved
        self.limit = limit
        self.window_s = window_s
        self.remaining = limit
        self.reset_s = 0.0
        self.retry_s = 0.0

    def name(self, key: bytes) -> bytes:
        """What a key of this limit is called on all machines; its text can't be read out of it."""
        limit = blake2b(self.identity, digest_size=NAME_BYTES).digest()
        return blake2b(limit + key, digest_size=NAME_BYTES).hexdigest().encode()

    @abstractmethod
    def usage(self, key: bytes) -> Usage:
        """How a key stands here now."""
