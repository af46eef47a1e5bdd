"""Who sends first: answers, then urgent streams, then each in its turn, as far as windows allow it."""

from __future__ import annotations

from recording_handler import RecordingHandler, sent, started

from balance.http2 import frames
from balance.http2.flow.outflow import TURN_BYTES
from balance.http2.frames import DATA, END_HEADERS, END_STREAM, HEADERS, frame
from balance.http2.hpack.field_encoder import encode
from balance.http2.session import Session

GET = encode([(b":method", b"GET"), (b":scheme", b"https"), (b":path", b"/"), (b":authority", b"a.example")])


def requested(*streams: int) -> tuple[Session, RecordingHandler]:
    session, handler = started()
    session.feed(frames.window_update(0, 1 << 24) + frames.settings([(frames.INITIAL_WINDOW_SIZE, 1 << 24)]), 0.0)
    for stream_id in streams:
        session.feed(frame(HEADERS, END_STREAM | END_HEADERS, stream_id, GET), 0.0)
    sent(session)
    return session, handler


def order(session: Session) -> list[int]:
    return [stream_id for kind, _, stream_id, _ in sent(session) if kind == DATA]


def test_streams_take_turns_of_a_frame() -> None:
    session, handler = requested(1, 3, 5)
    session.out.is_blocked = True
    for stream_id in (1, 3, 5):
        session.content(handler.by_id[stream_id], bytes(32_768), ends=True)
    session.out.unblock()
    while session.flush():
        pass
    assert order(session) == [1, 3, 5, 1, 3, 5]


def test_content_that_nothing_stops_goes_out_at_once_in_frames_that_the_peer_takes() -> None:
    session, handler = requested(1)
    data = bytes(range(256)) * 256
    session.content(handler.by_id[1], data, ends=True)
    found = sent(session)
    assert [(kind, flags, len(payload)) for kind, flags, _, payload in found] == [(DATA, 0, 16_384)] * 3 + [
        (DATA, END_STREAM, 16_384)
    ]
    assert b"".join(payload for _, _, _, payload in found) == data


def test_the_urgent_ones_come_first() -> None:
    session, handler = requested(1, 3, 5)
    session.out.is_blocked = True
    for stream_id, urgency in ((1, 5), (3, 3), (5, 0)):
        handler.by_id[stream_id].urgency = urgency
        session.content(handler.by_id[stream_id], bytes(20_000), ends=True)
    session.out.unblock()
    while session.flush():
        pass
    assert order(session) == [5, 5, 3, 3, 1, 1]


def test_a_turn_has_an_end() -> None:
    session, handler = requested(1)
    session.out.is_blocked = True
    session.content(handler.by_id[1], bytes(1_000_000), ends=True)
    session.out.unblock()
    assert session.flush()
    assert sum(len(payload) for _, _, _, payload in sent(session)) <= TURN_BYTES + frames.FRAME_BYTES


def test_a_stream_without_a_window_keeps_nobody_from_the_connections() -> None:
    session, handler = requested(1, 3)
    handler.by_id[1].window = 0
    session.content(handler.by_id[1], b"x" * 100, ends=True)
    session.content(handler.by_id[3], b"y" * 100, ends=True)
    assert order(session) == [3]


def test_small_pieces_that_waited_go_in_one_frame_and_trailers_behind_them() -> None:
    session, handler = requested(1)
    session.out.is_blocked = True
    stream = handler.by_id[1]
    for piece in (b"a", b"b", b"c"):
        session.content(stream, piece, ends=False)
    session.trailers(stream, encode([(b"x", b"y")]))
    assert sent(session) == []
    session.out.unblock()
    session.flush()
    assert [(kind, flags, payload) for kind, flags, _, payload in sent(session)] == [
        (DATA, 0, b"abc"),
        (HEADERS, END_STREAM | END_HEADERS, encode([(b"x", b"y")])),
    ]
    assert stream.local_ended


def test_what_a_reset_stream_has_held_is_forgotten() -> None:
    session, handler = requested(1, 3)
    session.out.is_blocked = True
    for stream_id in (1, 3):
        session.content(handler.by_id[stream_id], bytes(50_000), ends=True)
    assert session.out.held_bytes == 100_000
    session.feed(frames.rst_stream(1, 8), 0.0)
    session.release(handler.by_id[3], 0.0)
    assert session.out.held_bytes == 0
    session.out.unblock()
    assert not session.flush()
    assert DATA not in [kind for kind, _, _, _ in sent(session)]


def test_content_of_nothing_waits_for_nobody() -> None:
    """A head whose content has not come yet, on a connection where others wait."""
    session, handler = requested(1, 3)
    session.out.is_blocked = True
    session.content(handler.by_id[1], b"waits", ends=True)
    session.content(handler.by_id[3], b"", ends=False)
    session.out.unblock()
    assert not session.flush()
    assert order(session) == [1]
    session.content(handler.by_id[3], b"later", ends=True)
    assert order(session) == [3]


def test_an_end_without_content_goes_out_once_also_with_a_window_below_0() -> None:
    session, handler = started()
    session.feed(frames.settings([(frames.INITIAL_WINDOW_SIZE, 3)]) + frame(HEADERS, END_STREAM | END_HEADERS, 1, GET), 0.0)
    session.content(handler.by_id[1], b"abc", ends=False)
    session.feed(frames.settings([(frames.INITIAL_WINDOW_SIZE, 1)]), 0.0)
    sent(session)
    session.content(handler.by_id[1], b"", ends=True)
    assert not session.flush()
    assert sent(session) == [(DATA, END_STREAM, 1, b"")]
