"""Where the keys of one limit are in the table, as far as one worker remembers: hashing a key is dearer than all else.

At most 2 * KEPT keys: when the younger half is full, the older is dropped whole, so that no key pays for more than itself.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

from balance.rate_limiting.bucket_table import MAX_PLAIN_KEY, BucketTable

KEPT: Final = 4096

Place = tuple[int, int]  # a slot of the table, and the hash of the key


def short_key(key: bytes) -> bytes:
    """The key, or what stands for a long one."""
    return key if len(key) <= MAX_PLAIN_KEY else blake2b(key, digest_size=32).digest()


class KeySlots:
    """Those of one limit in one worker."""

    __slots__ = ("_limit", "_old", "_table", "young")

    def __init__(self, table: BucketTable, limit: bytes) -> None:
        """`limit` names the limit, with its numbers: one with others begins anew."""
        self._table = table
        self._limit = blake2b(limit, digest_size=16).digest()
        self.young: dict[bytes, Place] = {}
        self._old: dict[bytes, Place] = {}

    def find(self, key: bytes) -> Place:
        """The slot of the key and its hash; the slot is -1 where the key is not in the table."""
        table = self._table
        place = self.young.get(key)
        if place is not None and table.holds(place[0], place[1]):
            return place
        key = short_key(key)
        place = self.young.get(key) or self._old.get(key)
        hashed = table.hash(self._limit, key) if place is None else place[1]
        slot = table.find(hashed)
        place = slot, hashed
        if slot >= 0:
            self._keep(key, place)
        return place

    def look_again(self, hashed: int) -> int:
        """The slot that another worker has given to a key since find(); -1 for none."""
        return self._table.find(hashed)

    def _keep(self, key: bytes, place: Place) -> None:
        if len(self.young) >= KEPT:
            self._old = self.young
            self.young = {}
        self.young[key] = place
