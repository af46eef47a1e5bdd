"""What the fields behind the pseudo-fields of a head have said: the same bytes say it again, until the table changes."""

from __future__ import annotations

from typing import Final

LONGEST_TAIL: Final = 256  # bytes of one that is remembered, encoded
MOST_LINES_BYTES: Final = 2048  # and decoded
MOST_TAILS: Final = 4  # of one connection


class Tail:
    """The decoder knows its bytes and counts; the reader of heads knows the rest. None of it depends on a message."""

    __slots__ = ("cookies", "count", "encoded", "host", "length", "lines", "priority", "total")

    def __init__(self, encoded: bytes, count: int, cookies: int, total: int) -> None:
        self.encoded = encoded
        self.count = count  # fields
        self.cookies = cookies  # of which are cookies
        self.total = total  # bytes, as RFC 7541 counts them
        self.lines = b""
        self.length = -1
        self.priority = b""
        self.host: bytes | None = None
