"""Credentials in an Authorization field (RFC 9110 section 11.4): which scheme, and user and password of Basic (RFC 7617)."""

from __future__ import annotations

import binascii
import hashlib
import os
from collections.abc import Sequence
from typing import Final

from balance.security.password_hash import MAX_PASSWORD

_MAX_FIELD: Final = 2 * MAX_PASSWORD


def of_scheme(values: Sequence[bytes], scheme: bytes) -> bytes | None:
    """What follows the scheme (lower case) in the one Authorization field; None for none, several, or another scheme.

    Of several fields backends may read another than we do, so that none counts.
    """
    if len(values) != 1:
        return None
    name, _, rest = values[0].partition(b" ")
    return rest.strip(b" ") if name.lower() == scheme else None


def basic(values: Sequence[bytes]) -> tuple[str, bytes] | None:
    """User and password; None where there are none that can be right."""
    encoded = of_scheme(values, b"basic")
    if not encoded or len(encoded) > _MAX_FIELD:
        return None
    try:
        text = binascii.a2b_base64(encoded, strict_mode=True)
        user, colon, password = text.partition(b":")
        name = user.decode()
    except ValueError:
        return None
    if not colon or not name or len(password) > MAX_PASSWORD or any(byte < 32 or byte == 127 for byte in text):
        return None  # RFC 7617 section 2: neither has control characters
    return name, password


class Remembered:
    """What was verified, by a hash with a key of this process: what is in memory is no password, and can't be looked up."""

    __slots__ = ("_key", "_known", "_size")

    def __init__(self, size: int) -> None:
        self._key = os.urandom(32)
        self._known: dict[bytes, float] = {}  # until when, in the order in which they were verified
        self._size = size

    def digest(self, *parts: bytes) -> bytes:
        """The key of these credentials; parts are told apart."""
        found = hashlib.blake2b(key=self._key, digest_size=32)
        for part in parts:
            found.update(b"%d:" % len(part))
            found.update(part)
        return found.digest()

    def has(self, digest: bytes, now: float) -> bool:
        until = self._known.get(digest)
        if until is None:
            return False
        if now < until:
            return True
        del self._known[digest]
        return False

    def add(self, digest: bytes, until: float) -> None:
        known = self._known
        known.pop(digest, None)
        if len(known) >= self._size:
            del known[next(iter(known))]
        known[digest] = until
