"""Reads the fields of a response (RFC 9113 section 8.3.2)."""

from __future__ import annotations

import re
from typing import Final

from balance.http2.hpack.field import PSEUDO, UNJUDGED, Field
from balance.http2.message_fields import CONTENT_LENGTH, CRUMB, NO_LENGTH, judge, malformed, read_length

_STATUS: Final = re.compile(rb"[1-9][0-9]{2}")


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


def read_response(fields: list[Field], *, ends: bool) -> ResponseHead:
    """`ends`: the message ends with its head. StreamFault."""
    if not fields or fields[0].name != b":status" or not _STATUS.fullmatch(fields[0].value):
        raise malformed("a response without :status")
    status = int(fields[0].value)
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
    return ResponseHead(status, b"".join(lines), length)
