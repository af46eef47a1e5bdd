"""What fields of HTTP/2 may be (RFC 9113 section 8.2), and their text as HTTP/1.1 lines.

HTTP/2 carries any byte in a name or a value; in HTTP/1.1 some of them would end the line, or the message. Each is looked at as
it will be written, also one that comes out of a table.
"""

from __future__ import annotations

import re
from typing import Final

from balance.http1.fields import TEXT, is_allowed_in_trailers
from balance.http2.errors import PROTOCOL_ERROR, StreamFault
from balance.http2.hpack.field import PSEUDO, UNJUDGED, Field

_NAME: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+")
_BLANK: Final = 0x20
_LENGTH_DIGITS: Final = 18  # at most
_TOKEN: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_TARGET: Final = re.compile(rb"/[!\"$-~]*")  # visible ASCII without `#`, as in HTTP/1.1
# They say how one connection is used; HTTP/2 has no use for them, and a backend that believed one would read another message
# than we do (section 8.2.2).
_OF_CONNECTIONS: Final = frozenset((b"connection", b"proxy-connection", b"keep-alive", b"transfer-encoding", b"upgrade"))
NO_LENGTH: Final = -1

# What a field is that was judged, and is right. PLAIN ones say nothing to a proxy.
PLAIN: Final = 1
CONTENT_LENGTH: Final = 2
HOST: Final = 3
PRIORITY: Final = 4
CRUMB: Final = 5  # of a cookie
METHOD: Final = 6
PATH: Final = 7
SCHEME: Final = 8
AUTHORITY: Final = 9
PROTOCOL: Final = 10
STATUS: Final = 11
_KINDS: Final[dict[bytes, int]] = {
    b"content-length": CONTENT_LENGTH,
    b"host": HOST,
    b"priority": PRIORITY,
    b"cookie": CRUMB,
    b":method": METHOD,
    b":path": PATH,
    b":scheme": SCHEME,
    b":authority": AUTHORITY,
    b":protocol": PROTOCOL,
    b":status": STATUS,
}

_MOST_NAMES: Final = 1024
_names: Final[set[bytes]] = set()  # that were looked at, and are right


def malformed(detail: str) -> StreamFault:
    """The message is malformed (section 8.1.1)."""
    return StreamFault(PROTOCOL_ERROR, detail)


def judge(field: Field) -> int:
    """What a field is, which it keeps. StreamFault where it may not be in HTTP/2, or not in HTTP/1.1, in any message."""
    name, value = field.name, field.value
    if field.group == PSEUDO:
        kind = _judge_pseudo(name, value)
    else:
        _check_name(name)
        kind = _KINDS.get(name, PLAIN)
        if name == b"te" and value.lower() != b"trailers":
            raise malformed("te is not for HTTP/2, but for trailers")
    # Visible characters and bytes above ASCII, between them blanks and tabs.
    if value and (value[0] <= _BLANK or value[-1] <= _BLANK or value.translate(TEXT) != value):
        raise malformed(f"the value of {name[:64].decode()} has a byte that is not allowed there")
    if kind < CRUMB:
        field.line = b"%b: %b\r\n" % (name, value)
    field.kind = kind
    return kind


def _judge_pseudo(name: bytes, value: bytes) -> int:
    kind = _KINDS.get(name, UNJUDGED)
    if kind == UNJUDGED:
        raise malformed(f"the pseudo-field {name[:64]!r}, which is none")
    if kind == METHOD and not _TOKEN.fullmatch(value):
        raise malformed(":method is no token")
    if kind == PATH and value != b"*" and not _TARGET.fullmatch(value):
        raise malformed(":path is no path")
    if kind == SCHEME and value != b"https" and value != b"http":
        raise malformed(":scheme is neither http nor https")
    return kind


def _check_name(name: bytes) -> None:
    if name in _names:
        return
    if not _NAME.fullmatch(name):
        raise malformed(f"{name[:64]!r} is no name of a field")
    if name in _OF_CONNECTIONS:
        raise malformed(f"{name.decode()} is not for HTTP/2")
    if len(name) <= 64:
        if len(_names) >= _MOST_NAMES:
            _names.clear()
        _names.add(name)


def read_length(value: bytes, known: int) -> int:
    """Content-Length. `known`: that of an earlier field, or NO_LENGTH."""
    if known != NO_LENGTH:
        raise malformed("two content-lengths")
    if not value.isdigit() or len(value) > _LENGTH_DIGITS:
        raise malformed("content-length is no number")
    return int(value)


def trailer_lines(fields: list[Field]) -> bytes:
    """Trailers as HTTP/1.1 lines, without those that may not be trailers. StreamFault."""
    lines = []
    for field in fields:
        if field.group == PSEUDO:
            raise malformed("a pseudo-field in trailers")
        if field.kind == UNJUDGED:
            judge(field)
        if is_allowed_in_trailers(field.name):
            lines.append(field.line)
    return b"".join(lines)
