"""The core of HTTP/2 in memory: a request's frames in, a reply's out, with a shell that answers at once."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable

from balance.http2 import frames
from balance.http2.frames import DATA, END_HEADERS, END_STREAM, HEADERS, PREFACE, frame
from balance.http2.handler import SessionHandler
from balance.http2.head_encoder import encode_lines, encode_response
from balance.http2.hpack.field_encoder import encode_field
from balance.http2.hpack.huffman import EOS, code_words
from balance.http2.hpack.static_table import NAME_INDEX, STATIC_TABLE
from balance.http2.request_head import RequestHead
from balance.http2.session import Session, SessionLimits
from balance.http2.stream import Stream
from scripted.bytes_sent import BODY, REQUEST, RESPONSE

Fields = list[tuple[bytes, bytes]]
MANY = 600  # more than are counted
_, *_LINES = (REQUEST % (b"1", b"1")).split(b"\r\n")[:-2]
OTHERS: Fields = [(name.lower(), value) for name, _, value in (line.partition(b": ") for line in _LINES) if name != b"Host"]
PAGE: Fields = [
    (b":method", b"GET"),
    (b":scheme", b"https"),
    (b":authority", b"www.example.com"),
]
CALL: Fields = [
    (b":method", b"POST"),
    (b":scheme", b"http"),
    (b":path", b"/helloworld.Greeter/SayHello"),
    (b":authority", b"greeter.example:50051"),
    (b"content-type", b"application/grpc"),
    (b"user-agent", b"grpc-go/1.71.0"),
    (b"te", b"trailers"),
]
REPLY_LINES = (RESPONSE % b"1").partition(b"\r\n")[2].removesuffix(b"\r\n")
IDS = [b"X-Request-Id: %032x\r\n" % number for number in range(5000)]
CALL_LINES, STATUS_LINES = b"Content-Type: application/grpc\r\n", b"grpc-status: 0\r\ngrpc-message: \r\n"
MESSAGE = b"\0\0\0\0\x0a" + b"x" * 10
OPENING = PREFACE + frames.settings([(frames.INITIAL_WINDOW_SIZE, 1 << 20)]) + frames.window_update(0, 1 << 30)


class Answering(SessionHandler):
    """Each reply has an id of its own, as one behind a proxy has."""

    def __init__(self) -> None:
        self.session = Session(self, SessionLimits(), 0.0, is_server=True)
        self.session.feed(OPENING, 0.0)
        self.session.out.parts.clear()
        self.ids = itertools.cycle(IDS)
        self.answered = 0

    def on_request(self, stream: Stream, head: RequestHead, *, ends: bool) -> None:
        if ends:
            self.session.head(stream, encode_response(200, REPLY_LINES + next(self.ids)), ends=False)
            self.session.content(stream, BODY, ends=True)
            self._is_done(stream)

    def on_content(self, stream: Stream, content: bytes, *, ends: bool) -> None:
        self.session.taken(stream, len(content))
        if ends:
            self.session.head(stream, encode_response(200, CALL_LINES), ends=False)
            self.session.content(stream, MESSAGE, ends=False)
            self.session.trailers(stream, encode_lines(STATUS_LINES))
            self._is_done(stream)

    def _is_done(self, stream: Stream) -> None:
        self.session.release(stream, 1.0)
        self.answered += 1


WORDS = {symbol: (word, bits) for symbol, word, bits in code_words()}


def huffman(text: bytes) -> bytes:
    """With its length (RFC 7541 section 5.2)."""
    found = size = 0
    for symbol in text:
        word, bits = WORDS[symbol]
        found, size = found << bits | word, size + bits
    padding = -size % 8
    found = found << padding | WORDS[EOS][0] >> WORDS[EOS][1] - padding
    coded = found.to_bytes((size + padding) // 8, "big")
    if len(coded) >= 0x7F:
        raise ValueError("too long for a benchmark")
    return bytes((0x80 | len(coded),)) + coded


def prefixed(first: int, mask: int, number: int) -> bytes:
    """An integer below 190 (RFC 7541 section 5.1)."""
    return bytes((first | number,)) if number < mask else bytes((first | mask, number - mask))


class Client:
    """Writes requests as nghttp2 does: but for the target and secrets, what is likely to come again enters its table."""

    def __init__(self) -> None:
        self._ids = itertools.count(1, 2)
        self._table: list[tuple[bytes, bytes]] = []  # the newest first
        self._size = 0

    def page(self, *others: tuple[bytes, bytes]) -> bytes:
        block = b"\x04" + huffman(b"/1k?page=1") + b"".join([self._field(*field) for field in (*PAGE, *OTHERS, *others)])
        return frame(HEADERS, END_STREAM | END_HEADERS, next(self._ids), block)

    def call(self) -> bytes:
        stream_id = next(self._ids)
        block = b"".join([self._field(*field) for field in CALL])
        return frame(HEADERS, END_HEADERS, stream_id, block) + frame(DATA, END_STREAM, stream_id, MESSAGE)

    def _field(self, name: bytes, value: bytes) -> bytes:
        if (name, value) in STATIC_TABLE:
            return encode_field(name, value)
        if name == b"authorization":
            return b"\x1f\x08" + huffman(value)  # never indexed, its name is the 23rd
        first_own = len(STATIC_TABLE) + 1
        if (name, value) in self._table:
            return prefixed(0x80, 0x7F, first_own + self._table.index((name, value)))
        names = [each for each, _ in self._table]
        index = NAME_INDEX.get(name) or (first_own + names.index(name) if name in names else 0)
        self._table.insert(0, (name, value))
        self._size += len(name) + len(value) + 32
        while self._size > 4096:
            oldest = self._table.pop()
            self._size -= len(oldest[0]) + len(oldest[1]) + 32
        return prefixed(0x40, 0x3F, index) + (b"" if index else huffman(name)) + huffman(value)


def exchanges(make: Callable[[Client], bytes], size: int) -> Callable[[int], None]:
    """One after the other on one connection; a reply has at least `size` bytes."""
    handler, client = Answering(), Client()
    session = handler.session
    sent = deque(make(client) for _ in range(MANY))

    def run(times: int) -> None:
        while len(sent) < times:
            sent.append(make(client))
        before, written = handler.answered, 0
        parts = session.out.parts
        for _ in range(times):
            session.feed(sent.popleft(), 1.0)
            written += len(b"".join(parts))
            parts.clear()
        if handler.answered - before != times or written < times * size:
            raise RuntimeError("not all requests were answered")

    return run


def remembered() -> Callable[[int], None]:
    return exchanges(Client.page, len(BODY) + 100)


def never_seen() -> Callable[[int], None]:
    """A field that enters the table each time."""
    numbers = itertools.count(1_000_000)
    return exchanges(lambda client: client.page((b"x-request-id", b"%d" % next(numbers))), len(BODY) + 100)


def grpc_call() -> Callable[[int], None]:
    return exchanges(Client.call, 50)


def first_requests() -> Callable[[int], None]:
    """A connection's settings and its first request."""
    sent = Client().page()

    def run(times: int) -> None:
        for _ in range(times):
            handler = Answering()
            handler.session.feed(sent, 1.0)
            if handler.answered != 1 or len(b"".join(handler.session.out.parts)) < len(BODY):
                raise RuntimeError("the first request was not answered")

    return run
