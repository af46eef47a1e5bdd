"""The cases of the public HTTP/2 suite for servers as one table: what is sent, and what must come back.

They are numbered by the sections of RFC 7540, for which that suite was written. Where RFC 9113 is milder it counts, and the
case says so. `h2_talk` drives them, in memory or over a socket; the server answers each request with its method and target.
"""

from __future__ import annotations

from dataclasses import dataclass

from hpack.huffman import HuffmanEncoder
from hpack.huffman_constants import REQUEST_CODES, REQUEST_CODES_LENGTH

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
    rst_stream,
    window_update,
)
from balance.http2.hpack.field_encoder import encode

Fields = list[tuple[bytes, bytes]]

TARGET = b"/hello-world"
ANSWER = b"GET " + TARGET
WHOLE = END_STREAM | END_HEADERS
GET: Fields = [(b":method", b"GET"), (b":scheme", b"http"), (b":path", TARGET), (b":authority", b"site.example")]
POST: Fields = [(b":method", b"POST"), *GET[1:]]
BLOCK = encode(GET)
HALF = len(BLOCK) // 2
MOST = frames.LARGEST_WINDOW


@dataclass(frozen=True)
class Wait:
    """For the end of a stream, or, with `size`, until so much of its content has come; 0: for its head."""

    stream: int
    size: int | None = None


@dataclass(frozen=True)
class Goes:
    """GOAWAY with one of these codes, then the end."""

    codes: tuple[int, ...]


@dataclass(frozen=True)
class Resets:
    stream: int
    codes: tuple[int, ...]


@dataclass(frozen=True)
class Answers:
    """These streams are answered 200, whole."""

    streams: tuple[int, ...]


@dataclass(frozen=True)
class Content:
    """So far DATA of these sizes has come, which is a part of the answer."""

    stream: int
    sizes: tuple[int, ...]


@dataclass(frozen=True)
class Says:
    """This very frame has come."""

    frame: bytes


Outcome = Goes | Resets | Answers | Content | Says


@dataclass(frozen=True)
class Case:
    """`steps`: bytes to send, and what to wait for meanwhile. One of `outcomes` must come, in order of their likelihood."""

    steps: tuple[bytes | Wait, ...]
    outcomes: tuple[Outcome, ...]
    goes_on: bool = True  # unless it is GOAWAY; false: the client has said that it leaves


def head(stream: int, fields: Fields = GET, flags: int = WHOLE, before: bytes = b"", after: bytes = b"") -> bytes:
    return frame(HEADERS, flags, stream, before + encode(fields) + after)


def post(stream: int, *more: tuple[bytes, bytes]) -> bytes:
    return head(stream, [*POST, *more], END_HEADERS)


def data(stream: int, content: bytes, flags: int = END_STREAM) -> bytes:
    return frame(DATA, flags, stream, content)


def number(value: int, size: int = 4) -> bytes:
    return value.to_bytes(size, "big")


def setting(identifier: int, value: int) -> bytes:
    return frames.settings([(identifier, value)])


def goes(*codes: int) -> tuple[Outcome, ...]:
    return (Goes(codes),)


def resets(*codes: int, stream: int = 1) -> tuple[Outcome, ...]:
    return (Resets(stream, codes),)


def closed(stream: int = 1) -> tuple[Outcome, ...]:
    """Behind an end: of the stream while it is known, of the connection later (RFC 9113 section 5.1)."""
    return (Resets(stream, (errors.STREAM_CLOSED,)), Goes((errors.STREAM_CLOSED,)))


def changed(name: bytes, value: bytes | None) -> Fields:
    """GET with another pseudo-field, or without it."""
    return [(key, value if key == name and value is not None else old) for key, old in GET if key != name or value is not None]


def string(text: bytes, *, huffman: bool) -> bytes:
    if huffman:
        text = HuffmanEncoder(REQUEST_CODES, REQUEST_CODES_LENGTH).encode(text)
    return bytes((len(text) | (0x80 if huffman else 0),)) + text


def literal(first: bytes, name: bytes, *, huffman: bool) -> bytes:
    """A field as a literal: `first` says how, and has the number of an indexed name."""
    return first + (string(name, huffman=huffman) if name else b"") + string(b"some value", huffman=huffman)


PROTOCOL, SIZE, FLOW = errors.PROTOCOL_ERROR, errors.FRAME_SIZE_ERROR, errors.FLOW_CONTROL_ERROR
COMPRESSION = errors.COMPRESSION_ERROR
ANSWERED: tuple[Outcome, ...] = (Answers((1,)),)
WAIT = Wait(1)
UNKNOWN = frame(0x16, 0xFF, 0, b"12345678")

GENERIC: dict[str, Case] = {
    "generic/1/1 a preface": Case((), ()),
    "generic/2/1 PRIORITY of an idle stream": Case((frame(PRIORITY, 0, 1, number(0) + b"\xff"), head(1)), ANSWERED),
    "generic/2/2 WINDOW_UPDATE of a half-closed stream": Case((head(1) + window_update(1, 1),), ANSWERED),
    "generic/2/3 PRIORITY of a half-closed stream": Case((head(1) + frame(PRIORITY, 0, 1, bytes(5)),), ANSWERED),
    "generic/2/4 RST_STREAM of a half-closed stream": Case(
        (head(1) + rst_stream(1, errors.CANCEL) + head(3),), (Answers((3,)),)
    ),
    "generic/2/5 PRIORITY of a closed stream": Case((head(1), WAIT, frame(PRIORITY, 0, 1, bytes(5))), ANSWERED),
    "generic/3.1/1 DATA": Case((post(1) + data(1, b"test"),), ANSWERED),
    "generic/3.1/2 DATA twice": Case((post(1) + data(1, b"test", 0) + data(1, b"test"),), ANSWERED),
    "generic/3.1/3 DATA with padding": Case((post(1) + data(1, b"\x06test" + bytes(6), PADDED | END_STREAM),), ANSWERED),
    "generic/3.2/1 HEADERS": Case((head(1),), ANSWERED),
    "generic/3.2/2 HEADERS with padding": Case((head(1, flags=WHOLE | PADDED, before=b"\x06", after=bytes(6)),), ANSWERED),
    "generic/3.2/3 HEADERS with priority": Case((head(1, flags=WHOLE | HAS_PRIORITY, before=number(0) + b"\xff"),), ANSWERED),
    "generic/3.3/1 PRIORITY 1": Case((frame(PRIORITY, 0, 1, number(0) + b"\x00") + head(1),), ANSWERED),
    "generic/3.3/2 PRIORITY 256": Case((frame(PRIORITY, 0, 1, number(0) + b"\xff") + head(1),), ANSWERED),
    "generic/3.3/3 PRIORITY that depends on a stream": Case((frame(PRIORITY, 0, 1, number(3) + b"\xff") + head(1),), ANSWERED),
    "generic/3.3/4 PRIORITY that is exclusive": Case(
        (frame(PRIORITY, 0, 1, number(3 | 1 << 31) + b"\xff") + head(1),), ANSWERED
    ),
    "generic/3.3/5 PRIORITY of a stream above the next": Case(
        (frame(PRIORITY, 0, 5, number(3) + b"\xff") + head(3),), (Answers((3,)),)
    ),
    "generic/3.4/1 RST_STREAM": Case((head(1) + rst_stream(1, errors.CANCEL) + head(3),), (Answers((3,)),)),
    "generic/3.5/1 SETTINGS": Case((setting(frames.MAX_CONCURRENT_STREAMS, 100),), (Says(frames.SETTINGS_ACK),)),
    "generic/3.7/1 PING": Case((frame(PING, 0, 0, b"h2spec!!"),), (Says(frame(PING, ACK, 0, b"h2spec!!")),)),
    "generic/3.8/1 GOAWAY": Case((frames.goaway(0, errors.NO_ERROR) + head(1),), ANSWERED, goes_on=False),
    "generic/3.9/1 WINDOW_UPDATE of the connection": Case((window_update(0, 1) + head(1),), ANSWERED),
    "generic/3.9/2 WINDOW_UPDATE of a stream": Case(
        (setting(frames.INITIAL_WINDOW_SIZE, 5) + head(1) + window_update(1, 100),), ANSWERED
    ),
    "generic/3.10/1 CONTINUATION": Case(
        (frame(HEADERS, END_STREAM, 1, BLOCK[:HALF]) + frame(CONTINUATION, END_HEADERS, 1, BLOCK[HALF:]),), ANSWERED
    ),
    "generic/3.10/2 CONTINUATION twice": Case(
        (
            frame(HEADERS, END_STREAM, 1, BLOCK[:HALF])
            + frame(CONTINUATION, 0, 1, BLOCK[HALF : HALF + 3])
            + frame(CONTINUATION, END_HEADERS, 1, BLOCK[HALF + 3 :]),
        ),
        ANSWERED,
    ),
    "generic/4/1 GET": Case((head(1),), ANSWERED),
    "generic/4/2 HEAD": Case((head(1, changed(b":method", b"HEAD")),), ANSWERED),
    "generic/4/3 POST": Case((post(1, (b"content-length", b"4")) + data(1, b"test"),), ANSWERED),
    "generic/4/4 POST with trailers": Case((post(1) + data(1, b"test", 0) + head(1, [(b"x-test", b"ok")]),), ANSWERED),
    "generic/5/1 an indexed field": Case((frame(HEADERS, WHOLE, 1, BLOCK + b"\x90"),), ANSWERED),
    **{
        f"generic/5/{2 + place} a literal, {how}{', Huffman' * huffman}": Case(
            (frame(HEADERS, WHOLE, 1, BLOCK + literal(first, name, huffman=huffman)),), ANSWERED
        )
        for place, (how, first, name, huffman) in enumerate(
            (how, first, name, huffman)
            for how, first, name in (
                ("kept, an indexed name", b"\x53", b""),
                ("kept, a new name", b"\x40", b"x-test"),
                ("not kept, an indexed name", b"\x0f\x04", b""),
                ("not kept, a new name", b"\x00", b"x-test"),
                ("never kept, an indexed name", b"\x1f\x04", b""),
                ("never kept, a new name", b"\x10", b"x-test"),
            )
            for huffman in (False, True)
        )
    },
    "generic/5/14 a table's new size": Case((frame(HEADERS, WHOLE, 1, b"\x20" + BLOCK),), ANSWERED),
    "generic/5/15 a table's new size, twice": Case((frame(HEADERS, WHOLE, 1, b"\x20\x3f\xe1\x1f" + BLOCK),), ANSWERED),
}

FRAMING: dict[str, Case] = {
    "http2/3.5/1 a preface": Case((), ()),
    "http2/4.1/1 an unknown frame": Case((UNKNOWN + frame(PING, 0, 0, bytes(8)),), (Says(frame(PING, ACK, 0, bytes(8))),)),
    "http2/4.1/2 unknown flags": Case((frame(PING, 0x16, 0, bytes(8)),), (Says(frame(PING, ACK, 0, bytes(8))),)),
    "http2/4.1/3 a reserved bit": Case((frame(PING, 0, 1 << 31, bytes(8)),), (Says(frame(PING, ACK, 0, bytes(8))),)),
    "http2/4.2/1 DATA of 16 KB": Case((post(1) + data(1, bytes(16_384)),), ANSWERED),
    "http2/4.2/2 DATA of more": Case((post(1) + data(1, bytes(16_385)),), goes(SIZE)),
    "http2/4.2/3 HEADERS of more": Case((head(1, [*GET, (b"x", b"v" * 16_384)]),), goes(SIZE)),
    "http2/4.3/1 a block that is none": Case((frame(HEADERS, WHOLE, 1, b"\x00\x00\x00\x00\x00\x7f"),), goes(COMPRESSION)),
    "http2/4.3/2 PRIORITY within a block": Case(
        (frame(HEADERS, END_STREAM, 1, BLOCK[:HALF]) + frame(PRIORITY, 0, 1, bytes(5)),), goes(PROTOCOL)
    ),
    "http2/4.3/3 HEADERS of another stream within a block": Case(
        (frame(HEADERS, END_STREAM, 1, BLOCK[:HALF]) + head(3),), goes(PROTOCOL)
    ),
    "http2/5.4.1/1 a PING that is wrong ends the connection": Case((frame(PING, 0, 0, b"short"),), goes(SIZE)),
    "http2/5.4.1/2 which is told by a GOAWAY": Case((frame(PING, 0, 3, bytes(8)),), goes(PROTOCOL)),
    "http2/5.5/1 an unknown frame of an extension": Case((UNKNOWN + head(1),), ANSWERED),
    "http2/5.5/2 an unknown frame within a block": Case((frame(HEADERS, END_STREAM, 1, BLOCK) + UNKNOWN,), goes(PROTOCOL)),
    "http2/6.5/1 an ACK with something in it": Case((frame(SETTINGS, ACK, 0, b"\0"),), goes(SIZE)),
    "http2/6.5/2 SETTINGS of a stream": Case((frame(SETTINGS, 0, 1, bytes(6)),), goes(PROTOCOL)),
    "http2/6.5/3 SETTINGS of 3 bytes": Case((frame(SETTINGS, 0, 0, bytes(3)),), goes(SIZE)),
    "http2/6.5.2/1 ENABLE_PUSH 2": Case((setting(frames.ENABLE_PUSH, 2),), goes(PROTOCOL)),
    "http2/6.5.2/2 INITIAL_WINDOW_SIZE too large": Case((setting(frames.INITIAL_WINDOW_SIZE, 1 << 31),), goes(FLOW)),
    "http2/6.5.2/3 MAX_FRAME_SIZE too small": Case((setting(frames.MAX_FRAME_SIZE, 16_383),), goes(PROTOCOL)),
    "http2/6.5.2/4 MAX_FRAME_SIZE too large": Case((setting(frames.MAX_FRAME_SIZE, 1 << 24),), goes(PROTOCOL)),
    "http2/6.5.2/5 an unknown setting": Case((setting(0xFF, 0xFF),), (Says(frames.SETTINGS_ACK),)),
    "http2/6.5.3/1 two values of one setting: the last one counts": Case(
        (frames.settings([(frames.INITIAL_WINDOW_SIZE, 100), (frames.INITIAL_WINDOW_SIZE, 1)]) + head(1), Wait(1, 1)),
        (Content(1, (1,)),),
    ),
    "http2/6.5.3/2 SETTINGS are acknowledged": Case((frames.settings([]),), (Says(frames.SETTINGS_ACK),)),
    "http2/6.7/1 PING": Case((frame(PING, 0, 0, b"12345678"),), (Says(frame(PING, ACK, 0, b"12345678")),)),
    "http2/6.7/2 PING's ACK is not answered": Case(
        (frame(PING, ACK, 0, b"answered") + frame(PING, 0, 0, b"12345678"),), (Says(frame(PING, ACK, 0, b"12345678")),)
    ),
    "http2/6.7/3 PING of a stream": Case((frame(PING, 0, 1, bytes(8)),), goes(PROTOCOL)),
    "http2/6.7/4 PING of 6 bytes": Case((frame(PING, 0, 0, bytes(6)),), goes(SIZE)),
    "http2/6.8/1 GOAWAY of a stream": Case((frame(GOAWAY, 0, 1, bytes(8)),), goes(PROTOCOL)),
    "http2/7/1 GOAWAY with an unknown code": Case((frames.goaway(0, 0xFF) + head(1),), ANSWERED, goes_on=False),
    "http2/7/2 RST_STREAM with an unknown code": Case((post(1) + rst_stream(1, 0xFF) + head(3),), (Answers((3,)),)),
}

STREAMS: dict[str, Case] = {
    "http2/5.1/1 DATA of an idle stream": Case((data(1, b"test"),), goes(PROTOCOL)),
    "http2/5.1/2 RST_STREAM of an idle stream": Case((rst_stream(1, errors.CANCEL),), goes(PROTOCOL)),
    "http2/5.1/3 WINDOW_UPDATE of an idle stream": Case((window_update(1, 100),), goes(PROTOCOL)),
    "http2/5.1/4 CONTINUATION of an idle stream": Case((frame(CONTINUATION, END_HEADERS, 1, BLOCK),), goes(PROTOCOL)),
    "http2/5.1/5 DATA of a half-closed stream": Case((head(1) + data(1, b"test"),), closed()),
    "http2/5.1/6 HEADERS of a half-closed stream": Case((head(1) + head(1),), closed()),
    "http2/5.1/7 CONTINUATION of a half-closed stream": Case((head(1) + frame(CONTINUATION, 4, 1, BLOCK),), goes(PROTOCOL)),
    "http2/5.1/8 DATA behind a reset": Case((post(1) + rst_stream(1, errors.CANCEL) + data(1, b"test"),), closed()),
    "http2/5.1/9 HEADERS behind a reset": Case((post(1) + rst_stream(1, errors.CANCEL) + head(1),), closed()),
    "http2/5.1/10 CONTINUATION behind a reset": Case(
        (post(1) + rst_stream(1, errors.CANCEL) + frame(CONTINUATION, END_HEADERS, 1, BLOCK),), goes(PROTOCOL)
    ),
    "http2/5.1/11 DATA of a closed stream": Case((head(1), WAIT, data(1, b"test")), goes(errors.STREAM_CLOSED)),
    "http2/5.1/12 HEADERS of a closed stream": Case((head(1), WAIT, head(1)), goes(errors.STREAM_CLOSED)),
    "http2/5.1/13 CONTINUATION of a closed stream": Case(
        (head(1), WAIT, frame(CONTINUATION, END_HEADERS, 1, BLOCK)), goes(PROTOCOL)
    ),
    "http2/5.1.1/1 a stream of an even number": Case((head(2),), goes(PROTOCOL)),
    # The suite wants PROTOCOL_ERROR; RFC 9113 section 5.1.1 has the lower streams closed by the higher one.
    "http2/5.1.1/2 a stream of a number that has passed": Case((head(5) + head(3),), goes(errors.STREAM_CLOSED, PROTOCOL)),
    "http2/5.1.2/1 a stream more than is allowed": Case(
        (
            b"".join(post(2 * place + 1) for place in range(101)),
            *(data(2 * place + 1, b"x") for place in range(100)),
            *(Wait(2 * place + 1) for place in range(100)),
        ),
        resets(errors.REFUSED_STREAM, stream=201),
    ),
    # RFC 7540 had an error for these; RFC 9113 section 5.3.2 has priorities ignored.
    "http2/5.3.1/1 HEADERS that depend on themselves": Case(
        (head(1, flags=WHOLE | HAS_PRIORITY, before=number(1) + b"\xff"),), ANSWERED
    ),
    "http2/5.3.1/2 PRIORITY that depends on itself": Case((frame(PRIORITY, 0, 1, number(1) + b"\xff") + head(1),), ANSWERED),
    "http2/6.1/1 DATA of stream 0": Case((data(0, b"test"),), goes(PROTOCOL)),
    "http2/6.1/2 DATA of a stream that has ended": Case((head(1), WAIT, data(1, b"test")), closed()),
    "http2/6.1/3 DATA with more padding than payload": Case(
        (post(1) + data(1, b"\x05test", PADDED | END_STREAM),), goes(PROTOCOL)
    ),
    "http2/6.2/1 PRIORITY behind HEADERS that go on": Case(
        (frame(HEADERS, END_STREAM, 1, BLOCK) + frame(PRIORITY, 0, 1, bytes(5)),), goes(PROTOCOL)
    ),
    "http2/6.2/2 HEADERS of another stream behind HEADERS that go on": Case(
        (frame(HEADERS, END_STREAM, 1, BLOCK) + head(3),), goes(PROTOCOL)
    ),
    "http2/6.2/3 HEADERS of stream 0": Case((head(0),), goes(PROTOCOL)),
    "http2/6.2/4 HEADERS with more padding than payload": Case(
        (head(1, flags=WHOLE | PADDED, before=b"\xff"),), goes(PROTOCOL)
    ),
    "http2/6.3/1 PRIORITY of stream 0": Case((frame(PRIORITY, 0, 0, bytes(5)),), goes(PROTOCOL)),
    "http2/6.3/2 PRIORITY of 4 bytes": Case((post(1) + frame(PRIORITY, 0, 1, bytes(4)),), resets(SIZE)),
    "http2/6.4/1 RST_STREAM of stream 0": Case((rst_stream(0, errors.CANCEL),), goes(PROTOCOL)),
    "http2/6.4/2 RST_STREAM of an idle stream": Case((rst_stream(1, errors.CANCEL),), goes(PROTOCOL)),
    "http2/6.4/3 RST_STREAM of 3 bytes": Case((post(1) + frame(RST_STREAM, 0, 1, bytes(3)),), goes(SIZE)),
    "http2/6.9/1 WINDOW_UPDATE of the connection by 0": Case((window_update(0, 0),), goes(PROTOCOL)),
    "http2/6.9/2 WINDOW_UPDATE of a stream by 0": Case((post(1) + window_update(1, 0),), resets(PROTOCOL)),
    "http2/6.9/3 WINDOW_UPDATE of 3 bytes": Case((frame(WINDOW_UPDATE, 0, 0, bytes(3)),), goes(SIZE)),
    "http2/6.9.1/1 a window of a byte": Case(
        (setting(frames.INITIAL_WINDOW_SIZE, 1) + head(1), Wait(1, 1)), (Content(1, (1,)),)
    ),
    "http2/6.9.1/2 the connection's window too large": Case((window_update(0, MOST) + window_update(0, MOST),), goes(FLOW)),
    "http2/6.9.1/3 a stream's window too large": Case(
        (post(1) + window_update(1, MOST) + window_update(1, MOST),), resets(FLOW)
    ),
    "http2/6.9.2/1 a first window that changes later": Case(
        (setting(frames.INITIAL_WINDOW_SIZE, 0) + head(1), Wait(1, 0), setting(frames.INITIAL_WINDOW_SIZE, 1), Wait(1, 1)),
        (Content(1, (1,)),),
    ),
    "http2/6.9.2/2 a window below 0": Case(
        (
            setting(frames.INITIAL_WINDOW_SIZE, 3) + head(1),
            Wait(1, 3),
            setting(frames.INITIAL_WINDOW_SIZE, 2),
            window_update(1, 2),
            Wait(1, 4),
        ),
        (Content(1, (3, 1)),),
    ),
    "http2/6.9.2/3 a first window too large": Case((setting(frames.INITIAL_WINDOW_SIZE, 1 << 31),), goes(FLOW)),
    "http2/6.10/1 several CONTINUATIONs": Case(
        (
            frame(HEADERS, END_STREAM, 1, BLOCK[:HALF])
            + frame(CONTINUATION, 0, 1, BLOCK[HALF : HALF + 2])
            + frame(CONTINUATION, END_HEADERS, 1, BLOCK[HALF + 2 :]),
        ),
        ANSWERED,
    ),
    "http2/6.10/2 DATA behind a CONTINUATION that goes on": Case(
        (frame(HEADERS, 0, 1, BLOCK) + frame(CONTINUATION, 0, 1, encode([(b"x", b"y")])) + data(1, b"test"),), goes(PROTOCOL)
    ),
    "http2/6.10/3 CONTINUATION of stream 0": Case(
        (frame(HEADERS, 0, 1, BLOCK) + frame(CONTINUATION, END_HEADERS, 0, encode([(b"x", b"y")])),), goes(PROTOCOL)
    ),
    "http2/6.10/4 CONTINUATION behind whole HEADERS": Case(
        (post(1) + frame(CONTINUATION, END_HEADERS, 1, encode([(b"x", b"y")])),), goes(PROTOCOL)
    ),
    "http2/6.10/5 CONTINUATION behind the last one": Case(
        (frame(HEADERS, 0, 1, BLOCK) + frame(CONTINUATION, END_HEADERS, 1, encode([(b"x", b"y")])) * 2,), goes(PROTOCOL)
    ),
    "http2/6.10/6 CONTINUATION behind DATA": Case(
        (post(1) + data(1, b"test", 0) + frame(CONTINUATION, END_HEADERS, 1, encode([(b"x", b"y")])),), goes(PROTOCOL)
    ),
}

MESSAGES: dict[str, Case] = {
    "http2/8.1/1 HEADERS in the middle": Case((post(1) + post(1),), resets(PROTOCOL)),
    "http2/8.1.2/1 a name in upper case": Case((head(1, [*GET, (b"X-TEST", b"ok")]),), resets(PROTOCOL)),
    "http2/8.1.2.1/1 an unknown pseudo-field": Case((head(1, [*GET, (b":test", b"ok")]),), resets(PROTOCOL)),
    "http2/8.1.2.1/2 a pseudo-field of responses": Case((head(1, [*GET, (b":status", b"200")]),), resets(PROTOCOL)),
    "http2/8.1.2.1/3 a pseudo-field in trailers": Case(
        (post(1) + data(1, b"test", 0) + head(1, [(b":method", b"GET")]),), resets(PROTOCOL)
    ),
    "http2/8.1.2.1/4 a pseudo-field behind others": Case(
        (head(1, [*changed(b":path", None), (b"x-test", b"ok"), (b":path", b"/")]),), resets(PROTOCOL)
    ),
    "http2/8.1.2.2/1 connection": Case((head(1, [*GET, (b"connection", b"keep-alive")]),), resets(PROTOCOL)),
    "http2/8.1.2.2/2 te": Case((head(1, [*GET, (b"te", b"trailers, deflate")]),), resets(PROTOCOL)),
    "http2/8.1.2.3/1 an empty :path": Case((head(1, changed(b":path", b"")),), resets(PROTOCOL)),
    **{
        f"http2/8.1.2.3/{place} no {name.decode()}": Case((head(1, changed(name, None)),), resets(PROTOCOL))
        for place, name in enumerate((b":method", b":scheme", b":path"), 2)
    },
    **{
        f"http2/8.1.2.3/{place} {name.decode()} twice": Case((head(1, [*GET, (name, dict(GET)[name])]),), resets(PROTOCOL))
        for place, name in enumerate((b":method", b":scheme", b":path"), 5)
    },
    "http2/8.1.2.6/1 another content-length than DATA": Case(
        (post(1, (b"content-length", b"1")) + data(1, b"test"),), resets(PROTOCOL)
    ),
    "http2/8.1.2.6/2 another content-length than all DATA": Case(
        (post(1, (b"content-length", b"1")) + data(1, b"test", 0) + data(1, b"test"),), resets(PROTOCOL)
    ),
    "http2/8.2/1 PUSH_PROMISE of a client": Case((frame(PUSH_PROMISE, END_HEADERS, 1, number(2) + BLOCK),), goes(PROTOCOL)),
}

FIELDS: dict[str, Case] = {
    "hpack/2.3.3/1 an index of nothing": Case((frame(HEADERS, WHOLE, 1, BLOCK + b"\xc6"),), goes(COMPRESSION)),
    "hpack/2.3.3/2 a literal with an index of nothing": Case(
        (frame(HEADERS, WHOLE, 1, BLOCK + b"\x7f\x07\x05empty"),), goes(COMPRESSION)
    ),
    "hpack/4.2/1 a table's new size behind a field": Case((frame(HEADERS, WHOLE, 1, BLOCK + b"\x3f\x01"),), goes(COMPRESSION)),
    "hpack/5.2/1 padding of more than 7 bits": Case(
        (frame(HEADERS, WHOLE, 1, BLOCK + b"\x00\x85\xf2\xb2\x4a\x84\xff\x84\x49\x50\x9f\xff"),), goes(COMPRESSION)
    ),
    "hpack/5.2/2 padding of zeros": Case(
        (frame(HEADERS, WHOLE, 1, BLOCK + b"\x00\x85\xf2\xb2\x4a\x87\xff\x83\x49\x50\x90"),), goes(COMPRESSION)
    ),
    "hpack/5.2/3 EOS within a string": Case(
        (frame(HEADERS, WHOLE, 1, BLOCK + b"\x00\x85\xf2\xb2\x4a\x84\xff\x87\x49\x51\xff\xff\xff\xfa\x7f"),), goes(COMPRESSION)
    ),
    "hpack/6.1/1 index 0": Case((frame(HEADERS, WHOLE, 1, BLOCK + b"\x80"),), goes(COMPRESSION)),
    "hpack/6.3/1 a table larger than is allowed": Case((frame(HEADERS, WHOLE, 1, b"\x3f\xe2\x1f" + BLOCK),), goes(COMPRESSION)),
}

CASES = {**GENERIC, **FRAMING, **STREAMS, **MESSAGES, **FIELDS}
