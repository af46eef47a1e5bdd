"""Request cases, the exact bytes that are forwarded, and that the cache has no visible effect."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import strict
from generated import field_blocks, request_heads, request_lines
from hypothesis import given
from hypothesis import strategies as st
from reading import PLAIN, growth, request_told, requests, told
from request_cases import CASES, Case

from balance.config.model import HttpConfig, Limits
from balance.errors import ProtocolError
from balance.http1.framing import Framing
from balance.http1.head import Request
from balance.http1.request import METHODS, RequestReader
from balance.model import Why

PLAIN_HEAD = b"GET / HTTP/1.1\r\nHost: plain\r\n\r\n"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_request_goes_on_or_is_refused_as_the_table_says(case: Case) -> None:
    assert requests(case.sent, RequestReader(PLAIN)) == case.verdict


def test_every_case_has_a_name_of_its_own() -> None:
    assert len({case.name for case in CASES}) == len(CASES)


@pytest.mark.parametrize("method", sorted(METHODS - {b"CONNECT", b"TRACE"}))
def test_every_method_we_know_is_one_that_the_witness_knows(method: bytes) -> None:
    assert RequestReader(PLAIN).read(method + b" / HTTP/1.1\r\nHost: a\r\n\r\n").method == method


FORWARDED = [
    (b"Host: a\r\nX: y\r\n", b"Host: a\r\nX: y\r\n"),
    (b"hOST:a\r\nx-Y:  z \t\r\n", b"hOST:a\r\nx-Y:  z \t\r\n"),
    (b"Host: a\r\nConnection: keep-alive\r\nX: y\r\n", b"Host: a\r\nX: y\r\n"),
    (b"Host: a\r\nConnection: close, X\r\nX: y\r\nx: z\r\nY: 1\r\n", b"Host: a\r\nY: 1\r\n"),
    (b"Host: a\r\nKeep-Alive: timeout=5\r\nProxy-Connection: x\r\nTrailer: X\r\n", b"Host: a\r\nTrailer: X\r\n"),
    (b"Host: a\r\nProxy-Authorization: x\r\nProxy-Authenticate: y\r\nAuthorization: z\r\n", b"Host: a\r\nAuthorization: z\r\n"),
    (b"Host: a\r\nTE: gzip, trailers\r\n", b"Host: a\r\nTE: trailers\r\nConnection: TE\r\n"),
    (b"Host: a\r\nTE: gzip\r\nConnection: TE\r\n", b"Host: a\r\n"),
    (
        b"Host: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: k\r\n",
        b"Host: a\r\nSec-WebSocket-Key: k\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n",
    ),
    (
        b"Host: a\r\nUpgrade: zeta, h2c, WebSocket, ZETA\r\nConnection: upgrade, te\r\nTE: trailers\r\n",
        b"Host: a\r\nTE: trailers\r\nUpgrade: zeta, WebSocket\r\nConnection: TE, Upgrade\r\n",
    ),
    (
        b"Host: a\r\nUpgrade: SPDY/3.1, IRC/6.9\r\nUpgrade: RTA/x11\r\nConnection: Upgrade\r\n",
        b"Host: a\r\nUpgrade: SPDY/3.1, IRC/6.9, RTA/x11\r\nConnection: Upgrade\r\n",
    ),
    (b"Host: a\r\nUpgrade: TLS/1.2, HTTP/1.1, H2C, h3\r\nConnection: Upgrade\r\n", b"Host: a\r\n"),
    (b'Host: a\r\nUpgrade: a b, "c", d/, /e, f/1/2, \xe9\r\nConnection: Upgrade\r\n', b"Host: a\r\n"),
    (
        b"Host: a\r\nUpgrade: tcp\r\nConnection: Upgrade\r\nContent-Length: 5\r\n",
        b"Host: a\r\nContent-Length: 5\r\nUpgrade: tcp\r\nConnection: Upgrade\r\n",
    ),
    (
        b"Host: a\r\nUpgrade: tcp\r\nConnection: Upgrade\r\nTransfer-Encoding: chunked\r\n",
        b"Host: a\r\nTransfer-Encoding: chunked\r\nUpgrade: tcp\r\nConnection: Upgrade\r\n",
    ),
    (b"Host: a\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\nConnection: Upgrade, HTTP2-Settings\r\n", b"Host: a\r\n"),
    (b"Host: a\r\nUpgrade: websocket\r\n", b"Host: a\r\n"),
    (b"Host: a\r\nX-Forwarded-For: 1.2.3.4\r\nForwarded: for=x\r\nX-Real-IP: 1\r\nX-Forwarded-Host: e\r\n", b"Host: a\r\n"),
    (b"Host: a\r\nContent_Length: 5\r\nX_Y: z\r\n", b"Host: a\r\n"),
    (b"Host: a\r\nContent-Length:  5\r\n", b"Host: a\r\nContent-Length:  5\r\n"),
    (b"Host: a\r\nTransfer-Encoding: CHUNKED\r\nX: y\r\n", b"Host: a\r\nX: y\r\nTransfer-Encoding: chunked\r\n"),
    (b"Host: a\r\nExpect: 100-Continue\r\nContent-Length: 5\r\n", b"Host: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n"),
    (b"Host: a\r\nX-Request-Id: R-1\r\n", b"Host: a\r\nX-Request-Id: R-1\r\n"),
    (b"Host: a\r\nX-Request-Id: r 1\r\n", b"Host: a\r\n"),
    (b"Host: a\r\nX-Request-Id: 1\r\nX-Request-Id: 2\r\n", b"Host: a\r\n"),
    (b"Host: a\r\nX-Request-Id: " + b"r" * 129 + b"\r\n", b"Host: a\r\n"),
    (b"Host: a\r\nMax-Forwards: 0\r\n", b"Host: a\r\nMax-Forwards: 0\r\n"),
    (
        b"Host: a\r\nConnection: host, cookie, authorization, content-length, content-type\r\nCookie: c\r\nAuthorization: z\r\n"
        b"Content-Length: 5\r\nContent-Type: t\r\n",
        b"Host: a\r\nCookie: c\r\nAuthorization: z\r\nContent-Length: 5\r\nContent-Type: t\r\n",
    ),
]


@pytest.mark.parametrize(("came", "goes_on"), FORWARDED)
def test_field_lines_go_on_as_they_came_but_for_what_ends_here(came: bytes, goes_on: bytes) -> None:
    assert RequestReader(PLAIN).read(b"POST /x HTTP/1.1\r\n" + came + b"\r\n").fields.forward == goes_on


@pytest.mark.parametrize(
    ("came", "goes_on"),
    [
        (b"GET /a?b HTTP/1.1\r\n", b"GET /a?b HTTP/1.1\r\n"),
        (b"GET /a HTTP/1.0\r\n", b"GET /a HTTP/1.1\r\n"),
        (b"GET http://a/b?c HTTP/1.1\r\n", b"GET /b?c HTTP/1.1\r\n"),
        (b"GET HTTP://A?c HTTP/1.1\r\n", b"GET /?c HTTP/1.1\r\n"),
        (b"OPTIONS * HTTP/1.1\r\n", b"OPTIONS * HTTP/1.1\r\n"),
        (b"OPTIONS http://a HTTP/1.1\r\n", b"OPTIONS * HTTP/1.1\r\n"),
    ],
)
def test_request_line_goes_on_in_origin_form_and_as_http_1_1(came: bytes, goes_on: bytes) -> None:
    assert RequestReader(PLAIN).read(came + b"Host: a\r\n\r\n").line == goes_on


@pytest.mark.parametrize(
    ("setting", "outcome"), [("drop", b"Host: a\r\n"), ("pass", b"Host: a\r\nX_Y: z\r\n"), ("reject", 400)]
)
def test_underscore_names_are_dropped_passed_or_refused(setting: str, outcome: bytes | int) -> None:
    reader = RequestReader(HttpConfig(underscore_headers=setting))
    told = request_told(b"GET / HTTP/1.1\r\nHost: a\r\nX_Y: z\r\n\r\n", reader)
    assert (told if isinstance(told, int) else told["fields"]["forward"]) == outcome


def test_upgrade_goes_on_only_where_websocket_is_on() -> None:
    head = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    on, off = (RequestReader(HttpConfig(websocket=setting)).read(head).fields for setting in (True, False))
    assert (on.upgrade, off.upgrade, off.forward) == (b"websocket", b"", b"Host: a\r\n")


@pytest.mark.parametrize(
    ("limits", "head", "status"),
    [
        (Limits(body_bytes=4), b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n", 413),
        (Limits(body_bytes=5), b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n", 0),
        (Limits(line_bytes=14), b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", 0),
        (Limits(line_bytes=13), b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", 414),
        (Limits(line_bytes=20), b"GET / HTTP/1.1\r\nHost: a\r\nX: 901234567890123456\r\n\r\n", 431),
        (Limits(head_bytes=27), b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", 0),
        (Limits(head_bytes=26), b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", 431),
        (Limits(fields=2), b"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n", 0),
        (Limits(fields=1), b"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n", 431),
    ],
)
def test_limits_are_exact(limits: Limits, head: bytes, status: int) -> None:
    told = request_told(head, RequestReader(replace(PLAIN, limits=limits)))
    assert (told if isinstance(told, int) else 0) == status


@pytest.mark.parametrize(
    ("field", "ends_here", "goes_on"),
    [
        (b"Max-Forwards: 0", True, b"Host: a\r\nMax-Forwards: 0\r\n"),
        (b"Max-Forwards: 1", False, b"Host: a\r\nMax-Forwards: 0\r\n"),
        (b"max-forwards: 010", False, b"Host: a\r\nMax-Forwards: 9\r\n"),
    ],
)
def test_options_counts_its_forwards_down(field: bytes, ends_here: bool, goes_on: bytes) -> None:
    reader = RequestReader(PLAIN)
    for _ in range(2):  # the count must not reach what is remembered
        request = reader.read(b"OPTIONS / HTTP/1.1\r\nHost: a\r\n" + field + b"\r\n\r\n")
        assert (request.ends_here, request.fields.forward) == (ends_here, goes_on)


@pytest.mark.parametrize("value", [b"-1", b"x", b"1" * 10])
def test_options_with_forwards_that_are_no_number_is_refused(value: bytes) -> None:
    assert request_told(b"OPTIONS / HTTP/1.1\r\nHost: a\r\nMax-Forwards: %b\r\n\r\n" % value, RequestReader(PLAIN)) == 400


@pytest.mark.parametrize(
    ("head", "keep_alive"),
    [
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", True),
        (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", False),
        (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Close\r\n\r\n", False),
        (b"GET / HTTP/1.0\r\n\r\n", False),
        (b"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", True),
        (b"OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", False),
    ],
)
def test_connection_stays_as_its_version_and_options_say(head: bytes, keep_alive: bool) -> None:
    assert RequestReader(PLAIN).read(head).keep_alive is keep_alive


def test_refusal_quotes_what_was_sent_in_ascii() -> None:
    with pytest.raises(ProtocolError) as caught:
        RequestReader(PLAIN).read(b"GET / HTTP/1.1\r\nHost: caf\xe9 !\r\n\r\n")
    assert (caught.value.status, caught.value.why) == (400, Why.BAD_REQUEST)
    assert caught.value.detail == r"Host 'caf\xe9 !' is not a host"


@given(st.lists(request_heads, min_size=1, max_size=6))
def test_what_was_read_before_never_changes_what_is_read_now(heads: list[bytes]) -> None:
    warmed = RequestReader(PLAIN)
    for head in heads + heads:
        assert request_told(head, warmed) == request_told(head, RequestReader(PLAIN))


@given(field_blocks, request_lines, request_lines)
def test_fields_that_are_remembered_mean_the_same_under_another_line(block: bytes, first: bytes, second: bytes) -> None:
    warmed = RequestReader(PLAIN)
    request_told(first + block, warmed)
    assert request_told(second + block, warmed) == request_told(second + block, RequestReader(PLAIN))


@pytest.mark.parametrize(
    ("fields", "as_1_1", "as_1_0"),
    [
        (b"Transfer-Encoding: chunked", b"Host: a\r\nTransfer-Encoding: chunked\r\n", 400),
        (b"Expect: 100-continue", b"Host: a\r\nExpect: 100-continue\r\n", b"Host: a\r\n"),
        (
            b"Connection: Upgrade\r\nUpgrade: websocket",
            b"Host: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n",
            b"Host: a\r\n",
        ),
    ],
)
def test_fields_that_are_remembered_of_http_1_1_mean_what_they_mean_in_http_1_0(
    fields: bytes, as_1_1: bytes, as_1_0: bytes | int
) -> None:
    reader = RequestReader(PLAIN)
    for minor, outcome in ((1, as_1_1), (0, as_1_0), (1, as_1_1), (0, as_1_0)):
        told = request_told(b"POST / HTTP/1.%d\r\nHost: a\r\n%b\r\n\r\n" % (minor, fields), reader)
        assert (told if isinstance(told, int) else told["fields"]["forward"]) == outcome


@given(request_heads, st.integers(8, 30))
def test_the_usual_line_is_read_as_any_other(head: bytes, most: int) -> None:
    for limits in (Limits(), Limits(line_bytes=most), Limits(head_bytes=most + 10)):
        reader = RequestReader(HttpConfig(limits=limits))
        assert verdict(reader.read, head) == verdict(reader._read_any, head)


def verdict(read: Callable[[bytes], Request], head: bytes) -> object:
    try:
        return told(read(head))
    except ProtocolError as error:
        return error.status, error.why, error.detail


@given(field_blocks, request_lines, request_lines, st.integers(8, 30), st.binary(max_size=3))
def test_lines_that_come_again_are_read_as_at_the_first_time(
    block: bytes, first: bytes, second: bytes, most: int, more: bytes
) -> None:
    for limits in (Limits(), Limits(line_bytes=most), Limits(head_bytes=most + 10)):
        reader = RequestReader(HttpConfig(limits=limits))
        try:
            known = reader.read(first + block).fields.block
        except ProtocolError:
            continue
        for data in (second + block, second + block + second + block, second + block + more, second + block[: -len(more)]):
            again = reader.read_again(data, known) if known else None
            if again is not None:
                assert data.find(b"\r\n\r\n") + 4 == len(data)
                assert told(again) == verdict(RequestReader(HttpConfig(limits=limits)).read, data)


def test_only_one_whole_head_with_the_very_same_lines_is_read_again() -> None:
    reader = RequestReader(PLAIN)
    fields = reader.read(PLAIN_HEAD).fields
    again = reader.read_again(PLAIN_HEAD.replace(b"GET /", b"GET /other", 1), fields.block)
    assert again is not None
    assert (again.method, again.target, again.fields) == (b"GET", b"/other", fields)
    for other in (
        PLAIN_HEAD + PLAIN_HEAD,
        PLAIN_HEAD[:-2],
        PLAIN_HEAD + b"x",
        PLAIN_HEAD.replace(b"HTTP/1.1", b"HTTP/1.0", 1),
        PLAIN_HEAD.replace(b"GET", b"TRACE", 1),
        PLAIN_HEAD.replace(b"GET ", b"GET  ", 1),
        PLAIN_HEAD.replace(b"GET /", b"GET /#", 1),
        fields.block,
    ):
        assert reader.read_again(other, fields.block) is None, other
    assert RequestReader(PLAIN).read_again(PLAIN_HEAD, fields.block) is None  # another listener's


@given(request_heads)
def test_no_head_spoils_the_reader_for_the_next_client(head: bytes) -> None:
    reader = RequestReader(PLAIN)
    request_told(head, reader)
    assert request_told(PLAIN_HEAD, reader) == request_told(PLAIN_HEAD, RequestReader(PLAIN))


@given(request_heads)
def test_nothing_goes_on_that_the_grammar_reads_otherwise(head: bytes) -> None:
    told = request_told(head, RequestReader(PLAIN))
    if isinstance(told, dict):
        read = strict.read_head(head)
        assert read is not None
        assert (told["method"], told["target"], told["minor"]) == (read.method, read.target, read.minor)
        assert (told["fields"]["framing"] is Framing.CHUNKED, told["fields"]["length"]) == (read.is_chunked, read.length)


@given(request_heads)
def test_what_goes_on_is_read_the_same_by_the_next_strict_reader(head: bytes) -> None:
    passing = HttpConfig(underscore_headers="pass")
    first = request_told(head, RequestReader(passing))
    if isinstance(first, dict):
        again = RequestReader(passing).read(first["line"] + (b"" if first["fields"]["host"] else b"Host: x\r\n")
                                            + first["fields"]["forward"] + b"\r\n")  # fmt: skip
        assert (again.method, again.target) == (first["method"], first["target"])
        assert (again.fields.framing, again.fields.length) == (first["fields"]["framing"], first["fields"]["length"])


def test_memory_of_heads_is_bounded() -> None:
    reader = RequestReader(PLAIN)
    assert growth(reader.read, lambda number: b"GET / HTTP/1.1\r\nHost: a\r\nX: %1900d\r\n\r\n" % number) < 300_000
