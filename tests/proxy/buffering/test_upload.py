"""A request's body by itself: what goes on of what came, where it ends, and what can be sent again."""

from __future__ import annotations

import pytest

from balance.config.model import HttpConfig, Limits
from balance.errors import ProtocolError
from balance.http1.framing import BY_CHUNKS, BY_LENGTH
from balance.http1.head import RequestFields
from balance.model import Why
from balance.proxy.buffering.upload import COPY_LIMIT, REPLAY_LIMIT, Upload

HEAD = 100
CHUNKS = b"5\r\nhello\r\n0\r\n\r\n"


def upload(length: int = 0, *, expects: bool = False, limit: int = 0) -> Upload:
    """Of a body of that length, or in chunks."""
    fields = RequestFields()
    fields.framing = BY_LENGTH if length else BY_CHUNKS
    fields.length = length
    fields.expects_continue = expects
    return Upload(fields, HttpConfig(limits=Limits(body_bytes=limit)), HEAD)


@pytest.mark.parametrize("size", range(1, 12))
def test_body_ends_after_its_length_however_it_comes(size: int) -> None:
    body = upload(10)
    came = b"0123456789GET"
    out = b""
    while not body.is_done:
        out += body.feed(came[len(out) : len(out) + size])
    assert out == came[:10]
    assert came.startswith(out + body.rest)
    assert body.bytes_in == body.received == 10


@pytest.mark.parametrize("size", range(1, len(CHUNKS) + 1))
def test_chunks_go_on_as_they_came_and_are_counted_with_their_framing(size: int) -> None:
    body = upload()
    out = b"".join(body.feed(CHUNKS[at : at + size]) for at in range(0, len(CHUNKS), size))
    assert (out, body.is_done, body.rest) == (CHUNKS, True, b"")
    assert (body.bytes_in, body.received) == (len(CHUNKS), 5)


def test_what_follows_the_last_chunk_is_not_the_bodys() -> None:
    body = upload()
    assert body.feed(CHUNKS + b"GET") == CHUNKS
    assert (body.rest, body.bytes_in) == (b"GET", len(CHUNKS))


@pytest.mark.parametrize("length", [6, 0])
def test_body_that_is_too_long_is_refused_with_its_first_byte_too_many(length: int) -> None:
    body = upload(length, limit=4)
    with pytest.raises(ProtocolError) as refused:
        body.feed(b"hello" if length else CHUNKS)
    assert (refused.value.status, refused.value.why) == (413, Why.BODY_TOO_LARGE)


def test_a_continue_is_awaited_until_the_body_comes() -> None:
    body = upload(10, expects=True)
    assert body.awaits_continue
    body.feed(b"0")
    assert not body.awaits_continue


def test_what_came_before_there_was_a_connection_goes_with_the_head() -> None:
    body = upload(10)
    body.hold(body.feed(b"012"))
    body.hold(body.feed(b"345"))
    assert body.kept == b"012345"


def test_all_that_was_sent_is_kept_as_long_as_it_is_short() -> None:
    body = upload(REPLAY_LIMIT)
    body.hold(body.feed(b"x" * 10))
    body.sent(True)
    body.keep(body.feed(b"y" * (REPLAY_LIMIT - HEAD - 10)))
    assert body.kept is not None and len(body.kept) == REPLAY_LIMIT - HEAD
    body.keep(body.feed(b"z"))
    assert body.kept is None


@pytest.mark.parametrize(("size", "may_repeat"), [(10, False), (REPLAY_LIMIT, True)])
def test_what_is_too_long_or_may_not_be_repeated_is_not_kept(size: int, may_repeat: bool) -> None:
    body = upload(REPLAY_LIMIT)
    body.hold(body.feed(b"x" * size))
    body.sent(may_repeat)
    assert body.kept is None


@pytest.mark.parametrize("size", [1, COPY_LIMIT, COPY_LIMIT + 1, 40_000, 50_000, 50_003])
def test_body_that_begins_behind_its_head_goes_on_whole_however_long_its_beginning(size: int) -> None:
    came = bytes(range(250)) * 200 + b"GET"
    body = upload(50_000)
    assert body.begin(b"x" * HEAD + came[:size], HEAD) == came[50_000:size]
    held = body.kept
    assert held is not None
    assert bytes(held) == came[: min(size, 50_000)]
    assert (body.is_done, body.bytes_in, body.received) == (size >= 50_000, len(held), len(held))
    if size < 40_000:
        body.hold(body.feed(came[size:40_000]))  # there is no backend yet
    body.sent(may_repeat=True)
    if not body.is_done:
        body.keep(body.feed(came[40_000:]))
    assert body.kept is not None
    assert bytes(body.kept) == came[:50_000]


@pytest.mark.parametrize("size", [5, COPY_LIMIT + 5])
def test_long_beginning_is_refused_where_it_is_too_long(size: int) -> None:
    body = upload(size, limit=size - 1, expects=True)
    with pytest.raises(ProtocolError) as refused:
        body.begin(b"x" * (HEAD + size), HEAD)
    assert (refused.value.status, refused.value.why) == (413, Why.BODY_TOO_LARGE)


@pytest.mark.parametrize("size", [5, COPY_LIMIT + 5])
def test_client_that_sends_its_body_at_once_awaits_no_100(size: int) -> None:
    body = upload(size, expects=True)
    body.begin(b"x" * (HEAD + size), HEAD)
    assert not body.awaits_continue
