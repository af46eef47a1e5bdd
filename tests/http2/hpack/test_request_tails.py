"""What is remembered of heads changes nothing: each request is read as if it were the first one, also by other rules."""

from __future__ import annotations

from random import Random

import hpack
import pytest
from hypothesis import given
from hypothesis import strategies as st
from recording_handler import RecordingHandler, sent, started

from balance.http2 import errors, frames
from balance.http2.frames import END_HEADERS, END_STREAM, HEADERS, frame
from balance.http2.hpack import field_decoder
from balance.http2.hpack.field_encoder import encode
from balance.http2.hpack.tail import MOST_TAILS
from balance.http2.request_head import RequestHead
from balance.http2.session import Session, SessionLimits
from balance.http2.stream import Stream

Fields = list[tuple[bytes, bytes]]
GET: Fields = [(b":method", b"GET"), (b":scheme", b"https"), (b":path", b"/"), (b":authority", b"a.example")]
ACCEPT, USER_AGENT = (b"accept", b"text/html"), (b"user-agent", b"Mozilla/5.0")
SOME = st.sampled_from(
    [
        (b":path", b"/x"),
        (b":method", b"POST"),
        (b"cookie", b"a=1"),
        (b"cookie", b"b=2"),
        (b"host", b"a.example"),
        (b"host", b"b.example"),
        (b"content-length", b"0"),
        (b"content-length", b"60"),
        (b"te", b"trailers"),
        (b"te", b"gzip"),
        (b"priority", b"u=1"),
        (b"connection", b"close"),
        (b"x", b" y"),
        (b"x", b"y" * 30),
        (b"x-long", b"y" * 900),
        ACCEPT,
        USER_AGENT,
    ]
)
REQUESTS = st.lists(st.tuples(st.lists(SOME, max_size=6), st.booleans(), st.booleans()), min_size=2, max_size=20)
LIMITS = SessionLimits(fields=8, head_bytes=1500)


def told(session: Session, stream_id: int, block: bytes, *, ends: bool) -> tuple[object, object]:
    """What the shell and the peer hear of a request, but for the stream's number."""
    handler = session.handler
    handler.told.clear()  # type: ignore[attr-defined]
    session.feed(frame(HEADERS, END_HEADERS | (END_STREAM if ends else 0), stream_id, block), 0.0)
    said = [(call[0], *call[2:]) for call in handler.told]  # type: ignore[attr-defined]
    found = [(kind, flags, payload) for kind, flags, _, payload in sent(session)]
    stream = session.streams.get(stream_id)
    if stream is not None:
        session.release(stream, 0.0)
        sent(session)
    return said, found


@given(REQUESTS, st.integers(0, 1000))
def test_any_requests_are_read_as_if_each_was_the_first(requests: list[tuple[Fields, bool, bool]], seed: int) -> None:
    random = Random(seed)
    encoder = hpack.Encoder()
    session, _ = started(limits=LIMITS)
    for number, (others, ends, indexes) in enumerate(requests * 2):
        fields = [*GET, *others]
        if indexes:
            block = encoder.encode(fields, huffman=random.random() < 0.5)
        else:
            block = encoder.encode([], huffman=False) + encode(fields)
        fresh, _ = started(limits=LIMITS)
        expected = told(fresh, 1, encode(fields), ends=ends)
        if ("fault", errors.ENHANCE_YOUR_CALM, "a head that is far larger than may be") in fresh.handler.told:  # type: ignore[attr-defined]
            return
        assert told(session, 2 * number + 1, block, ends=ends) == expected


def test_a_length_that_was_right_with_content_is_wrong_without() -> None:
    session, _ = started()
    encoder = hpack.Encoder()
    fields = [*GET, (b"content-length", b"5")]
    blocks = [encoder.encode(fields) for _ in range(4)]
    for number, block in enumerate(blocks[:3]):
        assert told(session, 2 * number + 1, block, ends=False)[0]
    assert blocks[2] == blocks[1]
    said, answered = told(session, 7, blocks[3], ends=True)
    assert (said, answered) == ([], [(frames.RST_STREAM, 0, errors.PROTOCOL_ERROR.to_bytes(4, "big"))])


def test_a_tail_that_fits_behind_a_short_target_does_not_behind_a_long_one() -> None:
    session, _ = started(limits=SessionLimits(head_bytes=400))
    encoder = hpack.Encoder()
    for number in (1, 3, 5):
        assert told(session, number, encoder.encode([*GET, ACCEPT, USER_AGENT]), ends=True)[0][0][0] == "request"  # type: ignore[index]
    long = encode([(b":path", b"/" + b"x" * 200)])
    pseudo = [hpack.Encoder().encode([field]) for field in (GET[0], GET[1])]
    tail = encoder.encode([GET[3], ACCEPT, USER_AGENT])
    assert told(session, 7, b"".join(pseudo) + long + tail, ends=True)[0] == [("too large", True)]
    assert told(session, 9, b"".join(pseudo) + encode([GET[2]]) + tail, ends=True)[0][0][0] == "request"  # type: ignore[index]


def test_a_tail_that_fits_behind_four_pseudo_fields_does_not_behind_five() -> None:
    session, _ = started(limits=SessionLimits(fields=6, allows_protocol=True))
    connect, tail = b"\x02\x07CONNECT\x87\x84\x01\x01a", b"\x90\x00\x01x\x01y"
    protocol = b"\x00\x09:protocol\x09websocket"
    for number in (1, 3):
        assert told(session, number, b"\x82\x87\x84\x01\x01a" + tail, ends=False)[0][0][0] == "request"  # type: ignore[index]
    assert told(session, 5, connect + protocol + tail, ends=False)[0] == [("too large", False)]
    assert told(session, 7, connect + protocol + b"\x90", ends=False)[0][0][0] == "request"  # type: ignore[index]


def test_the_same_bytes_mean_another_field_when_the_table_has_changed() -> None:
    session, handler = started()
    pseudo = b"\x82\x87\x84\x01\x01a"  # none enters the table
    first = b"\x40\x01x\x01" + b"1"
    second = b"\x40\x01x\x01" + b"2"
    blocks = [first, b"\xbe", b"\xbe", second, b"\xbe"]  # 0xbe: the newest of the table
    for number, block in enumerate(blocks):
        session.feed(frame(HEADERS, END_HEADERS | END_STREAM, 2 * number + 1, pseudo + block), 0.0)
    assert [call[5] for call in handler.told] == [b"x: 1\r\n"] * 3 + [b"x: 2\r\n"] * 2


def test_a_table_that_was_emptied_has_nothing_of_what_was_remembered() -> None:
    session, handler = started()
    pseudo = b"\x82\x87\x84\x01\x01a"
    for number, block in enumerate((pseudo + b"\x40\x01x\x011", pseudo + b"\xbe", b"\x20\x3f\xe1\x1f" + pseudo + b"\xbe")):
        session.feed(frame(HEADERS, END_HEADERS | END_STREAM, 2 * number + 1, block), 0.0)
    assert ("fault", errors.COMPRESSION_ERROR, "index 62 is of nothing in the table") in handler.told


@pytest.mark.parametrize("before", [b"", b"\x90"])
def test_a_tail_that_changes_the_table_changes_it_each_time(before: bytes) -> None:
    session, handler = started()
    pseudo, enters = b"\x82\x87\x84\x01\x01a", b"\x40\x01x\x011"
    for number, block in enumerate([before + enters] * 3 + [b"\xc0"]):  # the third of the table
        session.feed(frame(HEADERS, END_HEADERS | END_STREAM, 2 * number + 1, pseudo + block), 0.0)
    assert [call[0] for call in handler.told] == ["request"] * 4
    assert handler.told[-1][5] == b"x: 1\r\n"


def test_a_literal_with_a_name_of_the_table_means_the_connections_own() -> None:
    for name in (b"x", b"y", b"x"):
        session, handler = started()
        pseudo, literals = b"\x82\x87\x84\x01\x01a", (b"\x7e\x01v", b"\x0f\x2f\x01v")  # entering, and not; name: index 62
        blocks = [b"\x40\x01%b\x01w" % name, *literals]
        for number, block in enumerate(blocks):
            session.feed(frame(HEADERS, END_HEADERS | END_STREAM, 2 * number + 1, pseudo + block), 0.0)
        assert [call[5] for call in handler.told] == [b"%b: w\r\n" % name, *[b"%b: v\r\n" % name] * 2]


def test_a_remembered_tail_has_its_priority() -> None:
    class Handler(RecordingHandler):
        def on_request(self, stream: Stream, head: RequestHead, *, ends: bool) -> None:
            self.told.append((head.priority, head.length))

    handler = Handler()
    session = handler.session = Session(handler, SessionLimits(), 0.0, is_server=True)
    session.feed(frames.PREFACE + frames.settings([]), 0.0)
    block = b"\x83\x87\x84\x01\x01a\x90\x00\x08priority\x03u=1"
    for number in (1, 3, 5):
        session.feed(frame(HEADERS, END_HEADERS, number, block), 0.0)
    assert handler.told == [(b"u=1", -1)] * 3
    assert session._decoder.tail is not None


def test_trailers_are_no_tail_though_their_bytes_are_those_of_one() -> None:
    session, handler = started()
    pseudo, fields = b"\x83\x87\x84\x01\x01a", b"\x00\x01x\x011"
    for number in (1, 3):
        session.feed(frame(HEADERS, END_HEADERS, number, pseudo + fields), 0.0)
        session.feed(frame(HEADERS, END_HEADERS | END_STREAM, number, fields), 0.0)
    assert [call[-1] for call in handler.told if call[0] == "trailers"] == [b"x: 1\r\n"] * 2


def test_a_tail_alone_is_no_request() -> None:
    session, handler = started()
    pseudo, fields = b"\x82\x87\x84\x01\x01a", b"\x00\x01x\x011"
    session.feed(frame(HEADERS, END_HEADERS | END_STREAM, 1, pseudo + fields), 0.0)
    session.feed(frame(HEADERS, END_HEADERS | END_STREAM, 3, fields), 0.0)
    assert [call[0] for call in handler.told] == ["request"]
    assert sent(session) == [(frames.RST_STREAM, 0, 3, errors.PROTOCOL_ERROR.to_bytes(4, "big"))]


@pytest.mark.parametrize("name", [b"cookie", b"authorization"])
def test_what_all_connections_remember_has_no_secrets(name: bytes) -> None:
    for huffman in (False, True):
        session, _ = started()
        encoder = hpack.Encoder()
        for number in (1, 3):
            assert told(session, number, encoder.encode([*GET, (name, b"one user's")], huffman=huffman), ends=True)[0]
    never = encode([*GET, (b"x-key", b"one user's")]).replace(b"\x00\x05x-key", b"\x10\x05x-key")
    session, _ = started()
    assert told(session, 1, never, ends=True)[0]
    known = [*field_decoder._entering.values(), *field_decoder._passing.values()]
    assert not [field for field in known if field.value == b"one user's"]


def test_the_memories_are_bounded() -> None:
    session, handler = started()
    for number in range(3000):
        block = b"\x82\x87\x01\x01a\x04\x05/%04d" % number + (b"\x40" if number % 2 else b"\x00") + b"\x01x\x04%04d" % number
        session.feed(frame(HEADERS, END_HEADERS | END_STREAM, 2 * number + 1, block), 0.0)
        session.release(session.streams[2 * number + 1], 0.0)
        assert len(session._decoder._tails or ()) <= MOST_TAILS
    assert len(handler.told) == 3000
    assert len(field_decoder._entering) <= field_decoder.MOST_KNOWN
    assert len(field_decoder._passing) <= field_decoder.MOST_KNOWN
    assert max(map(len, [*field_decoder._entering, *field_decoder._passing])) <= 256
