"""Heads and trailers of HTTP/1.1 as blocks of fields (RFC 9113 section 8.2), by a memory of lines.

A block depends on its fields alone, see hpack/field_encoder, so that what was made of a line once serves all connections. Lines
are those of our HTTP/1.1 readers and of the configuration: their fields were judged. One that is none is left out all the same,
as a peer would refuse the whole message for it.
"""

from __future__ import annotations

import re
from typing import Final

from balance.http1.fields import PROTECTED, TEXT
from balance.http2.hpack.field_encoder import NEVER_INDEXED, encode_field

# They belong to a connection of HTTP/1.1. Host is :authority.
_LEFT_OUT: Final = frozenset(
    (b"connection", b"proxy-connection", b"keep-alive", b"transfer-encoding", b"upgrade", b"http2-settings", b"host")
)
# What Connection says that names no field.
_OPTIONS: Final = frozenset((b"close", b"keep-alive", b"upgrade", b"te", b"http2-settings", b"proxy-connection", b""))
_NAME: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+")

_MOST_LINES: Final = 1024
_LONGEST_LINE: Final = 256  # bytes of one that is remembered
_lines: Final[dict[bytes, bytes]] = {}  # without their CRLF: what they are in a block


def encode_response(status: int, lines: bytes) -> bytes:
    """The block of a response. `lines`: its fields, each ending in CRLF; a status line before them is skipped.

    Fields of connections are left out, and those that Connection names.
    """
    return encode_field(b":status", b"%d" % status) + encode_lines(lines)


def encode_request(method: bytes, scheme: bytes, authority: bytes, path: bytes, lines: bytes, protocol: bytes = b"") -> bytes:
    """The block of a request. `lines` as above; Host is left out, `TE: trailers` stays. `protocol`: of an extended CONNECT."""
    block = (
        encode_field(b":method", method)
        + encode_field(b":scheme", scheme)
        + encode_field(b":authority", authority)
        + encode_field(b":path", path)
    )
    if protocol:
        block += encode_field(b":protocol", protocol)
    return block + encode_lines(lines)


def encode_lines(lines: bytes) -> bytes:
    """The block of trailers, or what follows the pseudo-fields."""
    parts = []
    for line in lines.split(b"\r\n"):
        part = _lines.get(line)
        if part is None:
            part = _encode_line(line)
            if part is None:
                return _without_named(lines)
        parts.append(part)
    return b"".join(parts)


def _encode_line(line: bytes) -> bytes | None:
    """What one is, empty for one that is left out. None: it names others to be left out."""
    name, _, value = line.partition(b":")
    name = name.lower()
    value = value.strip(b" \t")
    part = b""
    if name == b"connection":
        if not _OPTIONS.issuperset(_members(value)):
            return None
    elif name == b"te":
        if b"trailers" in _members(value):
            part = encode_field(b"te", b"trailers")
    elif name not in _LEFT_OUT and _NAME.fullmatch(name) and line.translate(TEXT) == line:
        part = encode_field(name, value)
    if len(line) <= _LONGEST_LINE and name not in NEVER_INDEXED:
        if len(_lines) >= _MOST_LINES:
            _lines.clear()
        _lines[line] = part
    return part


def _members(value: bytes) -> frozenset[bytes]:
    return frozenset(member.strip(b" \t") for member in value.lower().split(b","))


def _without_named(lines: bytes) -> bytes:
    """The same, where Connection names fields."""
    named: set[bytes] = set()
    others = []
    for line in lines.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"connection":
            named |= _members(value)
        else:
            others.append(line)
    named -= PROTECTED
    kept = [line for line in others if line.partition(b":")[0].lower() not in named]
    return b"".join([_encode_line(line) or b"" for line in kept])
