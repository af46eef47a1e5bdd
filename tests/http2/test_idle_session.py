"""What a connection takes while nothing happens on it: little, whatever it has carried."""

from __future__ import annotations

import gc
import tracemalloc

import hpack
from recording_handler import RecordingHandler, started

from balance.http2.frames import DATA, END_HEADERS, END_STREAM, HEADERS, frame
from balance.http2.head_encoder import encode_response
from balance.http2.session import Session

MOST_BYTES = 3072  # with all that a session is made of
SESSIONS = 200
PSEUDO = [(b":method", b"POST"), (b":scheme", b"https"), (b":path", b"/some/page"), (b":authority", b"www.example.com")]


def served(number: int) -> Session:
    """One that has served three requests of 16 KB with a cookie of its own."""
    session, handler = started()
    encoder = hpack.Encoder()
    fields = [*PSEUDO, (b"user-agent", b"Mozilla/5.0"), (b"cookie", b"session=%032d" % number), (b"accept", b"text/html")]
    for stream_id in (1, 3, 5):
        session.feed(frame(HEADERS, END_HEADERS, stream_id, encoder.encode(fields)), 0.0)
        session.feed(frame(DATA, END_STREAM, stream_id, b"x" * 16_000), 0.0)
        stream = session.streams[stream_id]
        session.head(stream, encode_response(200, b"Server: a\r\nX-Request-Id: %d\r\n" % number), ends=False)
        session.content(stream, b"y" * 16_000, ends=True)
        session.release(stream, 0.0)
        session.out.parts.clear()
    assert [call[0] for call in handler.told] == ["request", "content"] * 3
    session.handler = RecordingHandler()
    return session


def test_an_idle_session_takes_little() -> None:
    warm = [served(number) for number in range(10)]
    gc.collect()
    tracemalloc.start()
    try:
        sessions = [served(number) for number in range(SESSIONS)]
        gc.collect()
        size, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(warm) + len(sessions) == SESSIONS + 10
    assert size / SESSIONS <= MOST_BYTES
