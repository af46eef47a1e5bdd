"""What RFC 9113 says of each frame that is wrong, or late, or of no use: the connection ends, one stream does, or nothing.

The cases are those of the public suites for servers; where RFC 9113 is milder than RFC 7540, it counts.
"""

from __future__ import annotations

import pytest
from recording_handler import sent, started

from balance.http2 import errors, frames
from balance.http2.frames import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HAS_PRIORITY,
    HEADERS,
    PADDED,
    PING,
    PRIORITY,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    frame,
)
from balance.http2.hpack.field_encoder import encode
from balance.http2.session import Session, SessionLimits

GET = [(b":method", b"GET"), (b":scheme", b"https"), (b":path", b"/"), (b":authority", b"a.example")]
POST = [(b":method", b"POST"), *GET[1:]]
WHOLE = END_STREAM | END_HEADERS


def head(stream_id: int, fields: list[tuple[bytes, bytes]] = GET, flags: int = WHOLE) -> bytes:
    return frame(HEADERS, flags, stream_id, encode(fields))


def post(stream_id: int, *more: tuple[bytes, bytes]) -> bytes:
    return head(stream_id, [*POST, *more], END_HEADERS)


def number(value: int, size: int = 4) -> bytes:
    return value.to_bytes(size, "big")


def setting(identifier: int, value: int) -> bytes:
    return frames.settings([(identifier, value)])


BAD_CONNECTIONS = {
    "DATA of stream 0": (errors.PROTOCOL_ERROR, frame(DATA, 0, 0, b"x")),
    "DATA of a stream that was never opened": (errors.PROTOCOL_ERROR, frame(DATA, 0, 1, b"x")),
    "DATA with more padding than payload": (errors.PROTOCOL_ERROR, post(1) + frame(DATA, PADDED, 1, b"\x06abcde")),
    "DATA with padding and nothing": (errors.PROTOCOL_ERROR, post(1) + frame(DATA, PADDED, 1, b"")),
    "HEADERS of stream 0": (errors.PROTOCOL_ERROR, head(0)),
    "HEADERS of an even stream": (errors.PROTOCOL_ERROR, head(2)),
    "HEADERS of a number that has passed": (errors.STREAM_CLOSED, head(5) + head(3)),
    "HEADERS with more padding than payload": (errors.PROTOCOL_ERROR, frame(HEADERS, WHOLE | PADDED, 1, b"\xff" + encode(GET))),
    "HEADERS with priority and too short": (errors.FRAME_SIZE_ERROR, frame(HEADERS, WHOLE | HAS_PRIORITY, 1, b"abc")),
    "HEADERS within HEADERS": (errors.PROTOCOL_ERROR, head(1, flags=END_STREAM) + head(3)),
    "CONTINUATION of another stream": (
        errors.PROTOCOL_ERROR,
        head(1, flags=END_STREAM) + frame(CONTINUATION, END_HEADERS, 3, b""),
    ),
    "an unknown frame within HEADERS": (errors.PROTOCOL_ERROR, head(1, flags=END_STREAM) + frame(0x16, 0, 1, b"")),
    "DATA within HEADERS": (errors.PROTOCOL_ERROR, head(1, flags=0) + frame(DATA, END_STREAM, 1, b"x")),
    "CONTINUATION of nothing": (errors.PROTOCOL_ERROR, frame(CONTINUATION, END_HEADERS, 1, encode(GET))),
    "CONTINUATION behind whole HEADERS": (errors.PROTOCOL_ERROR, head(1) + frame(CONTINUATION, END_HEADERS, 1, b"")),
    "CONTINUATION of stream 0": (errors.PROTOCOL_ERROR, head(1, flags=END_STREAM) + frame(CONTINUATION, END_HEADERS, 0, b"")),
    "empty CONTINUATION": (errors.ENHANCE_YOUR_CALM, head(1, flags=END_STREAM) + frame(CONTINUATION, 0, 1, b"")),
    "nine CONTINUATIONs": (
        errors.ENHANCE_YOUR_CALM,
        head(1, flags=END_STREAM) + frame(CONTINUATION, 0, 1, encode([(b"a", b"b")])) * 9,
    ),
    "PRIORITY of stream 0": (errors.PROTOCOL_ERROR, frame(PRIORITY, 0, 0, bytes(5))),
    "RST_STREAM of stream 0": (errors.PROTOCOL_ERROR, frames.rst_stream(0, 0)),
    "RST_STREAM of a stream that was never opened": (errors.PROTOCOL_ERROR, frames.rst_stream(1, 0)),
    "RST_STREAM of 3 bytes": (errors.FRAME_SIZE_ERROR, head(1) + frame(RST_STREAM, 0, 1, b"abc")),
    "SETTINGS of a stream": (errors.PROTOCOL_ERROR, frame(SETTINGS, 0, 1, b"")),
    "SETTINGS of 3 bytes": (errors.FRAME_SIZE_ERROR, frame(SETTINGS, 0, 0, b"abc")),
    "SETTINGS' ACK with something in it": (errors.FRAME_SIZE_ERROR, frame(SETTINGS, ACK, 0, bytes(6))),
    "SETTINGS_ENABLE_PUSH 2": (errors.PROTOCOL_ERROR, setting(frames.ENABLE_PUSH, 2)),
    "SETTINGS_INITIAL_WINDOW_SIZE too large": (errors.FLOW_CONTROL_ERROR, setting(frames.INITIAL_WINDOW_SIZE, 1 << 31)),
    "SETTINGS_MAX_FRAME_SIZE too small": (errors.PROTOCOL_ERROR, setting(frames.MAX_FRAME_SIZE, 16_383)),
    "SETTINGS_MAX_FRAME_SIZE too large": (errors.PROTOCOL_ERROR, setting(frames.MAX_FRAME_SIZE, 1 << 24)),
    "SETTINGS_ENABLE_CONNECT_PROTOCOL 2": (errors.PROTOCOL_ERROR, setting(frames.ENABLE_CONNECT_PROTOCOL, 2)),
    "PUSH_PROMISE of a client": (errors.PROTOCOL_ERROR, frame(PUSH_PROMISE, END_HEADERS, 1, number(2) + encode(GET))),
    "PING of a stream": (errors.PROTOCOL_ERROR, frame(PING, 0, 1, bytes(8))),
    "PING of 6 bytes": (errors.FRAME_SIZE_ERROR, frame(PING, 0, 0, bytes(6))),
    "GOAWAY of a stream": (errors.PROTOCOL_ERROR, frame(GOAWAY, 0, 1, bytes(8))),
    "GOAWAY of 7 bytes": (errors.FRAME_SIZE_ERROR, frame(GOAWAY, 0, 0, bytes(7))),
    "WINDOW_UPDATE by 0": (errors.PROTOCOL_ERROR, frames.window_update(0, 0)),
    "WINDOW_UPDATE of 3 bytes": (errors.FRAME_SIZE_ERROR, frame(WINDOW_UPDATE, 0, 0, b"abc")),
    "WINDOW_UPDATE beyond the largest window": (
        errors.FLOW_CONTROL_ERROR,
        frames.window_update(0, frames.LARGEST_WINDOW) + frames.window_update(0, 1),
    ),
    "WINDOW_UPDATE of a stream that was never opened": (errors.PROTOCOL_ERROR, frames.window_update(1, 1)),
    "a setting that makes a window too large": (
        errors.FLOW_CONTROL_ERROR,
        post(1) + frames.window_update(1, 1000) + setting(frames.INITIAL_WINDOW_SIZE, frames.LARGEST_WINDOW),
    ),
    "a frame of more than 16 KB": (errors.FRAME_SIZE_ERROR, number(16_385, 3) + b"\x00\x00" + number(1)),
    "an index of nothing": (errors.COMPRESSION_ERROR, frame(HEADERS, WHOLE, 1, b"\xc6")),
    "index 0": (errors.COMPRESSION_ERROR, frame(HEADERS, WHOLE, 1, b"\x80")),
    "a table larger than is allowed": (errors.COMPRESSION_ERROR, frame(HEADERS, WHOLE, 1, b"\x3f\xe2\x1f" + encode(GET))),
    "a table's size behind a field": (errors.COMPRESSION_ERROR, frame(HEADERS, WHOLE, 1, encode(GET) + b"\x20")),
    "a Huffman string with padding of 8 bits": (
        errors.COMPRESSION_ERROR,
        frame(HEADERS, WHOLE, 1, encode(GET) + b"\x00\x85\xf2\xb2\x4a\x84\xff\x84\x49\x50\x9f\xff"),
    ),
    "a Huffman string with padding of 0": (
        errors.COMPRESSION_ERROR,
        frame(HEADERS, WHOLE, 1, encode(GET) + b"\x00\x85\xf2\xb2\x4a\x87\xff\x83\x49\x50\x90"),
    ),
    "a Huffman string with EOS": (
        errors.COMPRESSION_ERROR,
        frame(HEADERS, WHOLE, 1, encode(GET) + b"\x00\x85\xf2\xb2\x4a\x84\xff\x87\x49\x51\xff\xff\xff\xfa\x7f"),
    ),
    "a block that ends within a field": (errors.COMPRESSION_ERROR, frame(HEADERS, WHOLE, 1, b"\x00\x05ab")),
    "a head four times too large": (
        errors.ENHANCE_YOUR_CALM,
        head(1, [*GET, *[(b"x", b"")] * 500]),
    ),
}

BAD_STREAMS = {
    "DATA behind the end": (errors.STREAM_CLOSED, head(1) + frame(DATA, 0, 1, b"x")),
    "HEADERS behind the end": (errors.STREAM_CLOSED, head(1) + head(1)),
    "DATA behind the client's own reset": (errors.STREAM_CLOSED, post(1) + frames.rst_stream(1, 8) + frame(DATA, 0, 1, b"x")),
    "HEADERS behind the client's own reset": (errors.STREAM_CLOSED, post(1) + frames.rst_stream(1, 8) + head(1)),
    "trailers that do not end": (errors.PROTOCOL_ERROR, post(1) + head(1, [(b"x", b"y")], END_HEADERS)),
    "trailers with a pseudo-field": (errors.PROTOCOL_ERROR, post(1) + head(1, [(b":method", b"GET")])),
    "PRIORITY of 4 bytes": (errors.FRAME_SIZE_ERROR, post(1) + frame(PRIORITY, 0, 1, bytes(4))),
    "WINDOW_UPDATE by 0": (errors.PROTOCOL_ERROR, post(1) + frames.window_update(1, 0)),
    "WINDOW_UPDATE beyond the largest window": (
        errors.FLOW_CONTROL_ERROR,
        post(1) + frames.window_update(1, frames.LARGEST_WINDOW) + frames.window_update(1, 1),
    ),
}

NO_FAULTS = {
    "an unknown frame": frame(0x16, 0xFF, 1, b"abc"),
    "frames from 0x0a to 0x0f": b"".join(frame(kind, 0, 0, b"x") for kind in range(0x0A, 0x10)),
    "an unknown setting": setting(0xFF, 1),
    "an unknown flag and a reserved bit": frame(PING, 0xFE, 1 << 31, b"12345678"),
    "PRIORITY of a stream that was never opened": frame(PRIORITY, 0, 7, bytes(5)),
    "PRIORITY that depends on itself": frame(PRIORITY, 0, 1, number(1) + b"\x10"),
    "HEADERS that depend on themselves": frame(HEADERS, WHOLE | HAS_PRIORITY, 1, number(1) + b"\x10" + encode(GET)),
    "padded HEADERS": frame(HEADERS, WHOLE | PADDED, 1, b"\x02" + encode(GET) + b"\x00\x00"),
    "eight CONTINUATIONs": head(1, flags=END_STREAM)
    + frame(CONTINUATION, 0, 1, encode([(b"a", b"b")])) * 7
    + frame(CONTINUATION, END_HEADERS, 1, b""),
    "a window that becomes negative": post(1) + setting(frames.INITIAL_WINDOW_SIZE, 0),
    "GOAWAY of a client": frame(GOAWAY, 0, 0, bytes(8) + b"bye"),
    "RST_STREAM twice": post(1) + frames.rst_stream(1, 8) * 2,
    "WINDOW_UPDATE behind the end": head(1) + frames.window_update(1, 1),
    "a code of an error that nobody knows": post(1) + frames.rst_stream(1, 0xFFFF),
    "a smaller table": frame(HEADERS, WHOLE, 1, b"\x20" + encode(GET)),
    "DATA of nothing but padding": post(1) + frame(DATA, PADDED, 1, b"\x03\x00\x00\x00"),
}


def fed(data: bytes, step: int) -> tuple[Session, list[tuple[object, ...]]]:
    session, handler = started()
    for start in range(0, len(data), step):
        more = session.feed(data[start : start + step], 0.0)
        while more:
            more = session.feed(b"", 0.0)
    return session, handler.told


@pytest.mark.parametrize("step", [1, 7, 1 << 20])
@pytest.mark.parametrize("name", BAD_CONNECTIONS)
def test_the_connection_ends(name: str, step: int) -> None:
    code, data = BAD_CONNECTIONS[name]
    session, told = fed(data, step)
    assert [call[1] for call in told if call[0] == "fault"] == [code]
    assert session.is_closed
    kind, _, _, payload = sent(session)[-1]
    assert (kind, payload[4:8]) == (GOAWAY, number(code))
    assert not session.feed(head(101), 0.0)
    assert sent(session) == []


@pytest.mark.parametrize("step", [1, 7, 1 << 20])
@pytest.mark.parametrize("name", BAD_STREAMS)
def test_one_stream_ends(name: str, step: int) -> None:
    code, data = BAD_STREAMS[name]
    session, told = fed(data + head(9), step)
    assert frames.rst_stream(1, code) in [frame(*each) for each in sent(session)]
    assert told[-1][:2] == ("request", 9)
    assert not session.is_closed


@pytest.mark.parametrize("step", [1, 7, 1 << 20])
@pytest.mark.parametrize("name", NO_FAULTS)
def test_nothing_ends(name: str, step: int) -> None:
    session, told = fed(NO_FAULTS[name] + head(9), step)
    assert not [each for each in sent(session) if each[0] in (GOAWAY, RST_STREAM)]
    assert told[-1][:2] == ("request", 9)


@pytest.mark.parametrize("preface", [b"GET / HTTP/1.1\r\n", b"PRI * HTTP/2.0\r\n\r\nXX", b"\x16\x03\x01"])
def test_who_does_not_begin_with_the_preface_is_told_so(preface: bytes) -> None:
    session, _ = started()
    fresh = Session(session.handler, SessionLimits(), 0.0, is_server=True)
    fresh.feed(preface, 0.0)
    assert fresh.is_closed
    assert sent(fresh)[-1][3][4:8] == number(errors.PROTOCOL_ERROR)


@pytest.mark.parametrize("first", [frame(PING, 0, 0, bytes(8)), head(1), frames.SETTINGS_ACK])
def test_the_first_frame_is_settings(first: bytes) -> None:
    session, handler = started()
    fresh = handler.session = Session(handler, SessionLimits(), 0.0, is_server=True)
    fresh.feed(frames.PREFACE + first, 0.0)
    assert fresh.is_closed
    assert not session.is_closed


def feed_all(session: Session, data: bytes) -> None:
    while session.feed(data, 0.0):
        data = b""


def test_content_beyond_the_window_ends_the_stream_and_beyond_the_connections_everything() -> None:
    session, _ = started(takes=False)
    feed_all(session, post(1) + frame(DATA, 0, 1, bytes(16_384)) * 4)
    assert RST_STREAM not in [kind for kind, _, _, _ in sent(session)]
    session.feed(frame(DATA, 0, 1, b"x"), 0.0)
    assert frames.rst_stream(1, errors.FLOW_CONTROL_ERROR) in [frame(*each) for each in sent(session)]
    assert not session.is_closed
    for stream_id in range(3, 101, 2):
        feed_all(session, post(stream_id) + frame(DATA, 0, stream_id, bytes(16_384)) * 4)
    assert session.is_closed
    assert sent(session)[-1][3][4:8] == number(errors.FLOW_CONTROL_ERROR)


def test_pings_and_settings_are_answered_before_content() -> None:
    session, handler = started()
    session.feed(setting(frames.INITIAL_WINDOW_SIZE, 10) + head(1), 0.0)
    assert sent(session) == [(SETTINGS, ACK, 0, b"")]
    session.head(handler.by_id[1], encode([(b":status", b"200")]), ends=False)
    session.content(handler.by_id[1], b"0123456789abcdef", ends=True)
    session.feed(frame(PING, 0, 0, b"12345678"), 0.0)
    kinds = [(kind, payload) for kind, _, _, payload in sent(session)]
    assert kinds == [(HEADERS, encode([(b":status", b"200")])), (DATA, b"0123456789"), (PING, b"12345678")]
    session.feed(frames.window_update(1, 4), 0.0)
    assert sent(session) == [(DATA, 0, 1, b"abcd")]
    session.feed(frames.window_update(1, 4), 0.0)
    assert sent(session) == [(DATA, END_STREAM, 1, b"ef")]


def test_a_window_that_becomes_negative_sends_nothing_until_it_is_open() -> None:
    session, handler = started()
    session.feed(setting(frames.INITIAL_WINDOW_SIZE, 10) + head(1), 0.0)
    session.content(handler.by_id[1], b"0123456789", ends=False)
    session.out.is_blocked = True
    session.feed(frames.window_update(1, 5), 0.0)
    session.content(handler.by_id[1], b"abcdefgh", ends=True)  # waits for the transport
    session.feed(setting(frames.INITIAL_WINDOW_SIZE, 3), 0.0)  # -2 are left
    sent(session)
    session.out.unblock()
    assert not session.flush()
    assert sent(session) == []
    session.feed(frames.window_update(1, 4), 0.0)
    assert sent(session) == [(DATA, 0, 1, b"ab")]


def test_a_client_that_makes_its_table_smaller_is_told_that_none_is_used() -> None:
    session, handler = started()
    session.feed(setting(frames.HEADER_TABLE_SIZE, 0) + head(1) + head(3), 0.0)
    sent(session)
    block = encode([(b":status", b"204")])
    for stream_id in (1, 3):
        session.head(handler.by_id[stream_id], block, ends=True)
    assert [payload for _, _, _, payload in sent(session)] == [b"\x20" + block, block]


def test_a_head_longer_than_a_frame_is_continued() -> None:
    session, handler = started()
    session.feed(head(1), 0.0)
    block = encode([(b":status", b"200"), (b"x", b"v" * 40_000)])
    session.head(handler.by_id[1], block, ends=True)
    found = sent(session)
    assert [(kind, flags) for kind, flags, _, _ in found] == [
        (HEADERS, END_STREAM),
        (CONTINUATION, 0),
        (CONTINUATION, END_HEADERS),
    ]
    assert b"".join(payload for _, _, _, payload in found) == block
