"""A field of a head that is looked up for one request in many."""

from __future__ import annotations

from typing import Final

from balance.http1.head import RequestFields, Response

CONTENT_TYPE: Final = b"\ncontent-type:"


def value_span(lines: bytes, name: bytes) -> tuple[int, int]:
    """Start and end of the value of the first field `name`, given in lower case as `\\nname:`; (-1, -1) when there is none.

    `lines` begin with a request or status line, or with a field line, and have a CRLF each.
    """
    at = lines.find(name)  # as HTTP/2 writes it
    if at >= 0:
        start = at + len(name)
    else:
        start = len(name) - 1
        if not lines.startswith(name[1:]):
            lower = lines.lower()
            if not lower.startswith(name[1:]):
                at = lower.find(name)
                if at < 0:
                    return -1, -1
                start = at + len(name)
    return start, lines.find(b"\r\n", start)


def value_of(lines: bytes, name: bytes) -> bytes:
    """That value; empty where there is no such field."""
    start, end = value_span(lines, name)
    return b"" if start < 0 else lines[start:end].strip(b" \t")


def value_in(fields: RequestFields, name: bytes) -> bytes:
    """value_of() their lines to forward. Remembered: requests with identical lines share their fields."""
    found = fields.cache
    if found is None:
        found = fields.cache = {}
    value = found.get(name)
    if value is None:
        value = found[name] = value_of(fields.forward, name)
    return value


def content_type_of(response: Response) -> bytes:
    """Likewise: replies with identical heads share their Response."""
    value = response.content_type
    if value is None:
        value = response.content_type = value_of(response.forward, CONTENT_TYPE)
    return value
