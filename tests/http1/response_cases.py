"""What backends send before they close, and what a client may be told of it: one line a case, with its rule. Data only.

A verdict is the reply that goes on whole, 502, or CUT: the head had gone on when the body proved broken, so the client must see
an end that is not a clean one.

Sources as in request_cases.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

CUT = "cut"


class Relayed(NamedTuple):
    """A final reply that goes on."""

    status: int
    body: bytes = b""


class ReplyCase(NamedTuple):
    name: str
    sent: bytes
    verdict: Relayed | str | int
    source: str
    method: bytes = b"GET"  # of the request that is answered


OK = b"HTTP/1.1 200 OK\r\n"
OLD = b"HTTP/1.0 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
HELLO = b"5\r\nhello\r\n0\r\n\r\n"
LAST = b"0\r\n\r\n"
EMPTY = OK + b"Content-Length: 0\r\n\r\n"
POISON = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"

hello = Relayed(200, b"hello")
nothing = Relayed(200)


def each(what: str, template: bytes, verdict: Relayed | str | int, source: str, *values: bytes) -> Iterator[ReplyCase]:
    """The same reply with each of `values` in the place of %b."""
    for number, value in enumerate(values):
        shown = ascii(value)[2:-1]
        label = shown if len(shown) <= 40 else f"{number} of {len(value)} bytes"
        yield ReplyCase(f"{what} {label}", template.replace(b"%b", value), verdict, source)


STATUS_LINES = (
    *each("status line", b"%b\r\nContent-Length: 5\r\n\r\nhello", hello, "4",
          b"HTTP/1.1 200 OK", b"HTTP/1.1 200 ", b"HTTP/1.1 200", b"HTTP/1.0 200 OK", b"HTTP/1.1 200 a\tb",
          b"HTTP/1.1 200 \xc3\xa9"),
    *each("status line", b"%b\r\nContent-Length: 5\r\n\r\nhello", 502, "4",
          b"HTTP/1.2 200 OK", b"HTTP/2.0 200 OK", b"HTTP/0.9 200 OK", b"HTTP/1.1  200 OK", b"HTTP/1.1 2000 OK",
          b"HTTP/1.1 20 OK",
          b"HTTP/1.1 099 OK", b"HTTP/1.1 000 OK", b"HTTP/1.1 600 X", b"HTTP/1.1 999 X", b"HTTP/1.1 +20 OK", b"HTTP/1.1 -200 OK",
          b"HTTP/1.1 2x0 OK", b"HTTP/1.1 OK", b"HTTP/1.1", b"HTTP/1.1\t200 OK", b"HTTP/1.1 200\tOK", b" HTTP/1.1 200 OK",
          b"http/1.1 200 OK", b"HTTP/11 200 OK", b"HTTP/1.1 200 O\x00K", b"HTTP/1.1 200 O\rK", b"HTTP/1.1 200 O\nK",
          b"HTTP/1.1 200 O\x7f", b"ICY 200 OK", b"GET / HTTP/1.1", b"", b"\r\nHTTP/1.1 200 OK", b"\x16\x03\x01", b"200 OK"),
    *(
        ReplyCase(f"status {status}", b"HTTP/1.1 %d X\r\nContent-Length: 5\r\n\r\nhello" % status, Relayed(status, b"hello"),
                  "9110 15")
        for status in (201, 206, 299, 302, 400, 404, 426, 500, 503, 599)
    ),
    ReplyCase("no reply", b"", 502, "8"),
    ReplyCase("head half there", b"HTTP/1.1 200 OK\r\nContent-Le", 502, "8"),
    ReplyCase("head without the empty line", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n", 502, "8"),
    ReplyCase("body alone", b"hello\n", 502, "HTTP/0.9"),
)  # fmt: skip

FRAMINGS = (
    ReplyCase("length", OK + b"Content-Length: 5\r\n\r\nhello", hello, "6.3 rule 6"),
    ReplyCase("length zero", EMPTY, nothing, "6.3 rule 6"),
    ReplyCase("length in HTTP/1.0", OLD + b"Content-Length: 5\r\n\r\nhello", hello, "6.3 rule 6"),
    ReplyCase("length, body half there", OK + b"Content-Length: 5\r\n\r\nhel", CUT, "8"),
    ReplyCase("length, body never there", OK + b"Content-Length: 5\r\n\r\n", CUT, "8"),
    ReplyCase("until the close", OK + b"\r\nhello", hello, "6.3 rule 8"),
    ReplyCase("until the close in HTTP/1.0", OLD + b"\r\nhello", hello, "6.3 rule 8"),
    ReplyCase("until the close, empty", OK + b"Connection: close\r\n\r\n", nothing, "6.3 rule 8"),
    ReplyCase("until the close of a 205", b"HTTP/1.1 205 X\r\n\r\n", Relayed(205), "9110 15.3.6"),
    *each("length", OK + b"Content-Length: %b\r\n\r\nhello", 502, "6.3 rule 5",
          b"", b"+5", b"-5", b"0x5", b"5 5", b"5, 5", b"5,6", b"5.0", b'"5"', b"five", b"9999999999999999999", b"5\x0b",
          b"5_0"),
    *each("two lengths", OK + b"Content-Length: 5\r\n%b\r\n\r\nhello", 502, "6.3 rule 5, stricter",
          b"Content-Length: 5", b"Content-Length: 6", b"content-length: 0"),
    *each("length and", OK + b"Content-Length: 5\r\n%b\r\n\r\n" + HELLO, 502, "6.3 rule 3, stricter",
          b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity", b"Transfer-Encoding : chunked",
          b"X: y\nTransfer-Encoding: chunked"),
    ReplyCase("chunked, then length", OK + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n" + HELLO, 502,
              "6.3 rule 3, stricter"),
    ReplyCase("coding in HTTP/1.0", OLD + b"Transfer-Encoding: chunked\r\n\r\n" + HELLO, 502, "6.1"),
    *each("coding", OK + b"Transfer-Encoding:%b\r\n\r\n" + HELLO, hello, "7", b" chunked", b"Chunked", b"\tCHUNKED "),
    *each("coding", OK + b"Transfer-Encoding: %b\r\n\r\n" + HELLO, 502, "6.3 rule 4, stricter",
          b"", b"gzip", b"gzip, chunked", b"identity", b"xchunked", b"chunked, identity", b"chunked, chunked", b"chunked,",
          b"\x0bchunked"),
    ReplyCase("two codings", OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n" + HELLO, 502,
              "6.3, stricter"),
)  # fmt: skip

CHUNKS = (
    ReplyCase("chunks", CHUNKED + HELLO, hello, "7.1"),
    ReplyCase("chunks none", CHUNKED + LAST, nothing, "7.1"),
    ReplyCase("chunks with trailers", CHUNKED + b"5;x=y\r\nhello\r\n0\r\nX-Sum: 1\r\nSet-Cookie: evil\r\n\r\n", hello, "7.1.2"),
    *each("chunks", CHUNKED + b"%b", CUT, "7.1",
          b"5\r\nhel", b"5\r\nhello\r\n", b"5\r\nhello\r\n0\r\n", b"5\r\nhello\r\n0\r\n\r", b"5\r\nhello!\r\n" + LAST,
          b"0x5\r\nhello\r\n" + LAST,
          b"5\nhello\n0\n\n", b"hello", b"-1\r\n", b"5\r\nhello\r\n0\r\nX\r\n\r\n", b"5\r\nhello\r\n0\r\nX : y\r\n\r\n", b""),
)  # fmt: skip

BODILESS = (
    ReplyCase("HEAD with a length", OK + b"Content-Length: 5\r\n\r\n", nothing, "6.3 rule 1", b"HEAD"),
    ReplyCase("HEAD with chunks", OK + b"Transfer-Encoding: chunked\r\n\r\n", nothing, "6.3 rule 1", b"HEAD"),
    ReplyCase("HEAD without a length", OK + b"\r\n", nothing, "6.3 rule 1", b"HEAD"),
    ReplyCase("HEAD with a body", OK + b"Content-Length: 5\r\n\r\nhello", nothing, "6.3 rule 1", b"HEAD"),
    ReplyCase("HEAD with a broken length", OK + b"Content-Length: x\r\n\r\n", 502, "6.3 rule 5", b"HEAD"),
    ReplyCase("HEAD of a 404", b"HTTP/1.1 404 X\r\nContent-Length: 9\r\n\r\n", Relayed(404), "6.3 rule 1", b"HEAD"),
    ReplyCase("204", b"HTTP/1.1 204 X\r\n\r\n", Relayed(204), "6.3 rule 1"),
    ReplyCase("204 with a length", b"HTTP/1.1 204 X\r\nContent-Length: 5\r\n\r\n", Relayed(204), "9110 8.6"),
    ReplyCase("204 with a body", b"HTTP/1.1 204 X\r\nContent-Length: 5\r\n\r\nhello", Relayed(204), "6.3 rule 1"),
    ReplyCase("204 with a coding", b"HTTP/1.1 204 X\r\nTransfer-Encoding: chunked\r\n\r\n" + LAST, 502, "6.1"),
    ReplyCase("304", b"HTTP/1.1 304 X\r\nETag: x\r\n\r\n", Relayed(304), "6.3 rule 1"),
    ReplyCase("304 with a length", b"HTTP/1.1 304 X\r\nContent-Length: 5\r\n\r\n", Relayed(304), "6.3 rule 1"),
    ReplyCase("304 with a coding", b"HTTP/1.1 304 X\r\nTransfer-Encoding: chunked\r\n\r\n", Relayed(304), "6.1"),
    ReplyCase("304 with a length and a coding", b"HTTP/1.1 304 X\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
              502, "6.3"),
)  # fmt: skip

INTERIMS = (
    ReplyCase("100 first", b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"Content-Length: 5\r\n\r\nhello", hello, "9110 15.2"),
    ReplyCase("103 first", b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + EMPTY, nothing, "8297"),
    ReplyCase("two interim replies", b"HTTP/1.1 100 X\r\n\r\nHTTP/1.1 103 X\r\n\r\n" + EMPTY, nothing, "9110 15.2"),
    ReplyCase("an interim reply alone", b"HTTP/1.1 100 X\r\n\r\n", 502, "9110 15.2"),
    ReplyCase("103 with a length", b"HTTP/1.1 103 X\r\nContent-Length: 5\r\n\r\n" + EMPTY, nothing, "6.3 rule 1"),
    ReplyCase("103 with a coding", b"HTTP/1.1 103 X\r\nTransfer-Encoding: chunked\r\n\r\n" + EMPTY, 502, "6.1"),
    ReplyCase("101 that nobody asked for", b"HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", 502, "9110 7.8"),
    ReplyCase("101 without a protocol", b"HTTP/1.1 101 X\r\n\r\n", 502, "9110 7.8"),
)  # fmt: skip

FIELDS = (
    *each("name", OK + b"%b: y\r\nContent-Length: 0\r\n\r\n", 502, "5.1",
          b"", b"X ", b"X\t", b" X", b"\tX", b"X Y", b"X\x00", b"X\xc3\xa9", b"X(", b"X/", b"X@"),
    *each("line", OK + b"%b\r\nContent-Length: 0\r\n\r\n", 502, "5", b"X", b" y", b"X: a\r\n b", b"X:\r\n\tb"),
    *each("value", OK + b"X: %b\r\nContent-Length: 0\r\n\r\n", 502, "9110 5.5",
          b"\x00", b"a\x01", b"a\x0b", b"a\x7f", b"a\rb", b"a\nb", b"a\r", b"a\nContent-Length: 5"),
    *each("value", OK + b"X:%b\r\nContent-Length: 0\r\n\r\n", nothing, "9110 5.5", b"", b" a\tb", b"\xff", b"a" * 9000),
    ReplyCase("bare LF ends every line", b"HTTP/1.1 200 OK\nContent-Length: 0\n\n", 502, "2.2"),
    ReplyCase("bare LF ends a field", b"HTTP/1.1 200 OK\r\nX: y\nContent-Length: 0\r\n\r\n", 502, "2.2"),
    ReplyCase("space line after the status line", b"HTTP/1.1 200 OK\r\n X: y\r\nContent-Length: 0\r\n\r\n", 502, "2.2"),
    ReplyCase("fields 200", OK + b"X: y\r\n" * 199 + b"Content-Length: 0\r\n\r\n", nothing, "bounded heads"),
    ReplyCase("fields 201", OK + b"X: y\r\n" * 200 + b"Content-Length: 0\r\n\r\n", 502, "bounded heads"),
    ReplyCase("a name with an underscore", OK + b"X_Y: 1\r\nContent-Length: 0\r\n\r\n", nothing, "9110 5.1"),
    ReplyCase("close of a proxy alone", OK + b"Proxy-Connection: close\r\nContent-Length: 0\r\n\r\n", nothing, "C.2.2"),
)  # fmt: skip

SURPLUS = (
    ReplyCase("a second reply", EMPTY + POISON, nothing, "9.2"),
    ReplyCase("a second reply after a body", OK + b"Content-Length: 5\r\n\r\nhello" + POISON, hello, "9.2"),
    ReplyCase("a second reply after chunks", CHUNKED + HELLO + POISON, hello, "9.2"),
    ReplyCase("a second reply after a 304", b"HTTP/1.1 304 X\r\n\r\n" + POISON, Relayed(304), "9.2"),
    ReplyCase("a second reply to HEAD", OK + b"Content-Length: 5\r\n\r\n" + POISON, nothing, "9.2", b"HEAD"),
    ReplyCase("rubbish after a reply", EMPTY + b"rubbish", nothing, "9.2"),
)  # fmt: skip

STRICT_AND_TOLERANT = (
    # name, what is sent, and what a tolerant reader makes of it; a strict one makes 502 of each, or an end that is not clean.
    *each("tolerant status", b"HTTP/1.1 %b X\r\nContent-Length: 5\r\n\r\nhello", Relayed(999, b"hello"), "LinkedIn", b"999"),
    *each("tolerant status", b"HTTP/1.1 %b X\r\nContent-Length: 5\r\n\r\nhello", Relayed(600, b"hello"), "9110 15", b"600"),
    *each("tolerant lengths", OK + b"%b\r\n\r\nhello", hello, "6.3 rule 5",
          b"Content-Length: 5\r\nContent-Length: 5", b"Content-Length: 5\r\nX: y\r\ncontent-length:5\t",
          b"Content-Length: 5, 5",
          b"Content-Length: 5\r\nContent-Length: 5 ,5"),
    *each("tolerant 204 with", b"HTTP/1.1 204 X\r\n%b\r\n\r\n", Relayed(204), "6.1",
          b"Transfer-Encoding: chunked", b"Transfer-Encoding: Chunked\t", b"Transfer-Encoding: chunked\r\nContent-Length: 0",
          b"Transfer-Encoding: chunked\r\nContent-Length: 0\r\nContent-Length: 0"),
    *each("tolerant 204 with chunks and", b"HTTP/1.1 204 X\r\nTransfer-Encoding: chunked\r\n\r\n%b", Relayed(204), "6.1",
          LAST, HELLO, POISON),
    *each("tolerant line ends", b"%b", hello, "2.2",
          b"HTTP/1.1 200 OK\nContent-Length: 5\n\nhello",
          b"HTTP/1.1 200 OK\r\nContent-Length: 5\n\nhello",
          b"HTTP/1.1 200 OK\nContent-Length: 5\r\n\nhello",
          b"HTTP/1.1 200 OK\nContent-Length: 5\n\r\nhello",
          b"HTTP/1.1 200 OK\r\nX: y\nContent-Length: 5\r\n\r\nhello",
          b"HTTP/1.0 200 OK\n\nhello",
          b"HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n" + HELLO,
          b"HTTP/1.1 100 Continue\n\nHTTP/1.1 200 OK\nContent-Length: 5\n\nhello"),
    ReplyCase("tolerant line ends before a body with an empty line", b"HTTP/1.1 200 OK\nContent-Length: 8\n\na\r\n\r\nb\n\n",
              Relayed(200, b"a\r\n\r\nb\n\n"), "2.2"),
    *each("tolerant sizes", CHUNKED + b"%b", hello, "Apache 1.3",
          b"5  \r\nhello\r\n0\r\n\r\n", b"5\t\r\nhello\r\n0 \r\n\r\n", b"5 ;x=y\r\nhello\r\n0  ;x\r\n\r\n",
          b"5                \r\nhello\r\n0\r\nX: y\r\n\r\n"),
)  # fmt: skip

TOLERANT_TOO = (
    # What has more than one reading is refused by both.
    *each("never tolerated", b"%b", 502, "6.3, 5, 2.2",
          OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello", OK + b"Content-Length: 5, 6\r\n\r\nhello",
          OK + b"Content-Length: 5,\r\n\r\nhello", OK + b"Content-Length: 5\r\nContent-Length: 05\r\n\r\nhello",
          OK + b"Content-Length: +5\r\nContent-Length: +5\r\n\r\nhello", OK + b"Content-Length: a, a\r\n\r\nhello",
          OK + b"Content-Length: 5\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n" + HELLO,
          OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n" + HELLO,
          b"HTTP/1.1 204 X\r\nTransfer-Encoding: gzip\r\n\r\n", b"HTTP/1.1 103 X\r\nTransfer-Encoding: chunked\r\n\r\n" + EMPTY,
          b"HTTP/1.1 1000 X\r\n\r\n", b"HTTP/1.1 099 X\r\n\r\n", b"HTTP/2.0 200 OK\r\n\r\n", b"ICY 200 OK\n\n",
          b"HTTP/1.1 200 OK\rX: y\r\n\r\n", b"HTTP/1.1 200 OK\r\nX: a\rb\r\n\r\n", b"HTTP/1.1 200 OK\nX: a\r\r\n\n",
          b"HTTP/1.1 200 OK\nX : y\n\n", b"HTTP/1.1 200 OK\nX: y\n z\n\n", b"HTTP/1.1 200 OK\n X: y\n\n",
          b"\nHTTP/1.1 200 OK\n\n", b"hello\n\n", b"HTTP/1.1 200 OK\n"),
    *each("never tolerated in chunks", CHUNKED + b"%b", CUT, "7.1",
          b" 5\r\nhello\r\n" + LAST, b"5\nhello\r\n" + LAST, b"5 5\r\nhello\r\n" + LAST, b"5 x\r\nhello\r\n" + LAST,
          b"5\r\nhello\n" + LAST, b"5" + b" " * 17 + b"\r\nhello\r\n" + LAST, b" \r\n", b"5\r\nhello\r\n0\n\n",
          b"0x5\r\nhello\r\n"),
)  # fmt: skip

REPLY_CASES = (*STATUS_LINES, *FRAMINGS, *CHUNKS, *BODILESS, *INTERIMS, *FIELDS, *SURPLUS)
