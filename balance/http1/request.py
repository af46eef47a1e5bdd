"""Parsing of request heads (RFC 9112 sections 2, 3 and 5), strictly: ambiguous requests are refused."""

from __future__ import annotations

import re
from typing import Final

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
    IMITATION,
    MAX_FORWARDS,
    PLAIN,
    PROTECTED,
    REQUEST_ID,
    TE,
    TEXT,
    TRANSFER_ENCODING,
    UNDERSCORE,
    UPGRADE,
    Span,
    for_llhttp,
    list_members,
    malformed_line,
    options,
    remove_lines,
    remove_named,
    special_fields,
    without,
)
from balance.http1.framing import BY_CHUNKS, NO_BODY, request_framing, show
from balance.http1.head import Request, RequestFields
from balance.http1.host import origin_form, read_host
from balance.http1.known_lines import A_LENGTH, PAUSE, UNJUDGED, KnownLines
from balance.http1.llhttp_check import LlhttpCheck
from balance.model import Why

# The methods that llhttp knows. Other tokens are methods, too (RFC 9110 section 9.1); llhttp checks them as POST.
METHODS: Final = frozenset(
    b"GET HEAD POST PUT DELETE PATCH OPTIONS TRACE CONNECT COPY LOCK MKCOL MOVE PROPFIND PROPPATCH SEARCH UNLOCK BIND REBIND "
    b"UNBIND ACL REPORT MKACTIVITY CHECKOUT MERGE M-SEARCH NOTIFY SUBSCRIBE UNSUBSCRIBE PURGE MKCALENDAR LINK UNLINK "
    b"QUERY".split()
)
MAX_METHOD: Final = 64  # bytes; the longest registered one, UPDATEREDIRECTREF, has 17
_TOKEN: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
# target.translate(_TARGET) == target: visible ASCII without `#`, as a fragment is never sent (RFC 9112 section 3.2).
_TARGET: Final = bytes(byte if 0x21 <= byte <= 0x7E and byte != 0x23 else 0x2F for byte in range(256))
_PREFACE_LINE: Final = b"PRI * HTTP/2.0\r\n"  # RFC 9113 section 3.4
_VERSION: Final = re.compile(rb"HTTP/[0-9]\.[0-9]")
_REQUEST_ID: Final = re.compile(rb"[!-~]{1,128}")
_MAX_FORWARDS: Final = re.compile(rb"[0-9]{1,9}")
_PROTOCOL: Final = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+)(/[!#$%&'*+\-.^_`|~0-9A-Za-z]+)?")  # RFC 9110 section 7.8
# Protocols with further requests that would bypass the proxy. A server may ignore any Upgrade (the same section).
_NEVER_UPGRADED: Final = frozenset((b"h2c", b"h2", b"h3", b"http", b"tls"))
# CONNECT would be an open proxy; TRACE shows clients the fields that were added for backends. nginx refuses both.
_REFUSED_METHODS: Final = frozenset((b"CONNECT", b"TRACE"))
_USUAL_METHODS: Final = METHODS - _REFUSED_METHODS - {b"OPTIONS"}
# Refused in any case: a backend that ignores the case would frame its response as for the upper-case method. PRI is the HTTP/2
# preface (RFC 9113 section 11.6).
_RESERVED: Final = frozenset((b"HEAD", b"CONNECT", b"TRACE", b"PRI"))
# Special fields whose lines are forwarded unchanged; the others are removed, and some are rewritten.
_KEPT: Final = frozenset((CONTENT_LENGTH, MAX_FORWARDS, CONNECTION_AUTH))
_OWN_OPTIONS: Final = frozenset((b"close", b"keep-alive", b"upgrade", b"te"))  # their fields are removed anyway
_NOTHING: Final[frozenset[bytes]] = frozenset()
_SLASH: Final = ord("/")

_CACHE_SIZE: Final = 16  # blocks
_CACHE_MAX_BYTES: Final = 2048  # of one of them

_MEANINGFUL: Final = frozenset(range(UNDERSCORE, IMITATION + 1))  # all kinds but PLAIN say something about a request
_MEANINGS: Final = 128  # combinations of lines that are remembered
_MEANING_MAX_BYTES: Final = 256  # of one of them
_FEW: Final = 4  # lines; judging a new combination of more costs as much as judging the whole
_MAX_SPECIAL: Final = 16  # lines above which a block is judged as a whole at once
# What stands in where lines that mean something are judged.
_INDEPENDENT: Final = frozenset((FORWARDING, REQUEST_ID))
_SOME_LENGTH: Final = b"Content-Length: 1"
_SOME_ID: Final = b"X-Request-Id:"
_SOME_FORWARDING: Final = b"X-Forwarded-For: -"


def overlong_method(data: bytes) -> ProtocolError | None:
    """The error when `data` begins with a method that is too long, else None. `data` may be incomplete."""
    start = data[: MAX_METHOD + 1]
    if len(start) <= MAX_METHOD or b" " in start or b"\r" in start or b"\n" in start:
        return None
    if not _TOKEN.fullmatch(start):
        return refuse("this is not HTTP")
    # RFC 9112 section 3: SHOULD be 501 for a method longer than any known one
    return refuse(f"a method of more than {MAX_METHOD} bytes", 501, Why.NOT_IMPLEMENTED)


def refuse(detail: str, status: int = 400, why: Why = Why.BAD_REQUEST) -> ProtocolError:
    """The error for a request that is refused."""
    return ProtocolError(status, why, detail)


class RequestReader:
    """Parses heads by one listener's HTTP settings.

    A keep-alive client sends the same field lines with every request, so parsed fields are cached by their bytes.
    """

    __slots__ = ("_cache", "_head_bytes", "_http", "_known", "_line_bytes", "_llhttp", "_meanings")

    def __init__(self, http: HttpConfig, known: KnownLines | None = None) -> None:
        """`known` is another memory of lines than one of the usual size."""
        self._http = http
        self._line_bytes = http.limits.line_bytes
        self._head_bytes = http.limits.head_bytes
        self._llhttp = LlhttpCheck(HttpRequestParser)
        self._cache: dict[bytes, RequestFields] = {}
        self._known = KnownLines(_MEANINGFUL) if known is None else known
        self._meanings: dict[bytes, _Meaning] = {}

    def read(self, head: bytes) -> Request:
        """Parse one complete head, with its empty line. ProtocolError has the status of the error response."""
        parts = head.split(b" ", 2)
        if len(parts) == 3:
            method, target, rest = parts
            line_end = len(head) - len(rest) + 8
            if (
                rest[:10] == b"HTTP/1.1\r\n"
                and method in _USUAL_METHODS
                and target[:1] == b"/"
                and target.translate(_TARGET) == target
                and line_end <= self._line_bytes
                and len(head) <= self._head_bytes
            ):  # the usual line
                block = rest[9:]
                fields = self._cache.get(block)
                if fields is None:
                    fields = self._read_block(method, target, 1, head, block)
                    if fields.has_connection_auth:
                        return _uncommon_request(method, target, 1, fields)
                return Request(method, target, 1, head[: line_end + 2], fields, b"close" not in fields.connection)
        return self._read_any(head)

    def read_again(self, head: bytes, block: bytes) -> Request | None:
        """read() where `head` is one complete head that ends with `block`, the `RequestFields.block` of another; None where it
        is not, or where read() has to look closer.

        A client sends the same lines with each request: neither the end of the head nor the lines have to be searched for.
        """
        if not head.endswith(block):
            return None
        end = len(head) - len(block)
        if head.startswith(b"GET /") and head[end - 10 : end] == b" HTTP/1.1\r":  # most requests, in a third of the time
            target = head[4 : end - 10]
            # A space in it is no byte of a target, so there are three parts, too.
            if target.translate(_TARGET) == target and end - 1 <= self._line_bytes and len(head) <= self._head_bytes:
                fields = self._cache.get(block)
                if fields is not None:
                    return Request(
                        b"GET", target, 1, head[: end + 1], fields, not fields.connection or b"close" not in fields.connection
                    )
            return None
        parts = head[:end].split(b" ")
        if len(parts) != 3 or parts[2] != b"HTTP/1.1\r":
            return None
        method, target = parts[0], parts[1]
        if (
            method in _USUAL_METHODS
            and target[:1] == b"/"
            and target.translate(_TARGET) == target
            and end - 1 <= self._line_bytes
            and len(head) <= self._head_bytes
        ):
            fields = self._cache.get(block)
            if fields is not None:
                return Request(method, target, 1, head[: end + 1], fields, b"close" not in fields.connection)
        return None

    def _read_any(self, head: bytes) -> Request:
        """read() for all lines; says what is wrong with one."""
        line_end = head.find(b"\r\n")
        limits = self._http.limits
        if line_end > limits.line_bytes:
            raise overlong_method(head) or refuse(
                f"a request line of more than {limits.line_bytes} bytes", 414, Why.URI_TOO_LONG
            )
        if len(head) > limits.head_bytes:
            raise refuse(f"a head of more than {limits.head_bytes} bytes", 431, Why.HEADER_TOO_LARGE)
        line = head[: line_end + 2]
        parts = line.split(b" ")
        if len(parts) != 3:
            raise overlong_method(head) or refuse(f"{show(line)} is not a request line")
        method, target, version = parts
        if version == b"HTTP/1.1\r\n":
            minor = 1
        elif version == b"HTTP/1.0\r\n":
            minor = 0
        elif _VERSION.fullmatch(version[:-2]) and _TOKEN.fullmatch(method):
            detail = f"{show(version[:-2])} is not supported"
            if line == _PREFACE_LINE:
                detail = "HTTP/2 is not spoken here; without TLS it is where http.h2c is true, with TLS by ALPN"
            raise overlong_method(head) or refuse(detail, 505)
        else:
            raise overlong_method(head) or refuse(f"{show(line)} is not a request line")
        if method not in METHODS:
            if not _TOKEN.fullmatch(method):
                raise overlong_method(head) or refuse(f"{show(method)} is not a method")
            if len(method) > MAX_METHOD or method.upper() in _RESERVED:
                raise overlong_method(head) or refuse(f"method {show(method)} is not served", 501, Why.NOT_IMPLEMENTED)
        if target.translate(_TARGET) != target or not target:
            raise refuse("the request target has a byte that is not allowed in one")
        if method in _REFUSED_METHODS:
            raise refuse(f"{method.decode()} is refused", 405, Why.METHOD_REFUSED)

        block = head[line_end + 1 :]
        fields = self._cache.get(block) if minor else None
        if fields is None:
            fields = self._read_block(method, target, minor, head, block)
            if fields.has_connection_auth:
                return _uncommon_request(method, target, minor, fields)
        if target[0] == _SLASH and minor and method != b"OPTIONS":
            return Request(method, target, 1, line, fields, b"close" not in fields.connection)
        return _uncommon_request(method, target, minor, fields)

    def _read_block(self, method: bytes, target: bytes, minor: int, head: bytes, block: bytes) -> RequestFields:
        """The fields of a block that is not in the cache; it is there afterwards, unless it ties the connection."""
        # llhttp, which judges targets too, takes every one that begins with a slash.
        fields = self._read_lines(minor, block) if target[0] == _SLASH else None
        if fields is None:
            fields = self._read_fields(method, minor, head, block)
            if fields.has_connection_auth:
                return fields
        if minor and len(block) <= _CACHE_MAX_BYTES:
            if len(self._cache) >= _CACHE_SIZE:
                self._cache.clear()
            self._cache[block] = fields
            fields.block = block
        return fields

    def _read_lines(self, minor: int, block: bytes) -> RequestFields | None:
        """The fields of a block that was never seen, from what is known of its lines; None when it must be judged as a whole.

        The lines that mean something are judged together, as a head of their own, once for each combination. In it, what is
        another each time and changes nothing for other lines has a stand-in: a length, an id, what proxies say of the client.
        """
        known = self._known
        if known.pause:
            known.pause -= 1
            return None
        http = self._http
        limits = http.limits
        lines = block[1:-4].split(b"\r\n")
        if len(lines) > limits.fields or len(block) > limits.line_bytes or not block.endswith(b"\r\n\r\n"):
            return None
        plain, kinds = known.plain, known.kinds
        host = b""
        length = 0
        request_ids: list[bytes] = []
        forwarding: list[tuple[bytes, bytes]] = []
        removed: list[bytes] = []
        judged = [] if minor else [b"0"]  # is no line
        for line in lines:
            if line in plain or not (kind := kinds.get(line, PLAIN) or known.judge(line)):
                continue
            if kind == HOST:
                host = line
                judged.append(line)
            elif kind >= A_LENGTH:
                length = kind - A_LENGTH
                judged.append(_SOME_LENGTH)
            elif kind in _INDEPENDENT:
                if line.translate(TEXT) != line:
                    return None
                removed.append(line)
                name, _, value = line.partition(b":")
                if kind == REQUEST_ID:
                    request_ids.append(value.strip(b" \t"))
                    judged.append(_SOME_ID)
                else:
                    if not forwarding:
                        judged.append(_SOME_FORWARDING)
                    forwarding.append((name.lower(), value.strip(b" \t")))
            elif kind == UNJUDGED:
                return None
            else:
                judged.append(line)
                if kind not in _KEPT and (kind != UNDERSCORE or http.underscore_headers != "pass"):
                    removed.append(line)
        if len(judged) > _MAX_SPECIAL or (length and length > limits.body_bytes > 0):
            return None
        key = judged[0] if len(judged) == 1 else b"\r\n".join(judged)
        meaning = self._meanings.get(key)
        if meaning is None:
            meaning = self._judge_lines(minor, key)
            if len(judged) > _FEW:
                known.pause = PAUSE
            if meaning is None:
                return None
        if meaning.rewrites_host:
            removed.append(host)
        if not removed:
            fields = RequestFields(meaning.fields, block[1:-2])
        else:
            fields = RequestFields(meaning.fields, without(lines, removed, meaning.named) + meaning.rewritten)
            fields.forwarding = tuple(forwarding)
            if len(request_ids) == 1 and _REQUEST_ID.fullmatch(request_ids[0]):
                fields.request_id = request_ids[0]
                fields.forward += b"X-Request-Id: %b\r\n" % request_ids[0]
        if length:
            fields.length = length
        return fields

    def _judge_lines(self, minor: int, key: bytes) -> _Meaning | None:
        """What these lines mean together; None when a head of them is refused."""
        block = b"\n%b\r\n\r\n" % (key if minor else key[3:])
        try:
            # Framing depends on no method that is served.
            judged = self._agreed(b"POST", minor, b"POST / HTTP/1.%d\r%b" % (minor, block), block)
        except ProtocolError:
            return None
        if judged is None:
            return None
        meaning = _Meaning(judged, block)
        if len(key) <= _MEANING_MAX_BYTES:
            if len(self._meanings) >= _MEANINGS:
                self._meanings.clear()
            self._meanings[key] = meaning
        return meaning

    def _read_fields(self, method: bytes, minor: int, head: bytes, block: bytes) -> RequestFields:
        """The fields of a head that is judged as a whole. ProtocolError says what is wrong with it."""
        judged = self._agreed(method, minor, head, block)
        if judged is not None:
            return _with_lines(judged, block)
        line_at_fault = malformed_line(block)
        if line_at_fault is None:
            raise refuse("the head can be read in more than one way")
        raise refuse(f"{show(line_at_fault)} is not a header field")

    def _agreed(self, method: bytes, minor: int, head: bytes, block: bytes) -> _Judged | None:
        """What a block says; None when llhttp reads the head otherwise. ProtocolError when we refuse it."""
        judged = _judge(block, minor, self._http)
        fields = judged[0]
        if b"upgrade" in fields.connection or (fields.framing is BY_CHUNKS and block.find(b"\t") >= 0):
            head = head[: -len(block)] + for_llhttp(block)
        if method not in METHODS:
            head = b"POST" + head[len(method) :]
        reusable = minor == 1 and b"close" not in fields.connection
        return judged if self._llhttp.agrees(head, fields.framing, fields.length, reusable=reusable) else None


# What a block says: its fields without lines to forward, lines that are not forwarded, fields that Connection removes, and
# lines in place of removed ones.
_Judged = tuple[RequestFields, list[Span], frozenset[bytes], bytes]


class _Meaning:
    """What special lines mean together, and what is to be done with them."""

    __slots__ = ("fields", "named", "rewrites_host", "rewritten")

    def __init__(self, judged: _Judged, block: bytes) -> None:
        self.fields, removed, self.named, self.rewritten = judged
        self.rewrites_host = any(block[start : start + 5].lower() == b"host:" for start, _ in removed)


def parse_fields(block: bytes, minor: int, http: HttpConfig) -> RequestFields:
    """Parse a block (see special_fields). The syntax of its lines is checked by llhttp. ProtocolError when it is refused."""
    return _with_lines(_judge(block, minor, http), block)


def _with_lines(judged: _Judged, block: bytes) -> RequestFields:
    fields, removed, named, rewritten = judged
    if not removed:
        fields.forward = block[1:-2]
        return fields
    forward = remove_lines(block, removed)
    if named:
        forward = remove_named(forward, named)
    fields.forward = forward + rewritten
    return fields


def _judge(block: bytes, minor: int, http: HttpConfig) -> _Judged:
    limits = http.limits
    lines = block.count(b"\r\n")
    if lines > limits.fields + 1:
        raise refuse(f"more than {limits.fields} header fields", 431, Why.HEADER_TOO_LARGE)
    if not block.count(b"\r") == lines == block.count(b"\n") - 1:
        raise refuse("a bare CR or LF in the head")  # RFC 9112 section 2.2
    if len(block) > limits.line_bytes and max(map(len, block.split(b"\r\n"))) > limits.line_bytes:
        raise refuse(f"a header field of more than {limits.line_bytes} bytes", 431, Why.HEADER_TOO_LARGE)

    fields = RequestFields()
    removed: list[Span] = []
    special = special_fields(block)
    if len(special) == 1 and special[0][0] == HOST and special[0][1][-1:] != b":":  # most requests
        fields.host = read_host([special[0][1].lower()], minor)
        return fields, removed, _NOTHING, b""
    found: dict[int, list[bytes]] = {}
    for kind, value, line in special:
        found.setdefault(kind, []).append(value)
        if kind == FORWARDING:
            name = block[line[0] : line[1]].partition(b":")[0].lower()
            fields.forwarding += ((name, value),)
        elif kind == UNDERSCORE and http.underscore_headers == "reject":
            raise refuse(f"the header name {show(value)} has an underscore")
        if kind == HOST:
            if value[-1:] == b":":
                removed.append(line)
        elif kind not in _KEPT and not (kind == UNDERSCORE and http.underscore_headers == "pass"):
            removed.append(line)

    fields.host = read_host(found.get(HOST, []), minor)
    if CONTENT_LENGTH in found or TRANSFER_ENCODING in found:
        lengths, codings = found.get(CONTENT_LENGTH, []), found.get(TRANSFER_ENCODING, [])
        fields.framing, fields.length = request_framing(lengths, codings, minor)
        if limits.body_bytes and fields.length > limits.body_bytes:
            raise refuse(f"a body of more than {limits.body_bytes} bytes", 413, Why.BODY_TOO_LARGE)
    fields.has_connection_auth = CONNECTION_AUTH in found
    if MAX_FORWARDS in found:
        fields.max_forwards = found[MAX_FORWARDS][0]
    if not removed:  # then there is nothing to rewrite
        return fields, removed, _NOTHING, b""
    named = _NOTHING
    if CONNECTION in found:
        fields.connection = options(found[CONNECTION])
        named = fields.connection - PROTECTED - _OWN_OPTIONS
    rewritten = b"".join([line + b"\r\n" for line in _rewritten_lines(fields, found, minor, http)])
    return fields, removed, named, rewritten


def _rewritten_lines(fields: RequestFields, found: dict[int, list[bytes]], minor: int, http: HttpConfig) -> list[bytes]:
    """The lines that replace removed ones: Host, Expect, Transfer-Encoding, TE, Upgrade, Connection, X-Request-Id."""
    lines = []
    options_on = []
    if fields.host is not None and found[HOST][0] != fields.host:
        lines.append(b"Host: " + fields.host)
    if EXPECT in found and minor:  # RFC 9110 section 10.1.1: ignored in HTTP/1.0
        if options(found[EXPECT]) != {b"100-continue"}:
            raise refuse(f"Expect: {show(found[EXPECT][0])} can't be met", 417, Why.EXPECTATION_FAILED)
        fields.expects_continue = True
        lines.append(b"Expect: 100-continue")
    if fields.framing is BY_CHUNKS:
        lines.append(b"Transfer-Encoding: chunked")
    if TE in found and b"trailers" in options(found[TE]):
        options_on.append(b"TE")
        lines.append(b"TE: trailers")
    if UPGRADE in found and b"upgrade" in fields.connection and minor and http.websocket:
        # In the client's order of preference.
        protocols = [protocol for protocol in list_members(found[UPGRADE]) if _may_be_upgraded_to(protocol)]
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


def _uncommon_request(method: bytes, target: bytes, minor: int, fields: RequestFields) -> Request:
    """Requests whose request line is rewritten, or that are answered here (Max-Forwards)."""
    ends_here = False
    if target[0] != _SLASH:
        target, host = origin_form(method, target, fields.host, minor)
        if host is not None and fields.host is None:
            fields.host = host
            fields.forward = b"Host: %b\r\n%b" % (host, fields.forward)
    if method == b"OPTIONS" and fields.max_forwards:  # RFC 9110 section 7.6.2
        if not _MAX_FORWARDS.fullmatch(fields.max_forwards):
            raise refuse(f"Max-Forwards {show(fields.max_forwards)} is not a number")
        ends_here = int(fields.max_forwards) == 0
        fields = _decrement_max_forwards(fields)
    keep_alive = b"close" not in fields.connection and (minor == 1 or b"keep-alive" in fields.connection)
    if minor == 0 and fields.framing is not NO_BODY and method in (b"GET", b"HEAD", b"DELETE"):
        # HTTP/1.0 does not define such bodies, and old servers do not read them. HAProxy refuses them, too.
        raise refuse(f"an HTTP/1.0 {method.decode()} with a body", 413, Why.BODY_TOO_LARGE)
    line = b"%b %b HTTP/1.1\r\n" % (method, target)
    return Request(method, target, minor, line, fields, keep_alive, ends_here, ends_here or fields.has_connection_auth)


def _decrement_max_forwards(fields: RequestFields) -> RequestFields:
    """A copy with Max-Forwards decremented."""
    lines = [line for line in fields.forward.split(b"\r\n") if line and not line.lower().startswith(b"max-forwards:")]
    lines.append(b"Max-Forwards: %d" % max(0, int(fields.max_forwards) - 1))
    return fields.with_lines(b"".join([line + b"\r\n" for line in lines]))
