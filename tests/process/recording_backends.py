"""Backends that record every request, so that lost and duplicated requests are known."""

from __future__ import annotations

import asyncio
import base64
import collections
import hashlib
import re

PIECE = bytes(range(256)) * 256
_LENGTH = re.compile(rb"(?i)\r\ncontent-length: (\d+)")
_KEY = re.compile(rb"(?i)\r\nsec-websocket-key: *(\S+)")
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 section 1.3


def content(start: int, size: int) -> bytes:
    """What stands at these bytes of every download: a piece out of place would show."""
    offset = start % len(PIECE)
    return (PIECE[offset:] + PIECE * (size // len(PIECE) + 1))[:size]


class Recorder:
    """What all backends have seen: (method, id) -> how often."""

    def __init__(self) -> None:
        self.seen: collections.Counter[tuple[str, str]] = collections.Counter()
        self.by_backend: collections.Counter[str] = collections.Counter()
        self.servers: list[asyncio.Server] = []

    async def open(self, name: str) -> str:
        """One more backend; returns its address."""
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Backend(self, name), "127.0.0.1", 0, backlog=1024)
        self.servers.append(server)
        return f"127.0.0.1:{server.sockets[0].getsockname()[1]}"

    def close(self) -> None:
        for server in self.servers:
            server.close()


class Backend(asyncio.Protocol):
    """`/r/ID` is recorded and answered with ID, after 30 ms where ID ends in `w`; `/download/SIZE` is as it says; `/ws`
    is a WebSocket that echoes. Connections stay open."""

    def __init__(self, recorder: Recorder, name: str) -> None:
        self._recorder = recorder
        self._name = name
        self._buffer = b""
        self._is_websocket = False
        self._left = 0  # bytes of a download
        self._sent = 0
        self._is_full = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport) or hasattr(transport, "write")
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]

    def pause_writing(self) -> None:
        self._is_full = True

    def resume_writing(self) -> None:
        self._is_full = False
        self._send_more()

    def eof_received(self) -> bool:
        return False

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if self._is_websocket:
            self._echo()
            return
        while b"\r\n\r\n" in self._buffer and not self._is_websocket:
            head, _, rest = self._buffer.partition(b"\r\n\r\n")
            length = _LENGTH.search(head)
            size = int(length[1]) if length else 0
            if len(rest) < size:
                return
            self._buffer = rest[size:]
            self._answer(head)

    def _answer(self, head: bytes) -> None:
        method, target = head.decode("latin-1").split(" ", 2)[:2]
        self._recorder.by_backend[self._name] += 1
        _, kind, argument, *_ = [*target.split("/"), "", ""]
        if kind == "r":
            self._recorder.seen[method, argument] += 1
            if argument.endswith("w"):
                asyncio.get_running_loop().call_later(0.03, self._reply, argument)
            else:
                self._reply(argument)
        elif kind == "download":
            self._left = int(argument)
            self._sent = 0
            self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % self._left)
            self._send_more()
        elif key := _KEY.search(head):
            accept = base64.b64encode(hashlib.sha1(key[1] + _GUID).digest())
            upgrade = b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " + accept
            self.transport.write(b"HTTP/1.1 101 Switching Protocols\r\n" + upgrade + b"\r\n\r\n")
            self._is_websocket = True
            self._echo()
        else:
            self._reply("")

    def _reply(self, text: str) -> None:
        if not self.transport.is_closing():
            body = text.encode()
            self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    def _send_more(self) -> None:
        while self._left and not self._is_full and not self.transport.is_closing():
            piece = content(self._sent, min(self._left, 32 * 1024))
            self._left -= len(piece)
            self._sent += len(piece)
            self.transport.write(piece)

    def _echo(self) -> None:
        """Small frames of a client (RFC 6455 section 5.2), said back unmasked."""
        data = self._buffer
        while len(data) >= 6 and len(data) >= 6 + (data[1] & 0x7F):
            size = data[1] & 0x7F
            assert data[1] & 0x80 and size < 126
            payload = bytes(byte ^ data[2 + index % 4] for index, byte in enumerate(data[6 : 6 + size]))
            self.transport.write(data[:1] + bytes((size,)) + payload)
            if data[0] & 0x0F == 0x8:
                self.transport.close()
            data = data[6 + size :]
        self._buffer = data
