"""One field of a block, or of a table. What a reader of messages has found out about it stays with it.

A field that is in a table comes again and again, also on other connections: it is judged once. See message_fields.
"""

from __future__ import annotations

from typing import Final

from balance.http2.hpack.static_table import STATIC_TABLE

ENTRY_BYTES: Final = 32  # what an entry counts beside its text (RFC 7541 section 4.1)

OTHER: Final = 0
PSEUDO: Final = 1
COOKIE: Final = 2
_COLON: Final = 58

UNJUDGED: Final = 0


class Field:
    """`size` is as RFC 7541 counts it, `group` OTHER, PSEUDO or COOKIE."""

    __slots__ = ("group", "kind", "line", "name", "size", "value")

    def __init__(self, name: bytes, value: bytes) -> None:
        self.name = name
        self.value = value
        self.size = len(name) + len(value) + ENTRY_BYTES
        self.group = OTHER
        if name == b"cookie":
            self.group = COOKIE
        elif name and name[0] == _COLON:
            self.group = PSEUDO
        self.kind = UNJUDGED  # what it means in a message
        self.line = b""  # its HTTP/1.1 line, where its kind has one


# By their index; nothing is at 0.
STATIC_FIELDS: Final[list[Field]] = [Field(b"", b""), *[Field(name, value) for name, value in STATIC_TABLE]]
