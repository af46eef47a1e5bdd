"""Reads the fields of a request (RFC 9113 section 8.3.1): one that could be read in two ways is malformed, and goes nowhere."""

from __future__ import annotations

from balance.http2.hpack.field import UNJUDGED, Field
from balance.http2.hpack.field_decoder import FieldDecoder
from balance.http2.message_fields import (
    AUTHORITY,
    CONTENT_LENGTH,
    CRUMB,
    HOST,
    METHOD,
    NO_LENGTH,
    PATH,
    PLAIN,
    PRIORITY,
    PROTOCOL,
    SCHEME,
    judge,
    malformed,
    read_length,
)


class RequestHead:
    """One that is well-formed. `target` and `scheme` are empty for a plain CONNECT."""

    __slots__ = ("authority", "length", "lines", "method", "priority", "protocol", "scheme", "target")

    def __init__(self) -> None:
        self.method = b""
        self.target = b""
        self.scheme = b""
        self.authority = b""  # or Host's value
        self.protocol = b""  # of an extended CONNECT (RFC 8441)
        self.lines = b""  # the other fields as HTTP/1.1 lines; cookies are one
        self.length = NO_LENGTH
        self.priority = b""  # RFC 9218


def read_request(fields: list[Field], decoder: FieldDecoder, *, ends: bool, allows_protocol: bool) -> RequestHead:
    """What `decoder` has just read. `ends`: no content comes. `allows_protocol`: extended CONNECT was offered. StreamFault."""
    head = RequestHead()
    method: bytes | None = None
    path: bytes | None = None
    scheme: bytes | None = None
    authority: bytes | None = None
    protocol: bytes | None = None
    host: bytes | None = None
    lines: list[bytes] = []
    crumbs: list[bytes] | None = None
    cookie_line = 0
    for field in fields:
        kind = field.kind
        if kind == UNJUDGED:
            kind = judge(field)
        if kind == PLAIN:
            lines.append(field.line)
        elif kind == CRUMB:
            if crumbs is None:
                crumbs = []
                cookie_line = len(lines)
                lines.append(b"")
            crumbs.append(field.value)
        elif kind == HOST:
            if host is not None:
                raise malformed("two hosts")
            host = field.value
        elif kind == CONTENT_LENGTH:
            head.length = read_length(field.value, head.length)
            lines.append(field.line)
        elif kind == PRIORITY:
            head.priority = field.value
            lines.append(field.line)
        elif lines or host is not None:
            raise malformed("a pseudo-field behind others")
        elif kind == METHOD and method is None:
            method = field.value
        elif kind == PATH and path is None:
            path = field.value
        elif kind == SCHEME and scheme is None:
            scheme = field.value
        elif kind == AUTHORITY and authority is None:
            authority = field.value
        elif kind == PROTOCOL and protocol is None:
            protocol = field.value
        else:
            raise malformed(f"the pseudo-field {field.name!r} comes twice, or is of no request")
    tail = decoder.tail
    if tail is not None:
        head.lines = tail.lines
        head.length = tail.length
        head.priority = tail.priority
        host = tail.host
    else:
        if crumbs is not None:
            lines[cookie_line] = b"cookie: %b\r\n" % b"; ".join(crumbs)
        head.lines = b"".join(lines)
        new_tail = decoder.new_tail
        if new_tail is not None:
            new_tail.lines = head.lines
            new_tail.length = head.length
            new_tail.priority = head.priority
            new_tail.host = host
            decoder.remember(new_tail)
    if ends and head.length > 0:
        raise malformed("a content-length, and no content")
    if method is None:
        raise malformed("no :method")
    head.method = method
    if authority is not None and host is not None and authority != host and authority.lower() != host.lower():
        raise malformed(":authority and host differ")
    head.authority = authority or host or b""
    if not head.authority:
        raise malformed("neither :authority nor host")
    if protocol is not None:
        if method != b"CONNECT" or not allows_protocol:
            raise malformed(":protocol, which was not offered")
        head.protocol = protocol
    elif method == b"CONNECT":
        if path is not None or scheme is not None:
            raise malformed("CONNECT with :path or :scheme")
        return head
    if scheme is None or path is None:
        raise malformed("no :scheme, or no :path")
    if path == b"*" and method != b"OPTIONS":
        raise malformed(":path is no path")
    head.scheme = scheme
    head.target = path
    return head
