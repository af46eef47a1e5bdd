"""Requests over HTTP/2 that are two requests, or another one, for whoever reads them as HTTP/1.1.

Each was one of another proxy's; its name says what is wrong, and `was` where it worked.
"""

from __future__ import annotations

from dataclasses import dataclass

from h2_cases import END_HEADERS, HEADERS, WHOLE, data, frame, head

from balance.http2.hpack.field_encoder import encode

Fields = list[tuple[bytes, bytes]]
HIDDEN = b"GET /hidden HTTP/1.1\r\nHost: site.example\r\n\r\n"
AUTHORITY = b"site.example"


@dataclass(frozen=True)
class Row:
    """`attack` on stream 1. `status`: 0 is a reset. `may_reach`: a backend may have seen its head, since it came first."""

    attack: bytes
    was: str
    status: int = 0
    may_reach: bool = False


def fields(method: bytes = b"GET", *more: tuple[bytes, bytes], path: bytes = b"/attack", **pseudo: bytes) -> Fields:
    found = [(b":method", method), (b":scheme", pseudo.get("scheme", b"http")), (b":path", path)]
    if pseudo.get("authority") != b"":
        found.append((b":authority", pseudo.get("authority", AUTHORITY)))
    return [*found, *more]


def get(*more: tuple[bytes, bytes], **pseudo: bytes) -> bytes:
    return head(1, fields(b"GET", *more, **pseudo))


def post(content: bytes, *more: tuple[bytes, bytes], end: bytes | None = None) -> bytes:
    """POST with its content in one DATA, which ends it unless `end` does."""
    whole = head(1, fields(b"POST", *more), END_HEADERS)
    return whole + (data(1, content) if end is None else data(1, content, 0) + end)


TRAILERS = head(1, [(b"x-sum", b"1")])
LENGTH = b"content-length"
ROWS: dict[str, Row] = {
    "content behind content-length: 0": Row(post(HIDDEN, (LENGTH, b"0")), "Netty CVE-2021-21295", may_reach=True),
    "more content than content-length": Row(post(b"abcd" + HIDDEN, (LENGTH, b"4")), "Varnish CVE-2021-36740", may_reach=True),
    "more content, in a second DATA": Row(
        post(b"abcd", (LENGTH, b"4"), end=data(1, HIDDEN)), "Varnish CVE-2021-36740", may_reach=True
    ),
    "less content than content-length": Row(post(b"abcd", (LENGTH, b"60")), "Netty CVE-2021-21409", may_reach=True),
    "no content for a content-length": Row(head(1, fields(b"POST", (LENGTH, b"60"))), "Netty CVE-2021-21409"),
    "less content, ended by an empty DATA": Row(
        post(b"abcd", (LENGTH, b"60"), end=data(1, b"")), "HAProxy d12edebe", may_reach=True
    ),
    "less content, ended by trailers": Row(post(b"abcd", (LENGTH, b"60"), end=TRAILERS), "HAProxy d12edebe", may_reach=True),
    "content-length twice": Row(post(b"abcd", (LENGTH, b"4"), (LENGTH, b"4")), "RFC 9112 section 6.3"),
    "content-length +4": Row(post(b"abcd", (LENGTH, b"+4")), "RFC 9110 section 8.6"),
    "transfer-encoding": Row(post(b"0\r\n\r\n" + HIDDEN, (b"transfer-encoding", b"chunked")), "nginx before 1.31.0"),
    "transfer-encoding in trailers": Row(
        post(b"abcd", end=head(1, [(b"transfer-encoding", b"chunked")])), "Kettle 2021", may_reach=True
    ),
    "connection": Row(get((b"connection", b"x-forwarded-for")), "RFC 9113 section 8.2.2"),
    "proxy-connection": Row(get((b"proxy-connection", b"keep-alive")), "RFC 9113 section 8.2.2"),
    "keep-alive": Row(get((b"keep-alive", b"timeout=5")), "RFC 9113 section 8.2.2"),
    "upgrade": Row(get((b"upgrade", b"h2c")), "Traefik CVE-2026-88008"),
    "upgrade with content-length": Row(
        post(HIDDEN, (b"upgrade", b"websocket"), (LENGTH, b"%d" % len(HIDDEN))), "nghttpx CVE-2026-58055"
    ),
    "te: chunked": Row(get((b"te", b"chunked")), "RFC 9113 section 8.2.2"),
    "a line's end in a value": Row(get((b"x", b"y\r\ntransfer-encoding: chunked")), "VU#357312"),
    "a request in a value": Row(get((b"x", b"y\r\n\r\n" + HIDDEN)), "VU#357312"),
    "LF in a value": Row(get((b"x", b"y\ntransfer-encoding: chunked")), "VU#357312"),
    "CR in a value": Row(get((b"x", b"y\rz")), "VU#357312"),
    "NUL in a value": Row(get((b"x", b"y\0z")), "RFC 9113 section 8.2.1"),
    "a blank before a value": Row(get((b"x", b" y")), "RFC 9113 section 8.2.1"),
    "a blank behind a value": Row(get((b"x", b"y ")), "RFC 9113 section 8.2.1"),
    "a line in a name": Row(get((b"foo: bar\r\nx", b"y")), "VU#357312"),
    "a colon in a name": Row(get((b"transfer-encoding: chunked\r\nx", b"y")), "VU#357312"),
    "a blank in a name": Row(get((b"transfer-encoding ", b"chunked")), "h2 4.3.0"),
    "a name in upper case": Row(get((b"Transfer-Encoding", b"chunked")), "RFC 9113 section 8.2.1"),
    "a line's end in a cookie's crumb": Row(get((b"cookie", b"a=1"), (b"cookie", b"b=2\r\nx: y")), "joined behind the check"),
    "a line's end in a kept entry": Row(
        head(1, fields(b"GET"), after=b"\x40\x01x\x05y\r\nz:") + head(3, fields(b"GET"), after=b"\xbe"), "read from a table"
    ),
    "a request line in :method": Row(head(1, fields(b"GET /hidden HTTP/1.1\r\nX: y")), "Apache CVE-2021-33193"),
    "a blank in :method": Row(head(1, fields(b"GET /hidden")), "HAProxy CVE-2021-39241"),
    ":path without a slash": Row(get(path=b"hidden"), "HAProxy CVE-2021-39240"),
    "an empty :path": Row(get(path=b""), "RFC 9113 section 8.3.1"),
    ":path that is a URL": Row(get(path=b"http://other.example/hidden"), "HAProxy CVE-2021-39240"),
    ":path with a request line": Row(get(path=b"/hidden HTTP/1.1\r\nX: y"), "VU#357312"),
    ":path with a blank": Row(get(path=b"/a /hidden"), "Apache CVE-2021-33193"),
    ":path with a fragment": Row(get(path=b"/a#b"), "RFC 9112 section 3.2"),
    ":path with a tab": Row(get(path=b"/a\t/b"), "RFC 9112 section 3"),
    ":scheme that is a URL": Row(get(scheme=b"http://other.example/?"), "HAProxy CVE-2021-39240"),
    ":scheme with a line's end": Row(get(scheme=b"http\r\nx: y"), "HAProxy CVE-2021-39240"),
    ":authority with a path": Row(get(authority=b"site.example/hidden"), "HAProxy #2941", 400),
    ":authority with userinfo": Row(get(authority=b"site.example@other.example"), "RFC 9113 section 8.3.1", 400),
    ":authority with a query": Row(get(authority=b"site.example?x"), "HAProxy #2941", 400),
    ":authority with a port that is none": Row(get(authority=b"site.example:999999"), "HAProxy #2941", 400),
    ":authority with a port above all ports": Row(get(authority=b"site.example:99999"), "HAProxy #2941", 400),
    ":authority with a blank": Row(get(authority=b"site.example x"), "HAProxy #2941", 400),
    ":authority with a line's end": Row(get(authority=b"site.example\r\nx: y"), "VU#357312"),
    ":authority and another host": Row(get((b"host", b"other.example")), "HAProxy CVE-2021-39242"),
    "host twice": Row(get((b"host", AUTHORITY), (b"host", b"other.example"), authority=b""), "h2 CVE-2026-71554"),
    ":authority twice": Row(get((b":authority", b"other.example")), "RFC 9113 section 8.3"),
    ":path twice": Row(get((b":path", b"/hidden")), "RFC 9113 section 8.3"),
    ":method twice": Row(get((b":method", b"POST")), "RFC 9113 section 8.3"),
    ":path behind a field": Row(
        frame(HEADERS, WHOLE, 1, encode([*fields()[:2], (b"accept", b"*/*"), *fields()[2:]])), "RFC 9113 section 8.3"
    ),
    ":status in a request": Row(get((b":status", b"200")), "RFC 9113 section 8.3"),
    "a pseudo-field that nobody knows": Row(get((b":foo", b"bar")), "RFC 9113 section 8.3"),
    ":protocol with GET": Row(get((b":protocol", b"websocket")), "haproxy/haproxy#3355"),
    "CONNECT with content": Row(
        head(1, [(b":method", b"CONNECT"), (b":authority", b"site.example:80")], END_HEADERS) + data(1, HIDDEN),
        "Traefik GHSA-3ccp-42pg-hgv6",
        405,
    ),
    "CONNECT with a path": Row(head(1, fields(b"CONNECT"), END_HEADERS) + data(1, HIDDEN), "RFC 9113 section 8.5"),
    "a pseudo-field in trailers": Row(
        post(b"abcd", end=head(1, [(b":path", b"/hidden")])), "RFC 9113 section 8.1", may_reach=True
    ),
}
