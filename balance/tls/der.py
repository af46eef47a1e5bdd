"""Reads DER, the encoding of certificates and revocation lists (ITU-T X.690), as far as they need it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

UTC_TIME: Final = 0x17
GENERALIZED_TIME: Final = 0x18


def items(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The (tag, content) of each element. ValueError or IndexError when one is cut off."""
    at = 0
    while at < len(data):
        tag, length = data[at], data[at + 1]
        at += 2
        if length & 0x80:
            size = length & 0x7F
            if not 0 < size <= 4:
                raise ValueError("length")
            length = int.from_bytes(data[at : at + size], "big")
            at += size
        content = data[at : at + length]
        if len(content) != length:
            raise ValueError("cut off")
        yield tag, content
        at += length


def first(data: bytes) -> bytes:
    """The content of the first element. ValueError or IndexError when there is none."""
    for _, content in items(data):
        return content
    raise ValueError("empty")


def time_of(tag: int, value: bytes) -> float:
    """Seconds since the epoch. ValueError when it is no time."""
    text = value.decode("ascii")
    if tag == UTC_TIME:  # RFC 5280 section 4.1.2.5.1
        text = ("19" if int(text[:2]) >= 50 else "20") + text
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC).timestamp()
