"""Streaming bodies: independent of how they are split, refused with 400 or 502."""

import pytest
from httptools import HttpRequestParser, HttpResponseParser
from request_cases import CASES, CHUNKED, MORE, OK, Case

from balance.errors import ProtocolError
from balance.http1.body import Body
from balance.http1.framing import Framing
from balance.model import Why

CHUNKED_CASES = [case for case in CASES if case.sent.startswith(CHUNKED) and len(case.sent) < 2000]


@pytest.mark.parametrize("at", range(8))
def test_length_ends_a_body_wherever_the_reads_are_cut(at: int) -> None:
    body = Body(Framing.LENGTH, 5, HttpRequestParser)
    data = b"helloGE"
    out = b""
    for piece in (data[:at], data[at:]):
        if not body.is_done:
            out += body.feed(piece)
    assert (out, body.is_done, body.received) == (b"hello", True, 5)
    assert body.rest == (b"" if at == 5 else b"GE" if at < 5 else data[5:at])


def test_no_body_is_done_before_it_begins() -> None:
    assert Body(Framing.NONE, 0, HttpRequestParser).is_done
    assert not Body(Framing.LENGTH, 1, HttpRequestParser).is_done


def test_body_until_the_close_never_ends_by_itself() -> None:
    body = Body(Framing.UNTIL_CLOSE, 0, HttpResponseParser)
    assert (body.feed(b"0\r\n\r\n"), body.is_done, body.ends_at_close, body.received) == (b"0\r\n\r\n", False, True, 5)


@pytest.mark.parametrize("case", CHUNKED_CASES, ids=lambda case: case.name)
def test_chunked_body_has_the_table_s_end_byte_by_byte(case: Case) -> None:
    end = case.sent.find(b"\r\n\r\n") + 4
    body = Body(Framing.CHUNKED, 0, HttpRequestParser)
    outcome: str | int = MORE
    try:
        for at in range(end, len(case.sent)):
            body.feed(case.sent[at : at + 1])
            if body.is_done:
                outcome = OK
                break
    except ProtocolError as error:
        outcome = error.status
    assert outcome == (case.verdict[-1] if len(case.verdict) == 1 else OK)


@pytest.mark.parametrize(
    ("parser", "status", "why"),
    [(HttpRequestParser, 400, Why.BAD_REQUEST), (HttpResponseParser, 502, Why.BAD_RESPONSE)],
)
@pytest.mark.parametrize("chunks", [b"x\r\n", b"5\r\nhello!", b"5;\xff\r\nhello\r\n"], ids=["ours", "both", "witness"])
def test_malformed_chunks_are_the_sender_s_fault(
    parser: type[HttpRequestParser] | type[HttpResponseParser], status: int, why: Why, chunks: bytes
) -> None:
    with pytest.raises(ProtocolError) as caught:
        Body(Framing.CHUNKED, 0, parser).feed(chunks)
    assert (caught.value.status, caught.value.why) == (status, why)


def test_decoded_chunks_are_content_alone_and_leave_the_rest() -> None:
    body = Body(Framing.CHUNKED, 0, HttpResponseParser, decode=True)
    assert body.feed(b"5;a\r\nhel") + body.feed(b"lo\r\n0\r\nX: y\r\n\r\nHTTP") == b"hello"
    assert (body.is_done, body.rest, body.received) == (True, b"HTTP", 5)
