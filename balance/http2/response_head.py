"""Reads the fields of a response (RFC 9113 section 8.3.2)."""

from __future__ import annotations

from balance.http2.hpack.field import PSEUDO, UNJUDGED, Field
from balance.http2.hpack.field_decoder import FieldDecoder
from balance.http2.message_fields import CONTENT_LENGTH, CRUMB, NO_LENGTH, judge, malformed, read_length


class ResponseHead:
    """One that is well-formed. `status` of 1xx: an interim one, and another follows."""

    __slots__ = ("length", "lines", "status")

    def __init__(self, status: int, lines: bytes, length: int) -> None:
        self.status = status
        self.lines = lines  # as of HTTP/1.1
        self.length = length

    @property
    def is_interim(self) -> bool:
        return self.status < 200


def read_response(fields: list[Field], decoder: FieldDecoder, *, ends: bool) -> ResponseHead:
    """What `decoder` has just read. `ends`: the message ends with its head. StreamFault."""
    if not fields or fields[0].name != b":status":
        raise malformed("a response without :status")
    value = fields[0].value
    if len(value) != 3 or not value.isdigit() or value < b"100":
        raise malformed("a response without :status")
    status = int(value)
    length = NO_LENGTH
    lines = []
    for field in fields[1:]:
        if field.group == PSEUDO:
            raise malformed("a pseudo-field that a response does not have, or behind others")
        kind = field.kind
        if kind == UNJUDGED:
            kind = judge(field)
        if kind == CONTENT_LENGTH:
            length = read_length(field.value, length)
        lines.append(b"cookie: %b\r\n" % field.value if kind == CRUMB else field.line)
    if status < 200 and ends:
        raise malformed("an interim response that ends the stream")
    if status == 101:
        raise malformed("101, which HTTP/2 does not have")
    tail = decoder.tail
    if tail is not None:
        return ResponseHead(status, tail.lines, tail.length)
    text = b"".join(lines)
    new_tail = decoder.new_tail
    if new_tail is not None:
        new_tail.lines, new_tail.length = text, length
        decoder.remember(new_tail)
    return ResponseHead(status, text, length)
