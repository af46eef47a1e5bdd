"""Against the h2 library as the peer: whatever is sent, however it is split and whatever windows there are, arrives."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from random import Random

import pytest
from h2 import events, exceptions
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.settings import SettingCodes
from hypothesis import given
from hypothesis import strategies as st
from recording_handler import RecordingHandler, sent, started

from balance.http2 import frames
from balance.http2.hpack.field_encoder import encode
from balance.http2.request_head import RequestHead
from balance.http2.response_head import ResponseHead
from balance.http2.session import Session, SessionLimits
from balance.http2.stream import Stream

STEPS = (1, 3, 9, 100, 5000, 70_000)
SIZES = (0, 1, 100, 20_000, 150_000)


class Echo(RecordingHandler):
    """Answers with what came, and with its sum as a trailer."""

    def __init__(self) -> None:
        super().__init__()
        self.bodies: dict[int, bytes] = {}

    def on_request(self, stream: Stream, head: RequestHead, *, ends: bool) -> None:
        self.bodies[stream.id] = b""
        if ends:
            self.reply(stream)

    def on_content(self, stream: Stream, content: bytes, *, ends: bool) -> None:
        self.session.taken(stream, len(content))
        self.bodies[stream.id] += content
        if ends:
            self.reply(stream)

    def on_trailers(self, stream: Stream, lines: bytes) -> None:
        self.reply(stream)

    def reply(self, stream: Stream) -> None:
        body = self.bodies[stream.id]
        self.session.head(stream, encode([(b":status", b"200")]), ends=False)
        self.session.content(stream, body, ends=False)
        self.session.trailers(stream, encode([(b"x-sum", b"%d" % sum(body))]))


class Client(RecordingHandler):
    def __init__(self) -> None:
        super().__init__()
        self.bodies: dict[int, bytes] = {}
        self.done: set[int] = set()

    def on_response(self, stream: Stream, head: ResponseHead, *, ends: bool) -> None:
        assert head.status == 200
        if ends:
            self.done.add(stream.id)

    def on_content(self, stream: Stream, content: bytes, *, ends: bool) -> None:
        self.session.taken(stream, len(content))
        self.bodies[stream.id] = self.bodies.get(stream.id, b"") + content
        if ends:
            self.done.add(stream.id)

    def on_trailers(self, stream: Stream, lines: bytes) -> None:
        self.done.add(stream.id)


class Peer:
    """h2's end: what it has to send, and what it got."""

    def __init__(self, random: Random, *, is_client: bool) -> None:
        self.random = random
        self.connection = H2Connection(H2Configuration(client_side=is_client, header_encoding=None))
        self.connection.initiate_connection()
        if random.random() < 0.5:
            self.connection.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: random.choice([0, 1000, 100_000])})
        self.pending: dict[int, bytes] = {}
        self.got: dict[int, bytes] = {}
        self.done: set[int] = set()

    def receive(self, data: bytes) -> None:
        for event in self.connection.receive_data(data):
            assert not isinstance(event, (events.StreamReset, events.ConnectionTerminated)), event
            if isinstance(event, events.DataReceived):
                self.got[event.stream_id] = self.got.get(event.stream_id, b"") + event.data
                self.connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, events.StreamEnded):
                self.done.add(event.stream_id)

    def send(self) -> None:
        for stream_id in list(self.pending):
            body = self.pending[stream_id]
            size = min(self.connection.local_flow_control_window(stream_id), 16_384, len(body))
            if not size and body:
                continue
            padding = self.random.choice([None, 0, 5]) if size > 20 else None
            if padding is not None:
                size -= padding + 1
            ends = size == len(body)
            self.connection.send_data(stream_id, body[:size], end_stream=ends, pad_length=padding)
            self.pending[stream_id] = body[size:]
            if ends:
                del self.pending[stream_id]

    def open_windows(self, streams: list[int]) -> None:
        for stream_id in streams:
            with contextlib.suppress(exceptions.ProtocolError):  # it has ended meanwhile
                self.connection.increment_flow_control_window(5000, stream_id)


def exchanged(session: Session, peer: Peer, is_over: Callable[[], bool]) -> None:
    """Bytes go to and fro until nothing more is to be said."""
    for _ in range(3000):
        peer.send()
        data = peer.connection.data_to_send()
        while data:
            step = peer.random.choice(STEPS)
            more = session.feed(data[:step], 0.0)
            while more:
                more = session.feed(b"", 0.0)
            data = data[step:]
        written = b"".join(session.out.parts)
        session.out.parts.clear()
        if written:
            peer.receive(written)
        elif is_over():
            return
        elif not peer.pending:
            peer.open_windows([stream.id for stream in session.streams.values() if stream.held_bytes])
    raise AssertionError("it does not end")


def request(stream_id: int) -> bytes:
    fields = [(b":method", b"GET"), (b":scheme", b"https"), (b":path", b"/"), (b":authority", b"a.example")]
    return frames.headers(stream_id, encode(fields), frames.FRAME_BYTES, ends=True)


@given(st.integers(0, 1 << 30))
def test_as_a_server_it_reads_and_writes_what_h2_does(seed: int) -> None:
    random = Random(seed)
    handler = Echo()
    session = handler.session = Session(handler, SessionLimits(), 0.0, is_server=True)
    peer = Peer(random, is_client=True)
    sent: dict[int, bytes] = {}
    for _ in range(random.randrange(1, 8)):
        stream_id = peer.connection.get_next_available_stream_id()
        body = sent[stream_id] = random.randbytes(random.choice(SIZES))
        fields = [(b":method", b"POST"), (b":scheme", b"https"), (b":path", b"/x"), (b":authority", b"a.example")]
        if random.random() < 0.5:
            fields.append((b"content-length", b"%d" % len(body)))
        fields += [(b"cookie", b"a=%d" % number) for number in range(random.randrange(4))]
        fields.append((b"x-%d" % random.randrange(50), b"v" * random.randrange(300)))
        peer.connection.send_headers(stream_id, fields)
        peer.pending[stream_id] = body
        if random.random() < 0.5:
            exchanged(session, peer, lambda: not peer.pending)
    exchanged(session, peer, lambda: peer.done == set(sent))
    assert {stream_id: peer.got.get(stream_id, b"") for stream_id in sent} == sent
    assert session.out.held_bytes == session.credit.held == 0


@given(st.integers(0, 1 << 30))
def test_as_a_client_it_does_too(seed: int) -> None:
    random = Random(seed)
    handler = Client()
    session = handler.session = Session(handler, SessionLimits(), 0.0, is_server=False)
    peer = Peer(random, is_client=False)
    bodies: dict[int, bytes] = {}
    for _ in range(random.randrange(1, 8)):
        body = random.randbytes(random.choice(SIZES))
        fields = [(b":method", b"POST"), (b":scheme", b"https"), (b":path", b"/x"), (b":authority", b"a.example")]
        stream = session.open(encode(fields), 0.0, ends=False)
        assert stream is not None
        session.content(stream, body, ends=True)
        bodies[stream.id] = body
    exchanged(session, peer, lambda: peer.done == set(bodies))
    assert {stream_id: peer.got.get(stream_id, b"") for stream_id in bodies} == bodies
    replies = {stream_id: random.randbytes(random.choice(SIZES)) for stream_id in bodies}
    for stream_id, body in replies.items():
        peer.connection.send_headers(stream_id, [(b":status", b"200")])
        peer.pending[stream_id] = body
    exchanged(session, peer, lambda: handler.done == set(replies))
    assert {stream_id: handler.bodies.get(stream_id, b"") for stream_id in replies} == replies


@given(st.binary(max_size=400), st.integers(1, 50))
def test_no_bytes_make_it_fail_otherwise_than_by_a_fault(data: bytes, step: int) -> None:
    """And however they are split, what is said of them is the same."""
    told = []
    for size in (step, 400):
        handler = RecordingHandler()
        session = handler.session = Session(handler, SessionLimits(), 0.0, is_server=True)
        whole = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00" + data
        for start in range(0, len(whole), size):
            session.feed(whole[start : start + size], 0.0)
        told.append((handler.told, session.is_closed))
    assert told[0] == told[1]


@pytest.mark.parametrize("code", [0, 2])
def test_a_backend_that_goes_gives_back_what_it_has_not_seen(code: int) -> None:
    handler = RecordingHandler()
    session = handler.session = Session(handler, SessionLimits(), 0.0, is_server=False)
    session.feed(b"\x00\x00\x00\x04\x00\x00\x00\x00\x00", 0.0)
    streams = [session.open(encode([(b":method", b"POST")]), 0.0, ends=False) for _ in range(3)]
    session.feed(b"\x00\x00\x08\x07\x00\x00\x00\x00\x00" + (3).to_bytes(4, "big") + code.to_bytes(4, "big"), 0.0)
    assert handler.told == [("going away", code, ""), ("unprocessed", 5)]
    assert session.open(b"", 0.0, ends=True) is None
    assert [stream.is_reset for stream in streams if stream is not None] == [False, False, True]


def test_a_backend_s_limit_of_streams_holds_also_when_it_comes_late() -> None:
    handler = RecordingHandler()
    session = handler.session = Session(handler, SessionLimits(), 0.0, is_server=False)
    first = session.open(b"", 0.0, ends=True)
    assert first is not None
    session.feed(b"\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x01", 0.0)
    assert session.open(b"", 0.0, ends=True) is None
    session.release(first, 0.0)
    assert session.open(b"", 0.0, ends=True) is not None


def test_going_takes_two_steps_and_loses_nothing() -> None:
    session, handler = started()
    session.feed(request(1), 0.0)
    session.leave()
    ((kind, _, _, payload), (second, _, _, opaque)) = sent(session)
    assert (kind, payload[:8], second) == (frames.GOAWAY, b"\x7f\xff\xff\xff" + bytes(4), frames.PING)
    session.feed(request(3), 0.0)  # has crossed it
    session.feed(frames.ping(opaque, is_ack=True), 0.0)
    assert [call[:2] for call in handler.told] == [("request", 1), ("request", 3)]
    assert sent(session) == [(frames.GOAWAY, 0, 0, (3).to_bytes(4, "big") + bytes(4))]
    session.feed(request(5) + frames.frame(frames.DATA, 0, 7, b"x"), 0.0)  # was never promised anything
    assert len(handler.told) == 2
    assert not session.is_closed
    session.leave_now()
    assert sent(session) == []
