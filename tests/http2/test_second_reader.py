"""The dice that compiled code is compared by, before h2 as well: what both accept is the same message to both.

Each may refuse what the other one takes, for there are things that RFC 9113 leaves open.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import pytest
from h2 import events
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.exceptions import ProtocolError
from recording_handler import RecordingHandler
from session_dice import Peer

from balance.http1.fields import is_allowed_in_trailers
from balance.http2 import frames
from balance.http2.head_encoder import encode_request
from balance.http2.request_head import RequestHead
from balance.http2.response_head import ResponseHead
from balance.http2.session import Session, SessionLimits
from balance.http2.stream import Stream

Fields = list[tuple[bytes, bytes]]
OPENED = 4  # streams of a client, as many as the dice know


@dataclass
class Message:
    """`start`: what a request or a response begins with. Lines are those of HTTP/1.1."""

    start: tuple[bytes, ...]
    lines: bytes
    content: bytes = b""
    trailers: bytes = b""
    has_ended: bool = False


@dataclass
class Read:
    """What one reader makes of a connection."""

    messages: dict[int, Message] = field(default_factory=dict)
    refused: set[int] = field(default_factory=set)
    is_over: bool = False

    def whole(self) -> dict[int, Message]:
        return {number: each for number, each in self.messages.items() if each.has_ended and number not in self.refused}


def lines_of(fields: Fields) -> bytes:
    """As HTTP/1.1 has them: crumbs of a cookie are one line, where the first one stands."""
    crumbs = [value for name, value in fields if name == b"cookie"]
    lines = []
    for name, value in fields:
        if name != b"cookie":
            lines.append(b"%b: %b\r\n" % (name, value))
        elif crumbs:
            lines.append(b"cookie: %b\r\n" % b"; ".join(crumbs))
            crumbs.clear()
    return b"".join(lines)


class Ours(RecordingHandler):
    def __init__(self, *, is_server: bool) -> None:
        super().__init__()
        self.read = Read()
        self.session = Session(self, SessionLimits(allows_protocol=True), 0.0, is_server=is_server)

    def on_request(self, stream: Stream, head: RequestHead, *, ends: bool) -> None:
        start = (head.method, head.scheme, head.target, head.authority, head.protocol)
        self.read.messages[stream.id] = Message(start, head.lines, has_ended=ends)

    def on_too_large(self, stream: Stream, *, ends: bool) -> None:
        self.read.refused.add(stream.id)

    def on_response(self, stream: Stream, head: ResponseHead, *, ends: bool) -> None:
        if head.status >= 200:
            self.read.messages[stream.id] = Message((b"%d" % head.status,), head.lines, has_ended=ends)

    def on_content(self, stream: Stream, content: bytes, *, ends: bool) -> None:
        message = self.read.messages[stream.id]
        message.content += content
        message.has_ended |= ends
        self.session.taken(stream, len(content))

    def on_trailers(self, stream: Stream, lines: bytes) -> None:
        message = self.read.messages[stream.id]
        message.trailers, message.has_ended = lines, True

    def on_reset(self, stream: Stream, code: int, detail: str, *, is_ours: bool) -> None:
        self.read.refused.add(stream.id)
        self.session.release(stream, 0.0)

    def on_unprocessed(self, stream: Stream) -> None:
        self.read.refused.add(stream.id)

    def on_fault(self, code: int, detail: str) -> None:
        self.read.is_over = True

    def take(self, data: bytes) -> None:
        more = self.session.feed(data, 0.0)
        while more:
            more = self.session.feed(b"", 0.0)
        self.session.out.parts.clear()


class Theirs:
    def __init__(self, *, is_server: bool) -> None:
        self.read = Read()
        # No other order of cookies, and requests may ask for a WebSocket.
        config = H2Configuration(client_side=not is_server, header_encoding=None, normalize_inbound_headers=False)
        self.connection = H2Connection(config)
        self.connection.initiate_connection()

    def take(self, data: bytes) -> None:
        try:
            for event in self.connection.receive_data(data):
                self._take(event)
        except ProtocolError:
            self.read.is_over = True
        self.connection.clear_outbound_data_buffer()

    def _take(self, event: events.Event) -> None:
        read = self.read
        match event:
            case events.RequestReceived():
                fields: Fields = list(event.headers or [])  # type: ignore[arg-type]
                told = dict(fields)
                authority = told.get(b":authority") or told.get(b"host", b"")
                names = (b":method", b":scheme", b":path")
                start = (*(told.get(name, b"") for name in names), authority, told.get(b":protocol", b""))
                others = [each for each in fields if each[0][:1] != b":" and each[0] != b"host"]
                read.messages[event.stream_id or 0] = Message(start, lines_of(others))
            case events.ResponseReceived():
                fields = list(event.headers or [])  # type: ignore[arg-type]
                lines = b"".join(b"%b: %b\r\n" % each for each in fields[1:])
                read.messages[event.stream_id or 0] = Message((fields[0][1],), lines)
            case events.DataReceived():
                read.messages[event.stream_id or 0].content += event.data or b""
                self.connection.acknowledge_received_data(event.flow_controlled_length or 0, event.stream_id or 0)
            case events.TrailersReceived():
                fields = [each for each in event.headers or [] if is_allowed_in_trailers(each[0])]  # type: ignore[misc, arg-type]
                read.messages[event.stream_id or 0].trailers = b"".join(b"%b: %b\r\n" % each for each in fields)
            case events.StreamEnded():
                read.messages[event.stream_id or 0].has_ended = True
            case events.StreamReset():
                read.refused.add(event.stream_id or 0)
            case events.ConnectionTerminated():
                read.is_over = True


def pieces(data: bytes, preface: int) -> list[bytes]:
    """Frame by frame, so that what stands before one that ends the connection is known."""
    found = [data[:preface]] if preface else []
    at = preface
    while at < len(data):
        size = 9 + int.from_bytes(data[at : at + 3], "big")
        found.append(data[at : at + size])
        at += size
    return found


def begun(*, is_server: bool) -> tuple[Ours, Theirs]:
    """A client has asked for all that its server answers."""
    ours, theirs = Ours(is_server=is_server), Theirs(is_server=is_server)
    for number in range(0 if is_server else OPENED):
        assert ours.session.open(encode_request(b"GET", b"https", b"a", b"/%d" % number, b""), 0.0, ends=True) is not None
        asked = [(b":method", b"GET"), (b":scheme", b"https"), (b":authority", b"a"), (b":path", b"/%d" % number)]
        theirs.connection.send_headers(2 * number + 1, asked, end_stream=True)
    ours.session.out.parts.clear()
    theirs.connection.clear_outbound_data_buffer()
    return ours, theirs


def compared(seed: int, *, is_server: bool) -> int:
    """How many messages both have accepted."""
    data = Peer(random.Random(seed), is_client=is_server).all()
    ours, theirs = begun(is_server=is_server)
    for piece in pieces(data, len(frames.PREFACE) if is_server else 0):
        for reader in (ours, theirs):
            if not reader.read.is_over:
                reader.take(piece)
    one, two = ours.read.whole(), theirs.read.whole()
    both = one.keys() & two.keys()
    assert {number: one[number] for number in both} == {number: two[number] for number in both}, f"seed {seed}"
    return len(both)


@pytest.mark.parametrize(("is_server", "least"), [(True, 200), (False, 25)])
def test_what_both_accept_is_the_same(is_server: bool, least: int) -> None:
    assert sum(compared(seed, is_server=is_server) for seed in range(600)) > least


@pytest.mark.long
@pytest.mark.parametrize("is_server", [True, False])
@pytest.mark.parametrize("part", range(1, 6))
def test_what_both_accept_is_the_same_in_many_more(is_server: bool, part: int) -> None:
    assert sum(compared(seed, is_server=is_server) for seed in range(part * 10_000, part * 10_000 + 5000)) > 100
