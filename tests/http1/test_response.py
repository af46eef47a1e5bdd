"""Response cases, the exact heads that are forwarded, and that the cache has no visible effect."""

import pytest
from generated import response_heads
from hypothesis import given
from hypothesis import strategies as st
from reading import growth, reply, response_told
from response_cases import CUT, REPLY_CASES, STRICT_AND_TOLERANT, TOLERANT_TOO, ReplyCase

from balance.errors import ProtocolError
from balance.http1.response import ResponseReader
from balance.model import Why

TOLERATED = {case.sent for case in STRICT_AND_TOLERANT}
PLAIN_HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


@pytest.mark.parametrize("case", REPLY_CASES, ids=lambda case: case.name)
def test_reply_goes_on_or_is_refused_as_the_table_says(case: ReplyCase) -> None:
    assert reply(case.sent, case.method, ResponseReader()) == case.verdict


def test_every_case_has_a_name_of_its_own() -> None:
    cases = (*REPLY_CASES, *STRICT_AND_TOLERANT, *TOLERANT_TOO)
    assert len({case.name for case in cases}) == len(cases)


@pytest.mark.parametrize("case", STRICT_AND_TOLERANT, ids=lambda case: case.name)
def test_reply_that_breaks_a_rule_and_has_one_reading_goes_on_where_it_may(case: ReplyCase) -> None:
    assert reply(case.sent, case.method, ResponseReader(is_tolerant=True)) == case.verdict
    assert reply(case.sent, case.method, ResponseReader()) in (502, CUT)


@pytest.mark.parametrize("case", (*REPLY_CASES, *TOLERANT_TOO), ids=lambda case: case.name)
def test_tolerant_reader_makes_nothing_else_of_any_other_reply(case: ReplyCase) -> None:
    read = reply(case.sent, case.method, ResponseReader(is_tolerant=True))
    assert read == case.verdict or case.sent in TOLERATED or case.name.startswith("bare LF ends")


@pytest.mark.parametrize(
    ("head", "goes_on"),
    [
        (b"HTTP/1.1 200 OK\nX: y\nContent-Length: 5\n\n", b"HTTP/1.1 200 OK\r\nX: y\r\nContent-Length: 5\r\n"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX: y\r\nContent-Length: 5\r\n\r\n",
         b"HTTP/1.1 200 OK\r\nX: y\r\nContent-Length: 5\r\n"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n"),
        (b"HTTP/1.1 204 X\r\nTransfer-Encoding: chunked\r\nX: y\r\n\r\n", b"HTTP/1.1 204 X\r\nX: y\r\n"),
        (b"HTTP/1.1 999 X\r\nX: y\r\n\r\n", b"HTTP/1.1 999 X\r\nX: y\r\n"),
    ],
)  # fmt: skip
def test_what_is_tolerated_goes_on_as_the_rule_has_it(head: bytes, goes_on: bytes) -> None:
    reader = ResponseReader(is_tolerant=True)
    for _ in range(2):
        assert reader.read(head).forward == goes_on


def test_204_with_a_coding_ends_its_connection() -> None:
    reader = ResponseReader(is_tolerant=True)
    assert not reader.read(b"HTTP/1.1 204 X\r\nTransfer-Encoding: chunked\r\n\r\n").keep_alive
    assert reader.read(b"HTTP/1.1 204 X\r\n\r\n").keep_alive


def test_what_a_tolerant_reader_has_seen_is_refused_by_a_strict_one() -> None:
    head = b"HTTP/1.1 999 Seen\r\nContent-Length: 0\r\n\r\n"
    assert ResponseReader(is_tolerant=True).read(head).status == 999
    for data in (head, head[:25]):
        with pytest.raises(ProtocolError, match=r"'HTTP/1\.1 999 Seen' is not a status line"):
            ResponseReader().read(data) if data == head else ResponseReader().refuse_partial(data, 0)


@given(response_heads)
def test_tolerant_reader_reads_what_a_strict_one_reads_alike(head: bytes) -> None:
    strictly = response_told(head, ResponseReader())
    if strictly != 502:
        assert response_told(head, ResponseReader(is_tolerant=True)) == strictly


@given(response_heads, st.lists(st.booleans(), min_size=1, max_size=12))
def test_line_ends_mean_the_same_whichever_are_bare(head: bytes, bare: list[bool]) -> None:
    lines = head.split(b"\r\n")
    mixed = b"".join(line + (b"\n" if bare[number % len(bare)] else b"\r\n") for number, line in enumerate(lines[:-1]))
    reader = ResponseReader(is_tolerant=True)
    if b"\r" not in head.replace(b"\r\n", b"") and b"\n" not in head.replace(b"\r\n", b""):
        assert response_told(mixed, reader) == response_told(head, reader)
        assert reader.end(mixed + b"\r\n\r\n") == len(mixed)


@pytest.mark.parametrize(
    ("head", "goes_on"),
    [
        (b"HTTP/1.1 200 OK\r\nX: y\r\n", b"HTTP/1.1 200 OK\r\nX: y\r\n"),
        (b"HTTP/1.0 404 No\r\n", b"HTTP/1.1 404 No\r\n"),
        (b"HTTP/1.1 200\r\n", b"HTTP/1.1 200 \r\n"),
        (b"HTTP/1.1 200 OK\r\nConnection: close, X\r\nX: y\r\nY: z\r\n", b"HTTP/1.1 200 OK\r\nY: z\r\n"),
        (b"HTTP/1.1 200 OK\r\nKeep-Alive: timeout=5\r\nProxy-Connection: x\r\nTrailer: X\r\n",
         b"HTTP/1.1 200 OK\r\nTrailer: X\r\n"),
        (b"HTTP/1.1 407 X\r\nProxy-Authenticate: Basic\r\nProxy-Authorization: x\r\n",
         b"HTTP/1.1 407 X\r\nProxy-Authenticate: Basic\r\n"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX: y\r\n", b"HTTP/1.1 200 OK\r\nX: y\r\n"),
        (b"HTTP/1.1 200 OK\r\nUpgrade: h2\r\nConnection: Upgrade\r\n", b"HTTP/1.1 200 OK\r\n"),
        (b"HTTP/1.1 426 X\r\nUpgrade: TLS/1.0, h2c\r\nConnection: Upgrade, close, connection\r\nX: y\r\n",
         b"HTTP/1.1 426 X\r\nX: y\r\nConnection: Upgrade\r\nUpgrade: TLS/1.0, h2c\r\n"),
        (b"HTTP/1.1 426 X\r\nUpgrade: websocket\r\n", b"HTTP/1.1 426 X\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"),
        (b"HTTP/1.1 200 OK\r\nSet-Cookie: a\r\nset-cookie:b\r\n", b"HTTP/1.1 200 OK\r\nSet-Cookie: a\r\nset-cookie:b\r\n"),
        (b"HTTP/1.1 200 OK\r\nConnection: set-cookie\r\nSet-Cookie: a\r\n", b"HTTP/1.1 200 OK\r\nSet-Cookie: a\r\n"),
        (b"HTTP/1.1 304 X\r\nContent-Length: 9\r\nETag: e\r\n", b"HTTP/1.1 304 X\r\nContent-Length: 9\r\nETag: e\r\n"),
        (b"HTTP/1.1 204 X\r\nContent-Length: 9\r\nContent-Length-Hint: 9\r\n", b"HTTP/1.1 204 X\r\nContent-Length-Hint: 9\r\n"),
        (b"HTTP/1.1 103 X\r\nLink: </x>\r\ncontent-length: 0\r\n", b"HTTP/1.1 103 X\r\nLink: </x>\r\n"),
        (b"HTTP/1.1 200 OK\r\nX_Y: z\r\nForwarded: 1\r\n", b"HTTP/1.1 200 OK\r\nX_Y: z\r\nForwarded: 1\r\n"),
    ],
)  # fmt: skip
def test_head_goes_on_as_it_came_but_for_what_ends_here(head: bytes, goes_on: bytes) -> None:
    assert ResponseReader().read(head + b"\r\n").forward == goes_on


@pytest.mark.parametrize(
    ("fields", "keep_alive", "idle_timeout_s"),
    [
        (b"", True, 0.0),
        (b"Connection: close\r\n", False, 0.0),
        (b"Connection: keep-alive\r\nConnection: CLOSE\r\n", False, 0.0),
        (b"Keep-Alive: timeout=5\r\n", True, 5.0),
        (b"Keep-Alive: max=100, Timeout = 15\r\n", True, 15.0),
        (b"Keep-Alive: max=100;timeout=7\r\n", True, 7.0),
        (b"Keep-Alive: xtimeout=5\r\n", True, 0.0),
        (b"Keep-Alive: timeout=5x\r\n", True, 0.0),
        (b"Keep-Alive: timeout=-5\r\n", True, 0.0),
        (b"Keep-Alive: timeout=9999999\r\n", True, 0.0),
    ],
)
def test_connection_is_kept_as_the_backend_says(fields: bytes, keep_alive: bool, idle_timeout_s: float) -> None:
    response = ResponseReader().read(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n" + fields + b"\r\n")
    assert (response.keep_alive, response.idle_timeout_s) == (keep_alive, idle_timeout_s)


def test_http_1_0_keeps_its_connection_only_when_it_says_so() -> None:
    reader = ResponseReader()
    assert not reader.read(b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n").keep_alive
    assert reader.read(b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n").keep_alive


def test_switch_names_its_protocols_in_their_order() -> None:
    head = b"HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: zeta, Alpha\r\n\r\n"
    assert ResponseReader().read(head).upgrade == b"zeta, Alpha"


def test_refusal_is_the_backends_fault() -> None:
    with pytest.raises(ProtocolError) as caught:
        ResponseReader().read(b"HTTP/9 ok\r\n\r\n")
    assert (caught.value.status, caught.value.why) == (502, Why.BAD_RESPONSE)
    assert "'HTTP/9 ok" in caught.value.detail


@given(st.lists(response_heads, min_size=1, max_size=6))
def test_what_was_read_before_never_changes_what_is_read_now(heads: list[bytes]) -> None:
    warmed = ResponseReader()
    for head in heads + heads:
        assert response_told(head, warmed) == response_told(head, ResponseReader())


@given(response_heads)
def test_no_head_spoils_the_reader_for_the_next_backend(head: bytes) -> None:
    reader = ResponseReader()
    response_told(head, reader)
    assert response_told(PLAIN_HEAD, reader) == response_told(PLAIN_HEAD, ResponseReader())


def test_memory_of_heads_is_bounded() -> None:
    reader = ResponseReader()
    assert (
        growth(reader.read, lambda number: b"HTTP/1.1 200 X%d\r\nContent-Length: 0\r\nX: %1900d\r\n\r\n" % (number, number))
        < 300_000
    )
