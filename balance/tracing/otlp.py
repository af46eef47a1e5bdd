"""OTLP's messages in protobuf's wire format (https://protobuf.dev/programming-guides/encoding/): spans, and their request.

Written here, as the official messages take six times as long for a span, and their package 10 MB in each worker; the tests read
what is written with the official ones. The numbers of fields are those of opentelemetry/proto/trace/v1/trace.proto, which is
stable (OTLP 1.x).
"""

from __future__ import annotations

from binascii import unhexlify
from collections.abc import Iterable, Sequence
from struct import Struct
from typing import Final

SERVER: Final = 2  # Span.SpanKind
CLIENT: Final = 3
ERROR: Final = 2  # Status.StatusCode

_VARINT: Final = 0  # wire types
_FIXED64: Final = 1
_LENGTH: Final = 2
_FIXED32: Final = 5
_MAX_NUMBER: Final = 1 << 64

_KINDS: Final = tuple(b"\x30" + bytes((kind,)) for kind in range(6))  # Span.kind (6)
_TIMES: Final = Struct("<BQBQ").pack  # Span.start_time_unix_nano (7) and end_time_unix_nano (8)
_EVENT_TIME: Final = Struct("<BQ").pack
_FLAGS: Final = Struct("<I").pack

# Span.flags and Link.flags: the trace flags, and whether the parent is remote
HAS_IS_REMOTE: Final = 0x100
IS_REMOTE: Final = 0x200

MAX_CACHED: Final = 4096
_cached: Final[dict[tuple[str, str | int], bytes]] = {}  # attributes whose values come again and again
_keys: Final[dict[str, bytes]] = {}  # as a KeyValue has them


def varint(number: int) -> bytes:
    """An unsigned number."""
    if number < 0x80:
        return bytes((number,))
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def field(number: int, content: bytes) -> bytes:
    """A field of bytes, text or a message."""
    return b"%b%b%b" % (varint(number << 3 | _LENGTH), varint(len(content)), content)


def text_attribute(key: str, value: str) -> bytes:
    """A KeyValue of text, as field 9 of a Span."""
    text = value.encode("utf-8", "replace")
    start, size = _keys.get(key) or _learn(key), len(text)
    whole = size + len(start) + 4
    if whole < 0x80:  # each length is one byte: the usual case, in one go
        return b"\x4a%c%b\x12%c\x0a%c%b" % (whole, start, size + 2, size, text)
    return field(9, start + field(2, field(1, text)))


def common_attribute(key: str, value: str | int) -> bytes:
    """An attribute whose value comes again and again: kept, of a bounded number."""
    known = _cached.get((key, value))
    if known is None:
        if len(_cached) >= MAX_CACHED:
            _cached.clear()
        known = text_attribute(key, value) if isinstance(value, str) else number_attribute(key, value)
        _cached[key, value] = known
    return known


def _learn(key: str) -> bytes:
    """The key of a KeyValue; keys are a few of ours."""
    start = _keys[key] = field(1, key.encode())
    return start


def number_attribute(key: str, value: int) -> bytes:
    """A KeyValue of a number that is not negative, as field 9 of a Span."""
    return field(9, _pair(key, b"\x18" + varint(value)))


def _pair(key: str, value: bytes) -> bytes:
    return field(1, key.encode()) + field(2, value)


def event(at_ns: int, name: str, attributes: Iterable[bytes] = ()) -> bytes:
    """A Span.Event, as field 11 of a Span; `attributes` as a Span has them."""
    # The number of the field is the first byte of each: 9 in a Span, 3 here.
    own = b"".join([b"\x1a" + attribute[1:] for attribute in attributes])
    return field(11, _EVENT_TIME(1 << 3 | _FIXED64, at_ns) + field(2, name.encode()) + own)


def link(trace_id: bytes, span_id: bytes, state: bytes, flags: int) -> bytes:
    """A Span.Link, as field 13 of a Span. Ids in hexadecimal digits."""
    content = field(1, unhexlify(trace_id)) + field(2, unhexlify(span_id))
    if state:
        content += field(3, state)
    return field(13, content + b"\x35" + _FLAGS(flags | HAS_IS_REMOTE | IS_REMOTE))


def span(
    ids: tuple[bytes, bytes, bytes],
    state: bytes,
    name: str,
    kind: int,
    times_ns: tuple[int, int],
    parts: Sequence[bytes],
    flags: int,
    error: str | None,
) -> bytes:
    """A Span, as field 2 of ScopeSpans.

    `ids` are those of the trace, the span and its parent, b"" for none, in hexadecimal digits; `parts` are attributes, events
    and links; `error` is the message of a Status that says so, "" for one without.
    """
    trace_id, span_id, parent_id = ids
    start_ns, end_ns = times_ns
    content = b"".join((
        b"\x0a\x10", unhexlify(trace_id), b"\x12\x08", unhexlify(span_id),
        field(3, state) if state else b"",
        b"\x22\x08" + unhexlify(parent_id) if parent_id else b"",
        field(5, name.encode("utf-8", "replace")),
        _KINDS[kind],
        _TIMES(7 << 3 | _FIXED64, start_ns, 8 << 3 | _FIXED64, max(start_ns, end_ns)),
        *parts,
        b"" if error is None else field(15, (field(2, error.encode("utf-8", "replace")) if error else b"") + b"\x18\x02"),
        b"\x85\x01", _FLAGS(flags),
    ))  # fmt: skip
    return field(2, content)


class Resource:
    """What every span of this process is said to come from. Makes requests of spans."""

    __slots__ = ("_head", "_scope")

    def __init__(self, attributes: Sequence[tuple[str, str | int]], scope: str, version: str) -> None:
        pairs = [
            field(1, _pair(key, field(1, value.encode()) if isinstance(value, str) else b"\x18" + varint(value)))
            for key, value in attributes
        ]
        self._head = field(1, b"".join(pairs))
        self._scope = field(1, field(1, scope.encode()) + field(2, version.encode()))

    def request(self, spans: Iterable[bytes]) -> bytes:
        """An ExportTraceServiceRequest of span()s."""
        return field(1, self._head + field(2, self._scope + b"".join(spans)))


def rejected(response: bytes) -> tuple[int, str]:
    """What an ExportTraceServiceResponse says of spans that were not taken: how many, and why; nothing if it can't be read."""
    partial = _fields(response).get(1)
    if not isinstance(partial, bytes):
        return 0, ""
    found = _fields(partial)
    count, why = found.get(1, 0), found.get(2, b"")
    return count if isinstance(count, int) else 0, why.decode("utf-8", "replace") if isinstance(why, bytes) else ""


def _fields(message: bytes) -> dict[int, int | bytes]:
    """The last value of each field; none when they are malformed."""
    found: dict[int, int | bytes] = {}
    at = 0
    try:
        while at < len(message):
            tag, at = _read_varint(message, at)
            wire = tag & 7
            if wire == _VARINT:
                found[tag >> 3], at = _read_varint(message, at)
                continue
            if wire == _LENGTH:
                size, at = _read_varint(message, at)
            elif wire in (_FIXED64, _FIXED32):
                size = 8 if wire == _FIXED64 else 4
            else:
                return {}
            if at + size > len(message):
                return {}
            if wire == _LENGTH:
                found[tag >> 3] = message[at : at + size]
            at += size
    except IndexError:
        return {}
    return found


def _read_varint(message: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = message[at]
        at += 1
        number |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            return number % _MAX_NUMBER, at
        if shift > 63:
            raise IndexError
