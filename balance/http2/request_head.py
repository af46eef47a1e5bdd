"""Reads the fields of a request (RFC 9113 section 8.3.1): one that could be read in two ways is malformed, and goes nowhere."""

from __future__ import annotations

import re
from typing import Final

from balance.http2.hpack.field_decoder import Field
from balance.http2.message_fields import NO_LENGTH, check_field, malformed, read_length

_TOKEN: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_TARGET: Final = re.compile(rb"/[!\"$-~]*")  # visible ASCII without `#`, as in HTTP/1.1
_PSEUDO: Final = frozenset((b":method", b":path", b":scheme", b":authority", b":protocol"))


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


def read_request(fields: list[Field], *, ends: bool, allows_protocol: bool) -> RequestHead:
    """`ends`: the message has no body. `allows_protocol`: extended CONNECT was offered. StreamFault."""
    head = RequestHead()
    pseudo: dict[bytes, bytes] = {}
    lines: list[bytes] = []
    crumbs: list[bytes] = []
    cookie_line = host = None
    for name, value in fields:
        if name[:1] == b":":
            if name not in _PSEUDO or name in pseudo:
                raise malformed(f"the pseudo-field {name[:64]!r} comes twice, or is of no request")
            if lines or host is not None:
                raise malformed("a pseudo-field behind others")
            check_field(name[1:], value)
            pseudo[name] = value
            continue
        check_field(name, value)
        if name == b"cookie":
            if cookie_line is None:
                cookie_line = len(lines)
                lines.append(b"")
            crumbs.append(value)
            continue
        if name == b"host":
            if host is not None:
                raise malformed("two hosts")
            host = value
            continue
        if name == b"content-length":
            head.length = read_length(value, head.length)
        elif name == b"priority":
            head.priority = value
        lines.append(b"%b: %b\r\n" % (name, value))
    if cookie_line is not None:
        lines[cookie_line] = b"cookie: %b\r\n" % b"; ".join(crumbs)
    head.lines = b"".join(lines)
    if ends and head.length > 0:
        raise malformed("a content-length, and no content")
    _read_pseudo(head, pseudo, host, allows_protocol)
    return head


def _read_pseudo(head: RequestHead, pseudo: dict[bytes, bytes], host: bytes | None, allows_protocol: bool) -> None:
    method = pseudo.get(b":method", b"")
    if not _TOKEN.fullmatch(method):
        raise malformed(":method is no token")
    head.method = method
    authority = pseudo.get(b":authority")
    if authority is not None and host is not None and authority.lower() != host.lower():
        raise malformed(":authority and host differ")
    head.authority = authority or host or b""
    if not head.authority:
        raise malformed("neither :authority nor host")
    if b":protocol" in pseudo:
        if method != b"CONNECT" or not allows_protocol:
            raise malformed(":protocol, which was not offered")
        head.protocol = pseudo[b":protocol"]
    elif method == b"CONNECT":
        if b":path" in pseudo or b":scheme" in pseudo:
            raise malformed("CONNECT with :path or :scheme")
        return
    scheme = pseudo.get(b":scheme", b"")
    if scheme not in (b"https", b"http"):
        raise malformed(":scheme is neither http nor https")
    head.scheme = scheme
    target = pseudo.get(b":path", b"")
    if not _TARGET.fullmatch(target) and not (target == b"*" and method == b"OPTIONS"):
        raise malformed(":path is no path")
    head.target = target
