"""A reader that remembers lines reads every head as one that does not, to the last byte and word; and its memory is bounded."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest
from generated import request_heads, response_heads
from head_grammar import Stream, in_one_byte_more
from httptools import HttpRequestParser
from hypothesis import given, settings
from hypothesis import strategies as st
from reading import PLAIN, growth, told

from balance.config.model import HttpConfig, Limits
from balance.errors import ProtocolError
from balance.http1.fields import Kind, for_llhttp
from balance.http1.framing import NO_BODY
from balance.http1.head import Request
from balance.http1.known_lines import A_LENGTH, MAX_LINE, UNJUDGED, KnownLines
from balance.http1.llhttp_check import LlhttpCheck
from balance.http1.request import METHODS, RequestReader
from balance.http1.response import MAX_FIELDS, ResponseReader

Told = dict[str, object] | tuple[int, object, str]

SETTINGS = (
    PLAIN,
    HttpConfig(underscore_headers="reject"),
    HttpConfig(underscore_headers="pass"),
    HttpConfig(websocket=False),
    replace(PLAIN, limits=Limits(fields=8, line_bytes=256, head_bytes=1000, body_bytes=1000)),
)
SPECIAL = frozenset(int(kind) for kind in Kind if kind)


def forgetful() -> KnownLines:
    """With it a reader judges each head as a whole, by both parsers."""
    known = KnownLines(SPECIAL)
    known.pause = 1 << 60
    return known


def verdict(head: bytes, reader: RequestReader | ResponseReader) -> Told:
    """Everything that a head was read as, or everything that its refusal says."""
    try:
        return told(reader.read(head))
    except ProtocolError as error:
        return error.status, error.why, error.detail


def check_requests(heads: Iterable[bytes], http: HttpConfig = PLAIN, max_lines: int = 1024) -> None:
    known = KnownLines(SPECIAL, max_lines)
    reader = RequestReader(http, known)
    for head in heads:
        known.pause = 0  # as if others had sent heads of another kind in between
        whole = RequestReader(http, forgetful())
        read, expected = verdict(head, reader), verdict(head, whole)
        if isinstance(read, tuple) and isinstance(expected, tuple) and "is not a request target" in read[2]:
            # Under fields that were seen we are the first to say so, else llhttp may be.
            assert read[:2] == expected[:2]
        else:
            assert read == expected, head
        if isinstance(expected, dict):
            agreed_by_llhttp(head, whole.read(head))


def agreed_by_llhttp(head: bytes, request: Request) -> None:
    """A parser without a past ends the message where we do."""
    fields = request.fields
    block = head[head.find(b"\n") :]
    if b"upgrade" in fields.connection or b"\t" in block:
        head = head[: -len(block)] + for_llhttp(block)
    if request.method not in METHODS:
        head = b"POST" + head[len(request.method) :]
    is_open = request.minor == 1 and b"close" not in fields.connection
    assert LlhttpCheck(HttpRequestParser).agrees(head, fields.framing, fields.length, reusable=is_open), head


def check_replies(heads: Iterable[bytes], *, is_tolerant: bool = False, max_lines: int = 1024) -> None:
    reader = ResponseReader(is_tolerant=is_tolerant)
    known = reader.known
    known.max_lines = max_lines
    for head in heads:
        if b"\r\n\r\n" in head:  # no other is asked for
            known.pause = 0
            assert verdict(head, reader) == verdict(head, ResponseReader(is_tolerant=is_tolerant, known=forgetful())), head


def check_streams(seeds: range, count: int) -> None:
    for seed in seeds:
        max_lines = (1024, 3)[seed % 2]  # 3: it begins anew all the time
        check_requests(Stream(seed).heads(count), SETTINGS[seed % len(SETTINGS)], max_lines)
        check_replies(Stream(seed, replies=True).heads(count), is_tolerant=seed % 4 == 3, max_lines=max_lines)


def test_heads_of_a_stream_are_read_as_each_by_itself() -> None:
    check_streams(range(40), 60)


@pytest.mark.long
@pytest.mark.parametrize("part", range(8))
def test_heads_of_many_streams_are_read_as_each_by_itself(part: int) -> None:
    check_streams(range(1000 + 100 * part, 1100 + 100 * part), 150)


@settings(max_examples=40)
@given(st.lists(request_heads, min_size=1, max_size=6))
def test_requests_in_a_row_are_read_as_each_by_itself(heads: list[bytes]) -> None:
    check_requests(heads * 3)


@settings(max_examples=40)
@given(st.lists(response_heads, min_size=1, max_size=6))
def test_replies_in_a_row_are_read_as_each_by_itself(heads: list[bytes]) -> None:
    check_replies(heads * 3)


@pytest.mark.long
@pytest.mark.parametrize(
    "first", [b"GET /%d HTTP/1.1\r\nHost: a\r\n", b"GET /%d HTTP/1.0\r\n", b"HTTP/1.1 200 OK\r\nX: %d\r\n"]
)
def test_a_line_with_any_byte_in_it_is_read_as_by_itself(first: bytes) -> None:
    def heads() -> Iterable[bytes]:
        for number, line in enumerate(in_one_byte_more()):
            name = line.partition(b":")[0]
            for other in (name + b": known", name + b": well", line):
                yield first % number + b"A: b\r\n" + other + b"\r\nC: d\r\n\r\n"

    (check_replies if first.startswith(b"HTTP") else check_requests)(heads())


def test_a_byte_that_no_value_may_have_is_found_in_any_line() -> None:
    for number in range(256):
        byte = bytes((number,))
        for line in (b"X: a" + byte + b"b", b"X: " + byte, b"X" + byte + b": a", b"Host: a" + byte, b"Content-Length: 5" + byte,
                     b"Connection: close" + byte, b"X-Request-Id: a" + byte, b"X-Forwarded-For: a" + byte):  # fmt: skip
            name = line.partition(b":")[0]
            check_requests(
                [b"GET / HTTP/1.1\r\nHost: a\r\n%b\r\n\r\n" % other for other in (name + b": a", name + b": b", line)]
            )


def test_fields_that_are_known_need_no_second_look_under_another_line() -> None:
    """llhttp takes every target that begins with a slash, and every method that it knows."""
    allowed = [bytes((byte,)) for byte in range(0x21, 0x7F) if byte != ord("#")]
    llhttp = LlhttpCheck(HttpRequestParser)
    for one in allowed:
        for other in allowed:
            head = b"GET /%b%b HTTP/1.1\r\nHost: a\r\n\r\n" % (one, other)
            assert llhttp.agrees(head, NO_BODY, 0, reusable=True), head
    for method in METHODS - {b"CONNECT"}:
        for minor in (0, 1):
            head = b"%b / HTTP/1.%d\r\nHost: a\r\n\r\n" % (method, minor)
            assert llhttp.agrees(head, NO_BODY, 0, reusable=minor == 1), head


@pytest.mark.parametrize("length", [1, 9, 10, 65_535, 65_536, 65_537, 10**9, 10**15 - 1, 10**15, 10**18 - 1, 10**18])
@pytest.mark.parametrize("shape", [b"%d", b"0%d", b"%d ", b"\t%d", b"+%d", b"%d,%d", b"%d, 1"])
def test_a_length_is_the_one_that_is_said(length: int, shape: bytes) -> None:
    value = shape % ((length,) * shape.count(b"%"))
    known = [b"POST /%d HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (number, number) for number in range(1, 5)]
    check_requests([*known, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %b\r\n\r\n" % value])
    known = [b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % number for number in range(1, 5)]
    check_replies([*known, b"HTTP/1.1 200 OK\r\nContent-Length: %b\r\n\r\n" % value])


@pytest.mark.parametrize("limits", [Limits(fields=5), Limits(line_bytes=30), Limits(head_bytes=90), Limits(body_bytes=12)])
def test_limits_hold_for_heads_of_known_lines(limits: Limits) -> None:
    line = b"X: yyyyy\r\n"
    heads = [b"GET / HTTP/1.1\r\nHost: a\r\n" + line * count + b"\r\n" for count in range(12)]
    heads += [b"GET / HTTP/1.1\r\nHost: a\r\nX: %b\r\n\r\n" % (b"y" * count) for count in range(20, 35)]
    heads += [b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % length for length in range(15)]
    check_requests(heads * 2, replace(PLAIN, limits=limits))


def test_replies_have_no_more_fields_than_before() -> None:
    check_replies([b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * count + b"\r\n" for count in (1, 2, MAX_FIELDS, MAX_FIELDS + 1)])


def test_lines_that_are_alike_go_on_or_end_here_together() -> None:
    lines = [
        b"Host: a",
        b"X: y",
        b"Connection: keep-alive",
        b"Connection: x",
        b"X-Request-Id: 1",
        b"X-Forwarded-For: 1",
        b"X: y",
    ]
    heads = [b"GET / HTTP/1.1\r\n" + b"\r\n".join(lines[:count] + lines) + b"\r\n\r\n" for count in range(1, len(lines))]
    heads += [b"GET / HTTP/1.1\r\n" + b"\r\n".join(lines * 2 + lines[count:]) + b"\r\n\r\n" for count in range(len(lines))]
    check_requests(heads * 2)
    check_replies([b"HTTP/1.1 200 OK\r\n" + head.partition(b"\r\n")[2] for head in heads * 2])


@pytest.mark.parametrize(
    "lines",
    [b"Host: a:", b"host:a: ", b"Host: a:\r\nConnection: keep-alive", b"Host: a\r\nConnection: x", b"Host: A\r\nX-Real-IP: 1",
     b"Host: A", b"Host: a\r\nTE: trailers\r\nConnection: te", b"Host: a\r\nMax-Forwards: 5\r\nConnection: max-forwards",
     b"Host: a\r\nTransfer-Encoding:\tchunked", b"Host: a\r\nProxy-Connection: close", b"Host: a\r\nExpect: 100-continue"],
)  # fmt: skip
def test_lines_mean_what_they_mean_beside_lines_that_are_known(lines: bytes) -> None:
    heads = [b"POST /%d HTTP/1.1\r\nX: %d\r\n%b\r\nY: %d\r\n\r\n" % (number, number, lines, number) for number in range(8)]
    check_requests(heads + [head.replace(b"1.1\r", b"1.0\r") for head in heads])


@pytest.mark.parametrize("status", [101, 103, 200, 204, 304, 401, 407, 426, 599, 600])
@pytest.mark.parametrize(
    "lines", [b"WWW-Authenticate: NTLM", b"Proxy-Authenticate: Negotiate", b"Content-Length: 7", b"Keep-Alive: timeout=7",
              b"Upgrade: x\r\nConnection: upgrade", b"Connection: y, date", b"X-Request-Id: 7"]
)  # fmt: skip
def test_lines_of_replies_mean_what_they_mean_under_each_status(status: int, lines: bytes) -> None:
    check_replies([
        b"HTTP/1.1 %d X\r\nDate: %d\r\n%b\r\nY: %d\r\n\r\n" % (status, number, lines, number) for number in range(8)
    ])  # fmt: skip


def test_a_target_that_llhttp_has_something_against_is_refused_by_it() -> None:
    known = KnownLines(SPECIAL)
    reader = RequestReader(PLAIN, known)
    for number in range(4):
        reader.read(b"GET / HTTP/1.1\r\nHost: a\r\nX: %d\r\n\r\n" % number)
        known.pause = 0
    with pytest.raises(ProtocolError, match="can be read in more than one way"):
        reader.read(b"GET ? HTTP/1.1\r\nHost: a\r\nX: new\r\n\r\n")


def judged(known: KnownLines, line: bytes) -> int:
    known.judge(line)  # its name is met
    return known.judge(line)


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (b"X: y", 0),
        (b"Authorization: Basic a", 0),
        (b"Authorization: NTLM a", UNJUDGED),
        (b"X: \x00", UNJUDGED),
        (b"X Y: z", UNJUDGED),
        (b"X", UNJUDGED),
        (b": x", UNJUDGED),
        (b"Host: a", Kind.HOST),
        (b"X_Y: a", Kind.UNDERSCORE),
        (b"Content-Length: 7", A_LENGTH + 7),
        (b"Content-Length:  7", A_LENGTH + 7),
        (b"Content-Length: 0", Kind.CONTENT_LENGTH),
        (b"Content-Length: 07", Kind.CONTENT_LENGTH),
        (b"Content-Length: 7 ", Kind.CONTENT_LENGTH),
    ],
)
def test_a_line_is_what_it_says(line: bytes, kind: int) -> None:
    known = KnownLines(SPECIAL)
    known.judge(b"X: a")  # a name without a colon is none, known or not
    assert judged(known, line) == kind
    assert (line in known.plain, known.kinds.get(line, 0)) == (kind == 0, max(kind, 0))


def test_names_mean_something_to_those_to_whom_they_do() -> None:
    known = KnownLines(frozenset((Kind.CONNECTION,)))
    assert [judged(known, line) for line in (b"Host: a", b"X_Y: z", b"Connection: x")] == [0, 0, Kind.CONNECTION]


def test_what_is_long_is_not_remembered() -> None:
    known = KnownLines(SPECIAL)
    for line in (b"X: " + b"y" * MAX_LINE, b"Connection: " + b"y" * MAX_LINE):
        judged(known, line)
    assert (known.plain, known.kinds) == (set(), {})


NEVER_THE_SAME = (b"X: %240d", b"X-%d: y", b"X%0200d: y", b"Content-Length: %d", b"Connection: x%0200d", b"Cookie: a=%d")


def growth_with(line: bytes) -> tuple[int, int]:
    """The bytes that readers of requests and of replies keep of two thousand heads with such a line."""
    return (
        growth(RequestReader(PLAIN).read, lambda number: b"GET / HTTP/1.1\r\nHost: a\r\n%b\r\n\r\n" % (line % number)),
        growth(ResponseReader().read, lambda number: b"HTTP/1.1 200 OK\r\n%b\r\n\r\n" % (line % number)),
    )


def test_memory_of_lines_is_bounded() -> None:
    assert max(growth_with(b"X: %240d")) < 500_000


@pytest.mark.long
@pytest.mark.parametrize("line", NEVER_THE_SAME)
def test_memory_of_any_lines_is_bounded(line: bytes) -> None:
    assert max(growth_with(line)) < 500_000


def test_heads_that_never_repeat_take_nothing_from_others() -> None:
    heads = [b"GET / HTTP/1.1\r\nHost: h%d\r\nX-%d: %d\r\nCookie: %d\r\n\r\n" % ((number,) * 4) for number in range(3000)]
    reader = RequestReader(PLAIN)
    good = b"GET / HTTP/1.1\r\nHost: a\r\nCookie: %d\r\nConnection: keep-alive\r\n\r\n"
    for number, head in enumerate(heads):
        reader.read(head)
        if number % 100 == 0:
            assert verdict(good % number, reader) == verdict(good % number, RequestReader(PLAIN, forgetful()))
