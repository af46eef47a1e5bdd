"""What is remembered of replies' heads changes nothing: each reply is read as if it were the first one of its connection."""

from __future__ import annotations

from random import Random

import hpack
from hypothesis import given
from hypothesis import strategies as st
from recording_handler import RecordingHandler, sent, started

from balance.http2 import errors
from balance.http2.frames import END_HEADERS, END_STREAM, HEADERS, frame
from balance.http2.hpack import field_decoder
from balance.http2.hpack.field_encoder import encode
from balance.http2.session import Session, SessionLimits

Fields = list[tuple[bytes, bytes]]
OK: Fields = [(b":status", b"200")]
SERVER, KIND = (b"server", b"a server"), (b"content-type", b"application/grpc")
SOME = st.sampled_from(
    [
        (b":status", b"200"),
        (b":path", b"/x"),
        (b"cookie", b"a=1"),
        (b"set-cookie", b"b=2"),
        (b"content-length", b"0"),
        (b"content-length", b"60"),
        (b"te", b"gzip"),
        (b"connection", b"close"),
        (b"x", b" y"),
        (b"x", b"y" * 30),
        (b"x-long", b"y" * 900),
        KIND,
        SERVER,
    ]
)
STATUSES = st.sampled_from([b"200", b"204", b"304", b"404", b"103", b"101", b"099", b"2000", b"2x0", b""])
REPLIES = st.lists(st.tuples(STATUSES, st.lists(SOME, max_size=6), st.booleans(), st.booleans()), min_size=2, max_size=20)
LIMITS = SessionLimits(fields=8, head_bytes=1500)


def client(limits: SessionLimits | None = None) -> tuple[Session, RecordingHandler]:
    return started(is_server=False, limits=limits)


def told(session: Session, handler: RecordingHandler, block: bytes, *, ends: bool) -> tuple[object, object]:
    """What the shell and the peer hear of a reply to a request of its own, but for the stream's number."""
    stream = session.open(b"\x82\x86\x84\x01\x01a", 0.0, ends=True)
    assert stream is not None
    sent(session)
    handler.told.clear()
    session.feed(frame(HEADERS, END_HEADERS | (END_STREAM if ends else 0), stream.id, block), 0.0)
    said = [(call[0], *call[2:]) for call in handler.told]
    found = [(kind, flags, payload) for kind, flags, _, payload in sent(session)]
    length = stream.length
    session.release(stream, 0.0)
    sent(session)
    return (said, length), found


@given(REPLIES, st.integers(0, 1000))
def test_any_replies_are_read_as_if_each_was_the_first(replies: list[tuple[bytes, Fields, bool, bool]], seed: int) -> None:
    random = Random(seed)
    encoder = hpack.Encoder()
    session, handler = client(LIMITS)
    for status, others, ends, indexes in replies * 2:
        fields = [(b":status", status), *others]
        if indexes:
            block = encoder.encode(fields, huffman=random.random() < 0.5)
        else:
            block = encoder.encode([], huffman=False) + encode(fields)
        fresh, heard = client(LIMITS)
        expected = told(fresh, heard, encode(fields), ends=ends)
        if ("fault", errors.ENHANCE_YOUR_CALM, "a head that is far larger than may be") in heard.told or session.is_closed:
            return
        found = told(session, handler, block, ends=ends)
        if session.is_closed:  # of many offences, which one connection alone has
            return
        assert found == expected


def test_a_known_end_is_read_by_the_table_of_its_time() -> None:
    session, handler = client()
    encoder = hpack.Encoder()
    blocks = [encoder.encode([*OK, SERVER, KIND]) for _ in range(3)]
    assert blocks[1] == blocks[2]
    for block in blocks:
        assert told(session, handler, block, ends=True)[0] == (
            [("response", 200, b"server: a server\r\ncontent-type: application/grpc\r\n", True)],
            -1,
        )
    other = encoder.encode([*OK, (b"date", b"now")])  # what the same index stands for is another
    assert told(session, handler, other, ends=True)[0] == ([("response", 200, b"date: now\r\n", True)], -1)
    lines = b"content-type: application/grpc\r\ndate: now\r\n"
    assert told(session, handler, blocks[1], ends=True)[0] == ([("response", 200, lines, True)], -1)


def test_a_length_that_was_right_with_content_is_wrong_without() -> None:
    session, handler = client()
    encoder = hpack.Encoder()
    blocks = [encoder.encode([*OK, (b"content-length", b"5")]) for _ in range(3)]
    for block in blocks:
        assert told(session, handler, block, ends=False)[0] == ([("response", 200, b"content-length: 5\r\n", False)], 5)
    assert told(session, handler, blocks[2], ends=True)[0] == ([("reset", errors.PROTOCOL_ERROR, True)], 5)


def test_an_end_of_a_head_is_remembered() -> None:
    session, handler = client()
    encoder = hpack.Encoder()
    decoder: field_decoder.FieldDecoder = session._decoder
    for _ in range(3):
        told(session, handler, encoder.encode([*OK, SERVER, KIND]), ends=True)
    assert decoder.tail is not None
    assert decoder.tail.lines == b"server: a server\r\ncontent-type: application/grpc\r\n"
