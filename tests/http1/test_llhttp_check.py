"""The llhttp check agrees with the right framing and no other, whatever it parsed before."""

import pytest
from httptools import HttpRequestParser, HttpResponseParser
from hypothesis import given
from hypothesis import strategies as st
from reading import PLAIN
from request_cases import BOTH, CHUNKS, CODINGS, LENGTHS, Case

from balance.errors import ProtocolError
from balance.http1.framing import Framing
from balance.http1.llhttp_check import LlhttpBodyCheck, LlhttpCheck
from balance.http1.request import RequestReader

NONE, LENGTH, CHUNKED, UNTIL_CLOSE = Framing.NONE, Framing.LENGTH, Framing.CHUNKED, Framing.UNTIL_CLOSE
CLOSED_EARS = b"GET / HTTP/1.1\r\nHost: a\r\nProxy-Connection: close\r\n\r\n"


def framing_of(head: bytes) -> tuple[Framing, int] | None:
    try:
        fields = RequestReader(PLAIN).read(head).fields
    except ProtocolError:
        return None
    return fields.framing, fields.length


HEADS = [
    head
    for head in sorted({case.sent[: case.sent.find(b"\r\n\r\n") + 4] for case in (*LENGTHS, *BOTH, *CODINGS)})
    if framing_of(head) is not None
]


@given(st.sampled_from(HEADS), st.sampled_from([NONE, LENGTH, UNTIL_CLOSE]), st.integers(1, 70_000))
def test_no_end_but_the_right_one_is_agreed_to(head: bytes, framing: Framing, length: int) -> None:
    right = framing_of(head)
    assert right is not None
    claimed = (framing, length if framing is LENGTH else 0)
    agreed = LlhttpCheck(HttpRequestParser).agrees(head, *claimed, reusable=True)
    # Longer bodies than the check feeds have no end that it could verify.
    if agreed and right[1] <= 65536:
        assert claimed == right


@pytest.mark.parametrize(
    ("fields", "right", "wrong"),
    [
        (b"", (NONE, 0), [(LENGTH, 1), (CHUNKED, 0), (UNTIL_CLOSE, 0)]),
        (b"Content-Length: 5\r\n", (LENGTH, 5), [(NONE, 0), (UNTIL_CLOSE, 0), (LENGTH, 4), (LENGTH, 6)]),
        (b"Content-Length: 65536\r\n", (LENGTH, 65536), [(NONE, 0), (LENGTH, 65535), (LENGTH, 5)]),
        (b"Content-Length: 70000\r\n", (LENGTH, 70000), [(NONE, 0), (LENGTH, 65536), (LENGTH, 5)]),
        (b"Transfer-Encoding: chunked\r\n", (CHUNKED, 0), [(NONE, 0), (LENGTH, 5), (UNTIL_CLOSE, 0), (LENGTH, 70000)]),
    ],
)
def test_request_is_agreed_to_under_its_own_framing_only(
    fields: bytes, right: tuple[Framing, int], wrong: list[tuple[Framing, int]]
) -> None:
    head = b"POST / HTTP/1.1\r\nHost: a\r\n" + fields + b"\r\n"
    llhttp = LlhttpCheck(HttpRequestParser)
    for claimed in (right, *wrong, right):
        assert llhttp.agrees(head, *claimed, reusable=True) is (claimed == right)


@pytest.mark.parametrize(
    ("head", "right"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", (UNTIL_CLOSE, 0)),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", (LENGTH, 5)),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", (NONE, 0)),
        (b"HTTP/1.1 304 X\r\nContent-Length: 5\r\n\r\n", (NONE, 0)),
        (b"HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", (NONE, 0)),
    ],
)
def test_reply_is_agreed_to_under_its_own_framing_only(head: bytes, right: tuple[Framing, int]) -> None:
    llhttp = LlhttpCheck(HttpResponseParser)
    for claimed in ((NONE, 0), (LENGTH, 4), (LENGTH, 5), (LENGTH, 6), right):
        assert llhttp.agrees(head, *claimed, reusable=True) is (claimed == right)


@pytest.mark.parametrize(
    "rubbish", [b"", b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nX\r\n\r\n", b"\x00", b"GET / HTTP/1.1\r\nX: \x01\r\n\r\n"]
)
def test_what_is_not_one_whole_head_is_never_agreed_to(rubbish: bytes) -> None:
    assert not LlhttpCheck(HttpRequestParser).agrees(rubbish, NONE, 0, reusable=True)


def test_two_heads_are_never_agreed_to() -> None:
    head = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    assert not LlhttpCheck(HttpRequestParser).agrees(head + head, NONE, 0, reusable=True)


def test_head_that_closes_the_witness_s_ears_refuses_nobody_else() -> None:
    llhttp = LlhttpCheck(HttpRequestParser)
    plain = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    for head in (CLOSED_EARS, plain, CLOSED_EARS, CLOSED_EARS, plain):
        assert llhttp.agrees(head, NONE, 0, reusable=True)


@pytest.mark.parametrize("case", CHUNKS, ids=lambda case: case.name)
def test_chunks_are_agreed_to_when_the_table_lets_them_pass(case: Case) -> None:
    end = case.sent.find(b"\r\n\r\n") + 4
    llhttp = LlhttpBodyCheck(HttpRequestParser)
    if case.verdict[-1] == "ok":
        assert llhttp.agrees(case.sent[end:-1], ended=False)
        assert llhttp.agrees(case.sent[-1:], ended=True)


def test_end_that_only_one_of_both_sees_is_not_agreed_to() -> None:
    assert not LlhttpBodyCheck(HttpRequestParser).agrees(b"5\r\nhello\r\n0\r\n\r\n", ended=False)
    assert not LlhttpBodyCheck(HttpRequestParser).agrees(b"5\r\nhello\r\n", ended=True)
    assert not LlhttpBodyCheck(HttpRequestParser).agrees(b"5\r\nhello!", ended=False)
