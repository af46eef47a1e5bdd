"""Floods of HTTP/2 against an instance, and a good client of HTTP/2 beside them."""

from __future__ import annotations

import contextlib
import itertools
import socket
import time
from collections.abc import Callable, Iterable, Iterator

from attacked import PATIENCE_S, GoodClient, Site
from h2_cases import END_HEADERS, Fields, frame, head
from h2_talk import Talk
from polling import readiness

from balance.http2 import errors, frames
from balance.http2.frames import CONTINUATION, DATA, END_STREAM, HEADERS, PING, PRIORITY, rst_stream, settings, window_update
from balance.http2.hpack.field_encoder import encode

GOOD: Fields = [(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/"), (b":authority", b"good.example")]
PIECE = 1 << 14  # bytes of a flood that are sent at once


class Peer(Talk):
    """A connection whose other side may close it at any time, or not read."""

    def __init__(self, site: Site, *settings: tuple[int, int], source: str = "127.0.0.2") -> None:
        super().__init__()
        self.sock = site.connect(source)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.begin(*settings)

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def receive(self) -> bool:
        if self.is_over:
            return False
        try:
            data = self.sock.recv(65_536)
        except ConnectionResetError:
            data = b""
        except TimeoutError:
            return False
        self.is_over = not data
        self.take(data)
        return True

    def flood(self, pieces: Iterable[bytes], *, reads: bool = True, seconds: float = PATIENCE_S) -> None:
        """Send them until there are no more, the other side ends it, or the time is over; what it says is read meanwhile."""
        deadline = time.monotonic() + seconds
        self.sock.setblocking(False)
        for piece in pieces:
            left = piece
            while left:
                patience = deadline - time.monotonic()
                if self.is_over or patience < 0:
                    return
                readable, writable = readiness(self.sock, min(patience, 1.0), reads=reads)
                if readable:
                    self.receive()
                elif writable:
                    try:
                        left = left[self.sock.send(left) :]
                    except BlockingIOError:
                        continue
                    except (BrokenPipeError, ConnectionResetError):
                        self.sock.settimeout(PATIENCE_S)
                        while self.receive():
                            pass
                        return
        self.sock.settimeout(PATIENCE_S)

    @property
    def reason(self) -> str:
        """What the other side's last GOAWAY says; empty: there was none."""
        return self.goaways[-1][2].decode() if self.goaways else ""


class GoodH2Client(GoodClient):
    """The good client, over HTTP/2: 20 requests on one connection, one at a time, then a new one."""

    def _ask(self, sock: socket.socket) -> None:
        talk = Talk()
        sock.sendall(frames.PREFACE + settings([]))
        for stream in range(1, 2 * self._per_connection, 2):
            began = time.monotonic()
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                sock.sendall(head(stream, GOOD))
            while stream not in talk.ended:
                try:
                    more = sock.recv(65_536)
                except ConnectionResetError:
                    more = b""
                assert more, f"the end after {talk}"
                talk.take(more)
                assert stream not in talk.resets, str(talk)
            self.seconds.append(time.monotonic() - began)
            assert talk.status(stream) == 200, str(talk)
            self.answered += 1
            if self._is_over.wait(self._pause_s):
                return


def many(frames_of: Iterator[bytes]) -> Iterator[bytes]:
    """Frames, joined to pieces."""
    piece: list[bytes] = []
    size = 0
    for each in frames_of:
        piece.append(each)
        size += len(each)
        if size >= PIECE:
            yield b"".join(piece)
            piece.clear()
            size = 0


def streams() -> Iterator[int]:
    return iter(range(1, 1 << 30, 2))


GET = encode(GOOD)
SLOW = encode([*GOOD[:2], (b":path", b"/slow?ms=30000"), GOOD[3]])  # still going on when the next frame comes
POST = encode([(b":method", b"POST"), *GOOD[1:2], (b":path", b"/echo"), GOOD[3]])


def get(stream: int, block: bytes = GET) -> bytes:
    return frame(HEADERS, END_STREAM | END_HEADERS, stream, block)


def post(stream: int) -> bytes:
    return frame(HEADERS, END_HEADERS, stream, POST)


def endless(piece: bytes, before: bytes = b"") -> Iterator[bytes]:
    yield before + piece
    whole = piece * max(1, PIECE // len(piece))
    yield from itertools.repeat(whole)


NEXT = encode([(b"x", b"y")])
MOST = frames.LARGEST_WINDOW


# Each by its name: a part of the reason for which it is ended, and what is sent.
FLOODS: dict[str, tuple[str, Callable[[], Iterator[bytes]]]] = {
    "rapid reset (CVE-2023-44487)": ("resets", lambda: many(get(n) + rst_stream(n, errors.CANCEL) for n in streams())),
    "made to reset by WINDOW_UPDATE 0 (CVE-2025-8671)": (
        "malformed",
        lambda: many(post(n) + window_update(n, 0) for n in streams()),
    ),
    "made to reset by a window too large": (
        "malformed",
        lambda: many(post(n) + window_update(n, MOST) + window_update(n, MOST) for n in streams()),
    ),
    "made to reset by HEADERS behind the end": ("malformed", lambda: many(get(n, SLOW) + get(n, SLOW) for n in streams())),
    "made to reset by DATA behind the end": (
        "malformed",
        lambda: many(get(n, SLOW) + frame(DATA, 0, n, b"x") for n in streams()),
    ),
    "made to reset by PRIORITY of 4 bytes": (
        "malformed",
        lambda: many(post(n) + frame(PRIORITY, 0, n, bytes(4)) for n in streams()),
    ),
    "made to reset by PRIORITY of itself": (
        "PRIORITY",
        lambda: many(frame(PRIORITY, 0, n, n.to_bytes(4, "big") + b"\x10") for n in streams()),
    ),
    "made to reset by a message": ("malformed", lambda: many(get(n, encode(GOOD[:2])) for n in streams())),
    "streams above the limit": ("streams above the limit", lambda: many(post(n) for n in streams())),
    "CONTINUATION (CVE-2024-27316)": (
        "too many frames",
        lambda: endless(frame(CONTINUATION, 0, 1, NEXT), frame(HEADERS, 1, 1, GET)),
    ),
    "empty CONTINUATION (netty CVE-2026-33871)": (
        "too many frames",
        lambda: endless(frame(CONTINUATION, 0, 1, b""), frame(HEADERS, 1, 1, GET)),
    ),
    "CONTINUATION of a refused stream": (
        "too many frames",
        lambda: endless(
            frame(CONTINUATION, 0, 203, NEXT), b"".join(post(2 * n + 1) for n in range(101)) + frame(HEADERS, 1, 203, GET)
        ),
    ),
    "an HPACK bomb (CVE-2016-6581)": (
        "far larger",
        lambda: many(
            frame(HEADERS, END_STREAM, n, GET + b"\x40\x01x\x7f\x81\x1e" + b"v" * 4000)
            + frame(CONTINUATION, END_HEADERS, n, b"\xbe" * 16_000)
            for n in streams()
        ),
    ),
    "cookies of a byte (CVE-2026-49975)": (
        "far larger",
        lambda: many(get(n, GET + b"\x60\x01a" + b"\xbe" * 4000) for n in streams()),
    ),
    "heads that are too large": (
        "too many of",
        lambda: many(get(n, GET + encode([(b"x", b"")] * 150)) for n in streams()),
    ),
    "SETTINGS (CVE-2019-9515)": ("SETTINGS", lambda: endless(settings([(frames.INITIAL_WINDOW_SIZE, 65_535)]))),
    "PING (CVE-2019-9512)": ("PING", lambda: endless(frame(PING, 0, 0, bytes(8)))),
    "empty DATA (CVE-2019-9518)": ("empty DATA", lambda: endless(frame(DATA, 0, 1, b""), post(1))),
    "PRIORITY (CVE-2019-9513)": ("PRIORITY", lambda: endless(frame(PRIORITY, 0, 1, bytes(5)))),
    "WINDOW_UPDATE by a byte": ("WINDOW_UPDATE", lambda: endless(window_update(1, 1), post(1))),
    "unknown frames": ("unknown", lambda: endless(frame(0x55, 0, 0, b""))),
    "frames 0x0a to 0x0f (CVE-2026-27141)": (
        "unknown",
        lambda: endless(b"".join(frame(kind, 0, 0, b"x") for kind in range(10, 16))),
    ),
}
