"""Reading a request's head (RFC 9112 sections 2, 3 and 5), strictly: what two readers could read differently is refused."""

from __future__ import annotations

import re

from httptools import HttpRequestParser

from balance.config.model import HttpConfig
from balance.errors import ProtocolError
from balance.http1.fields import (
    CONNECTION,
    CONNECTION_AUTH,
    CONTENT_LENGTH,
    EXPECT,
    FORWARDING,
    HOST,
    MAX_FORWARDS,
    PROTECTED,
    REQUEST_ID,
    TE,
    TRANSFER_ENCODING,
    UNDERSCORE,
    UPGRADE,
    for_witness,
    malformed,
    members,
    only_host,
    options,
    special,
    without,
    without_named,
)
from balance.http1.framing import BY_CHUNKS, NO_BODY, request_framing, show
from balance.http1.head import Request, RequestFields
from balance.http1.host import origin_form, read_host
from balance.http1.llhttp_check import LlhttpCheck
from balance.model import Why

# What llhttp knows. Any other token is a method, too (RFC 9110 section 9.1), and its framing is witnessed as a POST's.
METHODS = frozenset(
    b"GET HEAD POST PUT DELETE PATCH OPTIONS TRACE CONNECT COPY LOCK MKCOL MOVE PROPFIND PROPPATCH SEARCH UNLOCK BIND REBIND "
    b"UNBIND ACL REPORT MKACTIVITY CHECKOUT MERGE M-SEARCH NOTIFY SUBSCRIBE UNSUBSCRIBE PURGE MKCALENDAR LINK UNLINK "
    b"QUERY".split()
)
MAX_METHOD = 64  # bytes; the longest that is registered, UPDATEREDIRECTREF, has 17
_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_TARGET = re.compile(rb"[!\"$-~]+")  # visible ASCII without `#`: a fragment is never sent (RFC 9112 section 3.2)
_VERSION = re.compile(rb"HTTP/[0-9]\.[0-9]")
_REQUEST_ID = re.compile(rb"[!-~]{1,128}")
_LENGTH_OF_CHAIN = re.compile(rb"[0-9]{1,9}")
_PROTOCOL = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+)(/[!#$%&'*+\-.^_`|~0-9A-Za-z]+)?")  # RFC 9110 section 7.8
# In these more requests would pass, which nobody here could read. A server may ignore any offer (the same section).
_NEVER_UPGRADED = frozenset((b"h2c", b"h2", b"h3", b"http", b"tls"))
# CONNECT would make us an open proxy; TRACE shows a client what was added for the backend's eyes (nginx refuses both).
_REFUSED = frozenset((b"CONNECT", b"TRACE"))
# In any other case these are methods of their own, but a backend that does not mind the case would frame its reply as theirs.
# PRI is reserved so that the preface of HTTP/2 is refused (RFC 9113 section 11.6).
_RESERVED = frozenset((b"HEAD", b"CONNECT", b"TRACE", b"PRI"))
# Special fields whose line goes on as it came; the others are taken out, and some written anew.
_STAYING = frozenset((CONTENT_LENGTH, MAX_FORWARDS, CONNECTION_AUTH))
_OWN_OPTIONS = frozenset((b"close", b"keep-alive", b"upgrade", b"te"))  # name fields that are taken out anyway
_SLASH = ord("/")

_REMEMBERED = 16  # blocks
_REMEMBERED_BYTES = 2048  # of one of them


def unending_method(data: bytes) -> ProtocolError | None:
    """The refusal of what begins with a method that is too long, if `data` does. It may end anywhere."""
    start = data[: MAX_METHOD + 1]
    if len(start) <= MAX_METHOD or b" " in start or b"\r" in start or b"\n" in start:
        return None
    if not _TOKEN.fullmatch(start):
        return refuse("this is not HTTP")
    # RFC 9112 section 3: SHOULD be 501 where a method is longer than any that is known
    return refuse(f"a method of more than {MAX_METHOD} bytes", 501, Why.NOT_IMPLEMENTED)


def refuse(detail: str, status: int = 400, why: Why = Why.BAD_REQUEST) -> ProtocolError:
    """A request that goes no further."""
    return ProtocolError(status, why, detail)


class RequestReader:
    """Reads heads under one listener's HTTP settings.

    A keep-alive client sends the same field lines with every request, so what they said is remembered by their bytes. The
    memory is a bounded table of a pure function: hit or miss, the result is the same.
    """

    __slots__ = ("_http", "_remembered", "_witness")

    def __init__(self, http: HttpConfig) -> None:
        self._http = http
        self._witness = LlhttpCheck(HttpRequestParser)
        self._remembered: dict[bytes, RequestFields] = {}

    def read(self, head: bytes) -> Request:
        """The request of one complete head, which ends with its empty line. ProtocolError with the status to answer."""
        line_end = head.find(b"\r\n")
        limits = self._http.limits
        if line_end > limits.line_bytes:
            raise unending_method(head) or refuse(
                f"a request line of more than {limits.line_bytes} bytes", 414, Why.URI_TOO_LONG
            )
        if len(head) > limits.head_bytes:
            raise refuse(f"a head of more than {limits.head_bytes} bytes", 431, Why.HEADER_TOO_LARGE)
        line = head[: line_end + 2]
        parts = line.split(b" ")
        if len(parts) != 3:
            raise unending_method(head) or refuse(f"{show(line)} is not a request line")
        method, target, version = parts
        if version == b"HTTP/1.1\r\n":
            minor = 1
        elif version == b"HTTP/1.0\r\n":
            minor = 0
        elif _VERSION.fullmatch(version[:-2]) and _TOKEN.fullmatch(method):
            raise unending_method(head) or refuse(f"{show(version[:-2])} is not supported", 505)
        else:
            raise unending_method(head) or refuse(f"{show(line)} is not a request line")
        if method not in METHODS:
            if not _TOKEN.fullmatch(method):
                raise unending_method(head) or refuse(f"{show(method)} is not a method")
            if len(method) > MAX_METHOD or method.upper() in _RESERVED:
                raise unending_method(head) or refuse(f"method {show(method)} is not served", 501, Why.NOT_IMPLEMENTED)
        if not _TARGET.fullmatch(target):
            raise refuse("the request target has a byte that is not allowed in one")
        if method in _REFUSED:
            raise refuse(f"{method.decode()} is refused", 405, Why.METHOD_REFUSED)

        block = head[line_end + 1 :]
        fields = self._remembered.get(block) if minor else None
        if fields is None:
            fields = self._read_fields(method, minor, head, block)
            if fields.ties:
                return _unusual(method, target, minor, fields)
        if target[0] == _SLASH and minor and method != b"OPTIONS":
            return Request(method, target, 1, line, fields, b"close" not in fields.connection)
        return _unusual(method, target, minor, fields)

    def _read_fields(self, method: bytes, minor: int, head: bytes, block: bytes) -> RequestFields:
        fields = parse_fields(block, minor, self._http)
        if b"upgrade" in fields.connection or (fields.framing is BY_CHUNKS and b"\t" in block):
            head = head[: -len(block)] + for_witness(block)
        if method not in METHODS:
            head = b"POST" + head[len(method) :]
        reusable = minor == 1 and b"close" not in fields.connection
        if not self._witness.agrees(head, fields.framing, fields.length, reusable=reusable):
            line_at_fault = malformed(block)
            if line_at_fault is None:
                raise refuse("the head can be read in more than one way")
            raise refuse(f"{show(line_at_fault)} is not a header field")
        if minor and len(block) <= _REMEMBERED_BYTES and not fields.ties:  # those are found without a look at each request
            if len(self._remembered) >= _REMEMBERED:
                self._remembered.clear()
            self._remembered[block] = fields
        return fields


def parse_fields(block: bytes, minor: int, http: HttpConfig) -> RequestFields:
    """What a block says (see fields.special). ProtocolError; whether its lines are well formed is not looked at."""
    limits = http.limits
    lines = block.count(b"\r\n")
    if lines > limits.fields + 1:
        raise refuse(f"more than {limits.fields} header fields", 431, Why.HEADER_TOO_LARGE)
    if not block.count(b"\r") == lines == block.count(b"\n") - 1:
        raise refuse("a bare CR or LF in the head")  # RFC 9112 section 2.2
    if len(block) > limits.line_bytes and max(map(len, block.split(b"\r\n"))) > limits.line_bytes:
        raise refuse(f"a header field of more than {limits.line_bytes} bytes", 431, Why.HEADER_TOO_LARGE)

    fields = RequestFields()
    host = only_host(block)
    if host is not None and host[-1:] != b":":
        fields.host = read_host([host], minor)
        fields.forward = block[1:-2]
        return fields
    found: dict[int, list[bytes]] = {}
    taken_out = []
    for kind, value, line in special(block):
        found.setdefault(kind, []).append(value)
        if kind == FORWARDING:
            name = block[line[0] : line[1]].partition(b":")[0].lower()
            fields.forwarding += ((name, value),)
        elif kind == UNDERSCORE and http.underscore_headers == "reject":
            raise refuse(f"the header name {show(value)} has an underscore")
        if kind == HOST:
            if value[-1:] == b":":
                taken_out.append(line)
        elif kind not in _STAYING and not (kind == UNDERSCORE and http.underscore_headers == "pass"):
            taken_out.append(line)

    fields.host = read_host(found.get(HOST, []), minor)
    if CONTENT_LENGTH in found or TRANSFER_ENCODING in found:
        lengths, codings = found.get(CONTENT_LENGTH, []), found.get(TRANSFER_ENCODING, [])
        fields.framing, fields.length = request_framing(lengths, codings, minor)
        if limits.body_bytes and fields.length > limits.body_bytes:
            raise refuse(f"a body of more than {limits.body_bytes} bytes", 413, Why.BODY_TOO_LARGE)
    fields.ties = CONNECTION_AUTH in found
    if MAX_FORWARDS in found:
        fields.max_forwards = found[MAX_FORWARDS][0]
    if not taken_out:  # then nothing that comes again under our own hand was there either
        fields.forward = block[1:-2]
        return fields
    forward = without(block, taken_out)
    if CONNECTION in found:
        fields.connection = options(found[CONNECTION])
        named = fields.connection - PROTECTED - _OWN_OPTIONS
        if named:
            forward = without_named(forward, named)
    fields.forward = forward + b"".join([line + b"\r\n" for line in _reissued(fields, found, minor, http)])
    return fields


def _reissued(fields: RequestFields, found: dict[int, list[bytes]], minor: int, http: HttpConfig) -> list[bytes]:
    """The lines that are taken out of every head and, where they may go on, written anew."""
    lines = []
    options_on = []
    if fields.host is not None and found[HOST][0] != fields.host:
        lines.append(b"Host: " + fields.host)
    if EXPECT in found and minor:  # RFC 9110 section 10.1.1: ignored in HTTP/1.0
        if options(found[EXPECT]) != {b"100-continue"}:
            raise refuse(f"Expect: {show(found[EXPECT][0])} can't be met", 417, Why.EXPECTATION_FAILED)
        fields.expects = True
        lines.append(b"Expect: 100-continue")
    if fields.framing is BY_CHUNKS:
        lines.append(b"Transfer-Encoding: chunked")
    if TE in found and b"trailers" in options(found[TE]):
        options_on.append(b"TE")
        lines.append(b"TE: trailers")
    if UPGRADE in found and b"upgrade" in fields.connection and minor and http.websocket:
        # What goes on keeps its order, which is the client's preference, and its case.
        protocols = [protocol for protocol in members(found[UPGRADE]) if _may_be_upgraded_to(protocol)]
        if protocols:
            fields.upgrade = b", ".join(protocols)
            options_on.append(b"Upgrade")
            lines.append(b"Upgrade: " + fields.upgrade)
    if options_on:
        lines.append(b"Connection: " + b", ".join(options_on))
    request_ids = found.get(REQUEST_ID, [])
    if len(request_ids) == 1 and _REQUEST_ID.fullmatch(request_ids[0]):
        fields.request_id = request_ids[0]
        lines.append(b"X-Request-Id: " + request_ids[0])
    return lines


def _may_be_upgraded_to(protocol: bytes) -> bool:
    match = _PROTOCOL.fullmatch(protocol)
    return match is not None and match[1].lower() not in _NEVER_UPGRADED


def _unusual(method: bytes, target: bytes, minor: int, fields: RequestFields) -> Request:
    """Requests that go on under another request line than they came with, or that may end here."""
    ends_here = False
    if target[0] != _SLASH:
        target, host = origin_form(method, target, fields.host, minor)
        if host is not None and fields.host is None:
            fields.host = host
            fields.forward = b"Host: %b\r\n%b" % (host, fields.forward)
    if method == b"OPTIONS" and fields.max_forwards:  # RFC 9110 section 7.6.2
        if not _LENGTH_OF_CHAIN.fullmatch(fields.max_forwards):
            raise refuse(f"Max-Forwards {show(fields.max_forwards)} is not a number")
        ends_here = int(fields.max_forwards) == 0
        fields = _one_hop_less(fields)
    keep_alive = b"close" not in fields.connection and (minor == 1 or b"keep-alive" in fields.connection)
    if minor == 0 and fields.framing is not NO_BODY and method in (b"GET", b"HEAD", b"DELETE"):
        # HTTP/1.0 gives such bodies no meaning, and peers of that age don't read them (HAProxy refuses them alike).
        raise refuse(f"an HTTP/1.0 {method.decode()} with a body", 413, Why.BODY_TOO_LARGE)
    line = b"%b %b HTTP/1.1\r\n" % (method, target)
    return Request(method, target, minor, line, fields, keep_alive, ends_here, ends_here or fields.ties)


def _one_hop_less(fields: RequestFields) -> RequestFields:
    """A copy of `fields` whose Max-Forwards is one less."""
    copy = RequestFields()
    for name in RequestFields.__slots__:
        setattr(copy, name, getattr(fields, name))
    copy.found = None
    lines = [line for line in fields.forward.split(b"\r\n") if line and not line.lower().startswith(b"max-forwards:")]
    lines.append(b"Max-Forwards: %d" % max(0, int(fields.max_forwards) - 1))
    copy.forward = b"".join([line + b"\r\n" for line in lines])
    return copy
