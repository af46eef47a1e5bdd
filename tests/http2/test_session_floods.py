"""Cheap for a peer and dear for us: each flood ends its connection, what honest clients do does not."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from recording_handler import RecordingHandler, sent, started

from balance.http2 import errors, frames
from balance.http2.flow.outflow import MOST_CONTROL_BYTES
from balance.http2.frame_reader import CONTENTS_AT_ONCE, FRAMES_AT_ONCE, HEADS_AT_ONCE, RESETS_AT_ONCE
from balance.http2.frames import DATA, END_HEADERS, END_STREAM, HEADERS, PING, PRIORITY, frame
from balance.http2.hpack.field_encoder import encode
from balance.http2.session import Session

GET = encode([(b":method", b"GET"), (b":scheme", b"https"), (b":path", b"/"), (b":authority", b"a.example")])
POST = encode([(b":method", b"POST"), (b":scheme", b"https"), (b":path", b"/"), (b":authority", b"a.example")])


def request(stream_id: int, flags: int = END_STREAM | END_HEADERS, block: bytes = GET) -> bytes:
    return frame(HEADERS, flags, stream_id, block)


def post(stream_id: int) -> bytes:
    return request(stream_id, END_HEADERS, POST)


def odd() -> Iterator[int]:
    yield from range(1, 1 << 30, 2)


FLOODS: dict[str, Callable[[int], bytes]] = {
    "rapid reset": lambda n: request(n) + frames.rst_stream(n, errors.CANCEL),
    "streams above the limit": lambda n: request(n),
    "made to reset by WINDOW_UPDATE": lambda n: request(n) + frames.window_update(n, 0),
    "made to reset by a message": lambda n: request(n, block=encode([(b":method", b"GET")])),
    "made to reset by DATA behind the end": lambda n: request(n) + frame(DATA, 0, n, b""),
    "SETTINGS": lambda n: frames.settings([]),
    "PING": lambda n: frame(PING, 0, 0, bytes(8)),
    "PRIORITY": lambda n: frame(PRIORITY, 0, n, bytes(5)),
    "unknown frames": lambda n: frame(0x55, 0, 0, b""),
    "empty DATA": lambda n: (post(1) if n == 1 else b"") + frame(DATA, 0, 1, b""),
    "a window opened byte by byte": lambda n: (request(1) if n == 1 else b"") + frames.window_update(1, 1),
    "heads that are too large": lambda n: request(n, block=GET + encode([(b"x", b"")] * 150)),
    "small DATA that waits": lambda n: (
        (post(1) + frame(DATA, 0, 1, bytes(16_384)) * 4 + post(3) if n == 1 else b"") + frame(DATA, 0, 3, b"x")
    ),
}
NOT_TAKEN = {"small DATA that waits"}


def released(session: Session, handler: RecordingHandler, seen: int = 0) -> int:
    """What a shell does at the end of each exchange, at once, for what was told behind the first `seen`. How much was told."""
    for call in handler.told[seen:]:
        if call[0] == "reset":
            session.streams.pop(call[1], None)  # type: ignore[call-overload]
    return len(handler.told)


@pytest.mark.parametrize("name", FLOODS)
def test_a_flood_ends_its_connection_and_is_named(name: str) -> None:
    session, handler = started(takes=name not in NOT_TAKEN)
    most = kept = seen = 0
    for count, number in enumerate(odd()):
        more = session.feed(FLOODS[name](number), 0.001 * count)
        while more:
            more = session.feed(b"", 0.001 * count)
        seen = released(session, handler, seen)
        most = max(most, len(session.streams))
        kept = max(kept, session.out.held_bytes)
        if session.is_closed:
            break
        session.out.parts.clear()
        assert count < 25_000
    assert handler.told[-1][:2] == ("fault", errors.ENHANCE_YOUR_CALM)
    assert [call[0] for call in handler.told].count("many offences") == 1  # said in time, so that it may end by itself
    assert most <= 100
    assert kept == 0


def test_a_second_later_there_is_something_left_again() -> None:
    session, handler = started()
    now = 0.0
    for number in range(1, 10_001, 2):  # fifty a second, for 100 seconds
        session.feed(request(number) + frames.rst_stream(number, errors.CANCEL), now)
        session.release(handler.by_id[number], now)
        session.out.parts.clear()
        now += 0.02
    assert not session.is_closed
    assert "many offences" not in [call[0] for call in handler.told]


def test_a_page_of_sixty_streams_that_is_left_costs_nothing() -> None:
    session, handler = started()
    numbers = odd()
    now = 0.0
    for _ in range(100):
        page = [next(numbers) for _ in range(60)]
        session.feed(b"".join(map(request, page)), now)
        now += 30.0
        more = session.feed(b"".join(frames.rst_stream(number, errors.CANCEL) for number in page), now)
        while more:
            more = session.feed(b"", now)
        released(session, handler)
        session.out.parts.clear()
    assert not session.is_closed
    assert "many offences" not in [call[0] for call in handler.told]


def test_small_messages_that_are_taken_at_once_cost_nothing() -> None:
    session, handler = started()
    session.feed(post(1), 0.0)
    for _ in range(20_000):
        session.feed(frame(DATA, 0, 1, b"xyz"), 0.0)
        session.out.parts.clear()
    assert not session.is_closed
    assert "many offences" not in [call[0] for call in handler.told]


def test_ninety_cookies_are_no_bomb_and_thousands_are() -> None:
    session, handler = started()
    session.feed(request(1, block=GET + encode([(b"cookie", b"c%d=v" % number) for number in range(90)])), 0.0)
    assert handler.told[-1][0] == "request"
    session.feed(request(3, block=GET + encode([(b"cookie", b"c=v")] * 400)), 0.0)
    assert handler.told[-1][0] == "too large"
    session.feed(request(5, block=GET + encode([(b"cookie", b"c=v")] * 2500)), 0.0)
    assert handler.told[-1][:2] == ("fault", errors.ENHANCE_YOUR_CALM)


def test_a_bomb_of_the_table_is_seen_by_what_it_makes() -> None:
    session, handler = started()
    block = GET + b"\x40\x01x\x7f\x81\x1e" + b"v" * 4000 + b"\xbe" * 16_000  # one entry of 4 KB, 16,000 times
    session.feed(request(1, flags=END_STREAM, block=block[:16_384]), 0.0)
    session.feed(frame(frames.CONTINUATION, END_HEADERS, 1, block[16_384:]), 0.0)
    assert handler.told[-1][:2] == ("fault", errors.ENHANCE_YOUR_CALM)


def test_who_is_too_large_is_answered_and_the_next_one_is_read_by_the_same_table() -> None:
    session, handler = started()
    entry = b"\x40\x04x-an\x02ok"
    session.feed(request(1, block=GET + entry + encode([(b"y", b"z")] * 150)), 0.0)
    session.feed(request(3, block=GET + b"\xbe"), 0.0)
    assert [call[0] for call in handler.told] == ["too large", "request"]
    assert handler.told[-1][5] == b"x-an: ok\r\n"
    session.head(handler.by_id[1], encode([(b":status", b"431")]), ends=True)
    session.release(handler.by_id[1], 0.0)
    assert [each[:3] for each in sent(session)] == [(HEADERS, END_STREAM | END_HEADERS, 1)]


def test_what_is_refused_is_read_by_the_same_table() -> None:
    """Else the two tables differ from there on, and the next request has another one's fields."""
    session, handler = started()
    for number in range(1, 201, 2):
        session.feed(request(number), 0.0)
    session.feed(request(201, block=GET + b"\x40\x04x-an\x02ok"), 0.0)
    assert sent(session) == [(frames.RST_STREAM, 0, 201, errors.REFUSED_STREAM.to_bytes(4, "big"))]
    session.release(handler.by_id[1], 0.0)
    session.feed(request(203, block=GET + b"\xbe"), 0.0)
    assert handler.told[-1][:2] == ("request", 203)
    assert handler.told[-1][5] == b"x-an: ok\r\n"


def test_trailers_behind_our_reset_are_read_by_the_same_table() -> None:
    session, handler = started()
    session.feed(post(1), 0.0)
    session.head(handler.by_id[1], encode([(b":status", b"413")]), ends=True)
    session.release(handler.by_id[1], 0.0)
    assert [each[:3] for each in sent(session)][-1] == (frames.RST_STREAM, 0, 1)
    session.feed(request(1, block=b"\x40\x04x-an\x02ok"), 0.0)
    session.feed(request(3, block=GET + b"\xbe"), 0.0)
    assert handler.told[-1][:2] == ("request", 3)
    assert handler.told[-1][5] == b"x-an: ok\r\n"


def test_answers_that_nobody_reads_end_the_connection() -> None:
    session, handler = started()
    session.out.is_blocked = True
    count = 0
    while not session.is_closed:
        session.feed(frame(PING, 0, 0, bytes(8)), 0.0)
        count += 1
    assert count <= MOST_CONTROL_BYTES // 17 + 1
    assert handler.told[-1][:2] == ("fault", errors.ENHANCE_YOUR_CALM)


def test_many_frames_are_not_read_at_once() -> None:
    session, handler = started()
    more = session.feed(post(1) + frame(DATA, 0, 1, b"x") * 1000, 0.0)
    turns = 1
    while more:
        assert len(handler.told) <= turns * FRAMES_AT_ONCE
        more = session.feed(b"", 0.0)
        turns += 1
    assert len(handler.told) == 1001


@pytest.mark.parametrize(
    ("data_of", "most"),
    [
        (request, HEADS_AT_ONCE),  # each is an exchange
        (lambda number: frame(DATA, 0, 1, b"x"), CONTENTS_AT_ONCE),  # each is a write to a backend
    ],
)
def test_frames_that_cost_us_more_are_fewer_at_once(data_of: Callable[[int], bytes], most: int) -> None:
    session, handler = started()
    session.feed(post(1), 0.0)
    more = session.feed(b"".join(data_of(number) for number in range(3, 201, 2)), 0.0)
    for turns in range(1, -(-99 // most)):
        assert more
        assert len(handler.told) == 1 + turns * most
        more = session.feed(b"", 0.0)
    assert (more, len(handler.told)) == (False, 100)


def test_resets_are_few_at_once() -> None:
    session, handler = started()
    more = session.feed(b"".join(request(2 * number + 1) for number in range(100)), 0.0)
    while more:
        more = session.feed(b"", 0.0)
    more = session.feed(b"".join(frames.rst_stream(2 * number + 1, errors.CANCEL) for number in range(100)), 0.0)
    assert more
    assert [call[0] for call in handler.told].count("reset") == RESETS_AT_ONCE


def test_a_reset_frees_no_place_before_its_exchange_has_ended() -> None:
    session, handler = started()
    for number in range(1, 201, 2):
        session.feed(request(number) + frames.rst_stream(number, errors.CANCEL), 0.0)
    sent(session)
    session.feed(request(201), 0.0)
    assert sent(session) == [(frames.RST_STREAM, 0, 201, errors.REFUSED_STREAM.to_bytes(4, "big"))]
    session.release(handler.by_id[1], 0.0)
    session.feed(request(203), 0.0)
    assert handler.told[-1][:2] == ("request", 203)


def test_frames_that_were_under_way_when_we_reset_are_no_offence() -> None:
    session, handler = started()
    session.feed(post(1), 0.0)
    session.head(handler.by_id[1], encode([(b":status", b"413")]), ends=True)
    session.release(handler.by_id[1], 0.0)
    assert [each[:3] for each in sent(session)][-1] == (frames.RST_STREAM, 0, 1)
    for _ in range(30):
        session.feed(frame(DATA, 0, 1, bytes(16_384)), 0.5)
    assert not session.is_closed
    assert [kind for kind, _, _, _ in sent(session)] == [frames.WINDOW_UPDATE] * 15  # the connection loses no credit
    session.feed(request(3), 0.5)
    assert handler.told[-1][:2] == ("request", 3)
