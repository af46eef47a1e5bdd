"""Heads and trailers of HTTP/1.1 as blocks of fields (RFC 9113 section 8.2), by a memory of lines.

A block depends on its fields alone, see hpack/field_encoder, so that what was made of a line once serves all connections. Lines
are those of our HTTP/1.1 readers and of the configuration: their fields were judged. One that is none is left out all the same,
as a peer would refuse the whole message for it.
"""

from __future__ import annotations

import re
from typing import Final

from balance.http1.fields import PROTECTED, TEXT
from balance.http1.head import RequestFields
from balance.http2.hpack.field_encoder import LENGTHS, encode_field, encode_length, encode_name

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
# All of a head's lines but for the last one: what we add at the end, an id, is another each time.
_MOST_HEADS: Final = 256
_LONGEST_HEAD: Final = 2048
_heads: Final[dict[bytes, bytes]] = {}
_MOST_STARTS: Final = 512
_starts: Final[dict[bytes, bytes]] = {}  # of requests: their pseudo-fields but :path
_statuses: Final[dict[int, bytes]] = {}
_MOST_NAMES: Final = 512
_LONGEST_NAME: Final = 64
_names: Final[dict[bytes, bytes]] = {}  # as lines spell them: what stands before a value's length
# Names whose values are others each time, not worth remembering.
_CHANGING: Final = frozenset((b"X-Request-Id", b"x-request-id", b"X-Request-ID", b"traceparent"))
_BLOCK: Final = object()  # in RequestFields.cache: what its lines are in a block
_PATH: Final = encode_name(b":path")
_TE_TRAILERS: Final = encode_field(b"te", b"trailers")
_SPACE: Final = 0x20
_FLAGS: Final = 0xF0
_NEVER_INDEXED_FLAG: Final = 0x10


def encode_response(status: int, lines: bytes) -> bytes:
    """The block of a response. `lines`: its fields, each ending in CRLF; a status line before them is skipped.

    Fields of connections are left out, and those that Connection names.
    """
    start = _statuses.get(status)
    if start is None:
        start = _statuses[status] = encode_field(b":status", b"%d" % status)  # there are 900
    return start + encode_lines(lines)


def encode_request(
    method: bytes,
    scheme: bytes,
    authority: bytes,
    path: bytes,
    lines: bytes,
    protocol: bytes = b"",
    fields: RequestFields | None = None,
) -> bytes:
    """The block of a request. `lines` as above; Host is left out, `TE: trailers` stays. `protocol`: of an extended CONNECT.
    `fields`: with whose lines `lines` mostly begin.
    """
    key = b"%b %b %b %b" % (method, scheme, protocol, authority)
    start = _starts.get(key)
    if start is None:
        start = encode_field(b":method", method) + encode_field(b":scheme", scheme) + encode_field(b":authority", authority)
        if protocol:
            start += encode_field(b":protocol", protocol)
        if len(key) <= _LONGEST_LINE:
            if len(_starts) >= _MOST_STARTS:
                _starts.clear()
            _starts[key] = start
    size = len(path)
    start += _PATH + LENGTHS[size] + path if 1 < size < len(LENGTHS) else encode_field(b":path", path)
    return start + (encode_lines(lines) if fields is None else _encode_known(fields, lines))


def _encode_known(fields: RequestFields, lines: bytes) -> bytes:
    """encode_lines() of lines that mostly begin with those of `fields`, whose block is remembered there.

    Requests with identical lines share their fields, and a secret is kept no longer than these keep it anyway. What follows
    is ours, and names none of theirs.
    """
    forward = fields.forward
    if not forward or not lines.startswith(forward):
        return encode_lines(lines)
    found = fields.cache
    if found is None:
        found = fields.cache = {}
    block = found.get(_BLOCK)
    if block is None:
        block = _encode_head(forward)
        if block is None:
            return encode_lines(lines)
        found[_BLOCK] = block
    size = len(forward)
    return block if size == len(lines) else block + encode_lines(lines[size:])


def encode_lines(lines: bytes) -> bytes:
    """The block of trailers, or what follows the pseudo-fields."""
    at = lines.rfind(b"\r\n", 0, len(lines) - 2) + 2  # where the last line begins; 1 where it is the only one
    if at < 2:
        at = 0
    block = b""
    if at:
        before = lines[:at]
        known = _heads.get(before)
        if known is None:
            known = _encode_head(before)
            if known is None:
                return _without_named(lines)
        block = known
    line = lines[at:-2]
    last = _lines.get(line)
    if last is None:
        last = _encode_line(line)
        if last is None:
            return _without_named(lines)
    return block + last


def _encode_head(lines: bytes) -> bytes | None:
    """What several are. None: one names others to be left out."""
    parts: list[bytes] = []
    is_open = True
    for line in lines.split(b"\r\n"):
        part = _lines.get(line)
        if part is None:
            part = _encode_line(line)
            if part is None:
                return None
            if line not in _lines:  # it is a secret, or another each time
                is_open = False
        parts.append(part)
    block = b"".join(parts)
    if is_open and len(lines) <= _LONGEST_HEAD:
        if len(_heads) >= _MOST_HEADS:
            _heads.clear()
        _heads[lines] = block
    return block


def _encode_line(line: bytes) -> bytes | None:
    """What one is, empty for one that is left out. None: it names others to be left out."""
    at = line.find(b":")
    name = line[:at] if at > 0 else b""  # of a status line, and what is no field
    start = _names.get(name)
    if start is None:
        start = _start_of(name)
    at += 1
    part = b""
    if start:
        value = line[at + 1 :] if at < len(line) and line[at] == _SPACE else line[at:]
        if value and (value[0] <= _SPACE or value[-1] <= _SPACE):
            value = value.strip(b" \t")
        if line.translate(TEXT) == line:
            size = len(value)
            part = start + (LENGTHS[size] if size < len(LENGTHS) else encode_length(size)) + value
        if start[0] & _FLAGS == _NEVER_INDEXED_FLAG:
            return part
    else:
        lower = name.lower()
        if lower == b"connection":
            if not _OPTIONS.issuperset(_members(line[at:])):
                return None
        elif lower == b"te" and b"trailers" in _members(line[at:]):
            part = _TE_TRAILERS
    if len(line) <= _LONGEST_LINE and name not in _CHANGING:
        if len(_lines) >= _MOST_LINES:
            _lines.clear()
        _lines[line] = part
    return part


def _start_of(name: bytes) -> bytes:
    """What stands before the length of a value; empty for a name whose lines are not as they are."""
    lower = name.lower()
    if lower == b"te" or lower in _LEFT_OUT or not _NAME.fullmatch(lower):
        start = b""
    else:
        start = encode_name(lower)
    if len(name) <= _LONGEST_NAME:
        if len(_names) >= _MOST_NAMES:
            _names.clear()
        _names[name] = start
    return start


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
