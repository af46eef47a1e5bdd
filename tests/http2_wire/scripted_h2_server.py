"""A backend of HTTP/2 that answers each target with the bytes that a test gives it, right or wrong."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable

import hpack
from threaded_server import ThreadedServer

from balance.http2 import frames
from balance.http2.frames import ACK, END_HEADERS, END_STREAM, HEADERS, PADDED, PING, PREFACE, SETTINGS, frame
from balance.http2.hpack.field_encoder import encode


def data_frame(stream: int, content: bytes, *, ends: bool) -> bytes:
    return frame(frames.DATA, END_STREAM if ends else 0, stream, content)


def answer(stream: int, content: bytes) -> bytes:
    """A whole one that is right."""
    return frame(HEADERS, END_HEADERS, stream, encode([(b":status", b"200")])) + data_frame(stream, content, ends=True)


class ScriptedH2Server(ThreadedServer):
    """`scripts`: by target, what is written for a stream's whole request; others are answered with their target."""

    def __init__(self) -> None:
        self.scripts: dict[bytes, Callable[[int], bytes]] = {}
        self.targets: list[bytes] = []
        self.opening = frames.settings([])  # what each connection begins with
        ThreadedServer.__init__(self)  # last, as it serves from then on

    def serve(self, sock: socket.socket, number: int) -> None:
        reader = sock.makefile("rb")
        decoder = hpack.Decoder()
        targets: dict[int, bytes] = {}
        with contextlib.suppress(OSError, ValueError), sock, reader:
            if reader.read(len(PREFACE)) != PREFACE:
                return
            sock.sendall(self.opening)
            while len(start := reader.read(9)) == 9:
                payload = reader.read(int.from_bytes(start[:3], "big"))
                kind, flags, stream = start[3], start[4], int.from_bytes(start[5:9], "big")
                if kind == SETTINGS and not flags & ACK:
                    sock.sendall(frames.SETTINGS_ACK)
                elif kind == PING and not flags & ACK:
                    sock.sendall(frame(PING, ACK, 0, payload))
                elif kind == HEADERS:
                    assert flags & END_HEADERS and not flags & PADDED
                    found = dict(decoder.decode(payload, raw=True))
                    targets.setdefault(stream, bytes(found.get(b":path", b"")))
                if kind in (frames.DATA, HEADERS) and flags & END_STREAM:
                    target = targets[stream]
                    self.targets.append(target)
                    script = self.scripts.get(target)
                    sock.sendall(script(stream) if script is not None else answer(stream, target))
