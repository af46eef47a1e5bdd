"""A request body that is read first: when it is whole, when it streams after all, and how it goes out."""

from __future__ import annotations

import pytest
from httptools import HttpRequestParser
from hypothesis import given
from hypothesis import strategies as st

from balance.config.model import HttpConfig, Limits
from balance.config.route_model import Buffering
from balance.errors import ProtocolError
from balance.http1.body import Body
from balance.http1.framing import BY_CHUNKS, BY_LENGTH
from balance.http1.head import RequestFields
from balance.proxy.buffer_budget import BufferBudget
from balance.proxy.buffering.buffered_upload import BufferedUpload, is_buffered
from balance.proxy.buffering.upload import Upload

LIMIT = 10
HEAD = b"POST /a HTTP/1.1\r\nHost: a\r\n%bX-B: c\r\n\r\n"
CHUNKS = b"5\r\nhello\r\n3;ext=1\r\nyou\r\n0\r\nX-Sum: 1\r\n\r\n"


def fields_of(length: int = 0, *, upgrade: bytes = b"") -> RequestFields:
    fields = RequestFields()
    fields.framing = BY_LENGTH if length else BY_CHUNKS
    fields.length = length
    fields.upgrade = upgrade
    return fields


def upload(length: int = 0, *, budget: BufferBudget | None = None, total: int = 1000, body_limit: int = 0) -> BufferedUpload:
    http = HttpConfig(limits=Limits(body_bytes=body_limit))
    fields = fields_of(length)
    return BufferedUpload(Upload(fields, http, 100), fields, http, Buffering(LIMIT, 0, total), budget or BufferBudget())


def fed(body: BufferedUpload, data: bytes, size: int) -> bytes:
    """All that goes out of it, of `data` in parts of that size."""
    for at in range(0, len(data), size):
        out = body.feed(data[at : at + size])
        if not body.is_waiting:
            body.kept = (body.kept or b"") + out
        else:
            body.hold(out)
    return body.kept or b""


@pytest.mark.parametrize(
    ("fields", "size", "expected"),
    [
        (fields_of(9), 10, True),
        (fields_of(10), 10, True),
        (fields_of(11), 10, False),
        (fields_of(), 10, True),
        (fields_of(9), 0, False),
        (fields_of(), 0, False),
        (fields_of(9, upgrade=b"tcp"), 10, False),
    ],
)
def test_what_is_too_long_or_leads_to_an_upgrade_streams_from_its_first_byte(
    fields: RequestFields, size: int, expected: bool
) -> None:
    assert is_buffered(fields, Buffering(request_bytes=size)) is expected


@pytest.mark.parametrize("size", range(1, 12))
def test_body_is_whole_after_its_length_however_it_comes(size: int) -> None:
    body = upload(8)
    came = b"12345678GET"
    at = 0
    while body.is_waiting:
        body.hold(body.feed(came[at : at + size]))
        at += size
    assert (body.kept, body.is_whole, body.is_done) == (b"12345678", True, True)
    assert b"GET".startswith(body.rest)


@pytest.mark.parametrize("size", range(1, len(CHUNKS) + 1))
def test_chunks_become_a_body_with_its_length_and_trailers_go(size: int) -> None:
    body = upload()
    assert fed(body, CHUNKS, size) == b"helloyou"
    assert body.is_whole
    head = body.head(HEAD % b"transfer-encoding: chunked\r\nTrailer: X-Sum\r\nExpect: 100-continue\r\n")
    assert head == b"POST /a HTTP/1.1\r\nHost: a\r\nX-B: c\r\nContent-Length: 8\r\n\r\n"


@pytest.mark.parametrize("cut", range(len(CHUNKS) + 1))
def test_what_had_arrived_before_it_was_known_to_be_buffered_is_taken_over(cut: int) -> None:
    fields, http = fields_of(), HttpConfig()
    begun = Upload(fields, http, 100)
    begun.hold(begun.feed(CHUNKS[:cut]))
    body = BufferedUpload(begun, fields, http, Buffering(request_bytes=LIMIT), BufferBudget())
    assert body.bytes_in == cut
    if cut < len(CHUNKS):
        assert body.is_waiting
        body.hold(body.feed(CHUNKS[cut:]))
    assert (body.kept, body.is_whole, body.bytes_in, body.rest) == (b"helloyou", True, len(CHUNKS), b"")


def test_an_empty_body_in_chunks_has_the_length_0() -> None:
    body = upload()
    assert fed(body, b"0\r\n\r\n", 99) == b""
    assert b"Content-Length: 0\r\n\r\n" in body.head(HEAD % b"Transfer-Encoding: chunked\r\n")


def test_the_head_of_a_body_with_length_loses_only_its_expectation() -> None:
    body = upload(4)
    fed(body, b"1234", 4)
    lines = b"Content-Length: 4\r\n"
    assert body.head(HEAD % (b"Expect: 100-continue\r\n" + lines)) == HEAD % lines


@given(
    parts=st.lists(st.binary(min_size=1, max_size=6), min_size=1, max_size=8),
    cuts=st.lists(st.integers(1, 20), min_size=1),
    trailers=st.sampled_from([b"", b"X-Sum: 1\r\n"]),
)
def test_chunks_that_outgrow_the_limit_go_on_as_chunks_of_the_same_content(
    parts: list[bytes], cuts: list[int], trailers: bytes
) -> None:
    content = b"".join(parts)
    data = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n" + trailers + b"\r\n"
    body = upload()
    out, at, number = b"", 0, 0
    while at < len(data):
        size = cuts[number % len(cuts)]
        number += 1
        went = body.feed(data[at : at + size])
        at += size
        if body.is_waiting:
            body.hold(went)
            if not body.is_waiting:
                out = body.kept or b""
        else:
            out += went
    assert body.is_done
    if len(content) <= LIMIT:
        assert (body.is_whole, out) == (True, content)
        return
    assert not body.is_whole
    head = HEAD % b"Transfer-Encoding: chunked\r\n"
    assert body.head(head) == head
    check = Body(BY_CHUNKS, 0, HttpRequestParser, decode=True)
    assert check.feed(out) == content
    assert (check.is_done, check.rest) == (True, b"")


def test_body_that_finds_no_room_streams_and_what_is_held_goes_first() -> None:
    budget = BufferBudget()
    first, second = upload(8, budget=budget, total=10), upload(8, budget=budget, total=10)
    first.hold(first.feed(b"12345"))
    second.hold(second.feed(b"12345"))
    assert first.is_waiting
    assert second.is_waiting
    second.hold(second.feed(b"6"))
    assert (second.is_waiting, second.is_whole, second.kept) == (False, False, b"123456")
    assert budget.held == 11
    second.sent(False)
    assert second.kept is None
    second.release()
    assert budget.held == 5


def test_body_that_is_whole_is_held_even_without_room() -> None:
    body = upload(8, total=1)
    body.hold(body.feed(b"12345678"))
    assert body.is_whole


def test_a_body_beyond_its_limit_is_refused_with_its_first_byte_too_many() -> None:
    body = upload(body_limit=4)
    with pytest.raises(ProtocolError) as refused:
        fed(body, CHUNKS, 1)
    assert refused.value.status == 413


@pytest.mark.parametrize("may_repeat", [True, False])
def test_a_whole_body_of_any_size_stays_kept_where_it_may_be_sent_again(may_repeat: bool) -> None:
    size = 300_000
    fields = fields_of(size)
    budget = BufferBudget()
    http = HttpConfig()
    body = BufferedUpload(Upload(fields, http, 100), fields, http, Buffering(request_bytes=size), budget)
    body.hold(body.feed(b"x" * size))
    body.sent(may_repeat)
    assert (body.kept is not None) is may_repeat
    assert budget.held == size
    body.release()
    assert budget.held == 0
