"""Streaming bodies: independent of how they are split, refused with 400 or 502."""

from itertools import pairwise

import pytest
from generated import chunked_bodies
from httptools import HttpRequestParser, HttpResponseParser
from hypothesis import given
from hypothesis import strategies as st
from reading import payload
from request_cases import CASES, CHUNKED, MORE, OK, Case

from balance.errors import ProtocolError
from balance.http1.body import Body
from balance.http1.chunked import is_whole
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
    assert (body.is_done, body.rest, body.received, body.trailers) == (True, b"HTTP", 5, b"X: y\r\n")


PARSERS = st.sampled_from([HttpRequestParser, HttpResponseParser])


def read(pieces: list[bytes], parser: type[HttpRequestParser] | type[HttpResponseParser], *, decode: bool) -> object:
    """What a body that comes in `pieces` has for content and what follows it; or that more has to come, or its refusal."""
    body = Body(Framing.CHUNKED, 0, parser, decode=decode)
    out = b""
    try:
        for number, piece in enumerate(pieces):
            out += body.feed(piece)
            if body.is_done:
                content = out if decode else payload(Framing.CHUNKED, out)
                assert body.received == len(content)
                return content, body.rest + b"".join(pieces[number + 1 :])
    except ProtocolError as error:
        return error.status
    return MORE


def by_the_byte(sent: bytes, parser: type[HttpRequestParser] | type[HttpResponseParser]) -> object:
    """Read by lines, and by llhttp from the first byte on: that is how bodies are read whose content alone is wanted."""
    return read([sent[at : at + 1] for at in range(len(sent))], parser, decode=True)


@given(chunked_bodies, PARSERS)
def test_whole_chunks_have_the_verdict_of_the_reader_by_lines_and_of_llhttp(
    sent: bytes, parser: type[HttpRequestParser] | type[HttpResponseParser]
) -> None:
    wanted = by_the_byte(sent, parser)
    assert read([sent], parser, decode=False) == wanted
    for at in range(1, len(sent)):
        assert read([sent[:at], sent[at:]], parser, decode=False) == wanted


@given(chunked_bodies, st.lists(st.integers(0, 2000), max_size=6), PARSERS)
def test_chunks_in_any_pieces_have_the_verdict_of_the_reader_by_lines_and_of_llhttp(
    sent: bytes, marks: list[int], parser: type[HttpRequestParser] | type[HttpResponseParser]
) -> None:
    edges = [0, *sorted(mark % (len(sent) + 1) for mark in marks), len(sent)]
    pieces = [sent[start:end] for start, end in pairwise(edges)]
    assert read(pieces, parser, decode=False) == by_the_byte(sent, parser)


@given(chunked_bodies)
def test_body_is_whole_only_if_it_goes_on_as_it_came_and_nothing_follows(sent: bytes) -> None:
    body = Body(Framing.CHUNKED, 0, HttpResponseParser)
    try:
        goes_on = body.feed(sent) == sent and body.is_done and not body.rest
    except ProtocolError:
        goes_on = False
    assert not is_whole(sent) or goes_on


@pytest.mark.parametrize(
    ("sent", "whole"),
    [
        (b"0\r\n\r\n", True),
        (b"5\r\nhello\r\n0\r\n\r\n", True),
        (b"000A\r\n0\r\n\r\n56789\r\n0\r\n\r\n", True),
        (b"", False),
        (b"5\r\nhello\r\n", False),
        (b"a\r\nhell0\r\n\r\n", False),
        (b"5\r\nhello\r\n0\r\n\r\n0\r\n\r\n", False),
        (b"5\r\nhello\r\n0\r\nX: 0\r\n\r\n", False),
        (b"5;a\r\nhello\r\n0\r\n\r\n", False),
        (b"4\r\nhello\r\n0\r\n\r\n", False),
        (b"00\r\n\r\n", True),
        (b"0000000000000005\r\nhello\r\n0\r\n\r\n", False),
        (b"+5\r\nhello\r\n0\r\n\r\n", False),
    ],
)
def test_whole_body_is_known_by_its_plain_chunks(sent: bytes, whole: bool) -> None:
    assert is_whole(sent) is whole
