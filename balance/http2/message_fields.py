"""What fields of HTTP/2 may be (RFC 9113 section 8.2), and their text as HTTP/1.1 lines.

HTTP/2 carries any byte in a name or a value; in HTTP/1.1 some of them would end the line, or the message. Each is looked at as
it will be written, also one that comes out of a table.
"""

from __future__ import annotations

import re
from typing import Final

from balance.http1.fields import is_allowed_in_trailers
from balance.http2.errors import PROTOCOL_ERROR, StreamFault
from balance.http2.hpack.field_decoder import Field

_NAME: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+")
_VALUE: Final = re.compile(rb"(?:[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?")
_LENGTH: Final = re.compile(rb"[0-9]{1,18}")
# They say how one connection is used; HTTP/2 has no use for them, and a backend that believed one would read another message
# than we do (section 8.2.2).
_OF_CONNECTIONS: Final = frozenset((b"connection", b"proxy-connection", b"keep-alive", b"transfer-encoding", b"upgrade"))
NO_LENGTH: Final = -1

_MOST_NAMES: Final = 1024
_names: Final[set[bytes]] = set()  # that were looked at, and are right


def malformed(detail: str) -> StreamFault:
    """The message is malformed (section 8.1.1)."""
    return StreamFault(PROTOCOL_ERROR, detail)


def check_field(name: bytes, value: bytes) -> None:
    """StreamFault where a field may not be in HTTP/2, or not in HTTP/1.1."""
    if name not in _names:
        if not _NAME.fullmatch(name):
            raise malformed(f"{name[:64]!r} is no name of a field")
        if name in _OF_CONNECTIONS:
            raise malformed(f"{name.decode()} is not for HTTP/2")
        if len(name) <= 64:
            if len(_names) >= _MOST_NAMES:
                _names.clear()
            _names.add(name)
    if not _VALUE.fullmatch(value):
        raise malformed(f"the value of {name[:64].decode()} has a byte that is not allowed there")
    if name == b"te" and value.lower() != b"trailers":
        raise malformed("te is not for HTTP/2, but for trailers")


def read_length(value: bytes, known: int) -> int:
    """Content-Length. `known`: that of an earlier field, or NO_LENGTH."""
    if known != NO_LENGTH:
        raise malformed("two content-lengths")
    if not _LENGTH.fullmatch(value):
        raise malformed("content-length is no number")
    return int(value)


def trailer_lines(fields: list[Field]) -> bytes:
    """Trailers as HTTP/1.1 lines, without those that may not be trailers. StreamFault."""
    lines = []
    for name, value in fields:
        if name[:1] == b":":
            raise malformed("a pseudo-field in trailers")
        check_field(name, value)
        if is_allowed_in_trailers(name):
            lines.append(b"%b: %b\r\n" % (name, value))
    return b"".join(lines)
