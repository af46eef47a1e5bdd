"""One raw connection of a test, at either side of the proxy: every byte, end and reset under the test's control."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from dataclasses import dataclass, field

RESET = struct.pack("ii", 1, 0)
NO_BODY = (204, 304)


@dataclass
class Message:
    """A request or a reply as it came: nothing is joined, decoded or corrected but the chunks."""

    line: str
    fields: list[tuple[str, str]]
    body: bytes = b""
    trailers: list[tuple[str, str]] = field(default_factory=list)
    raw: bytes = b""  # the head

    @property
    def status(self) -> int:
        return int(self.line.split(" ")[1])

    @property
    def target(self) -> str:
        return self.line.split(" ")[1]

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.fields if key.lower() == name]

    def get(self, name: str) -> str | None:
        """The value of the one field of that name, in lower case; None when there is none."""
        values = self.all(name)
        assert len(values) <= 1, values
        return values[0] if values else None


class Ended(Exception):
    """The other side closed within a message; `part` is what came of it."""

    def __init__(self, part: bytes) -> None:
        super().__init__(part[-200:])
        self.part = part


class Wire:
    """Bytes over one non-blocking socket. Reading raises ConnectionResetError at a reset."""

    def __init__(self, sock: socket.socket, number: int = 0) -> None:
        sock.setblocking(False)
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = sock
        self.number = number  # of the connection at its backend, from 0
        self.unread = b""
        self.seen = 0  # bytes

    async def send(self, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self.sock, data)

    def send_now(self, data: bytes) -> None:
        """Without giving the loop a turn."""
        assert self.sock.send(data) == len(data)

    async def some(self, at_most: int = 1 << 16) -> bytes:
        """What is there, or b"" at the end."""
        if self.unread:
            data, self.unread = self.unread[:at_most], self.unread[at_most:]
            return data
        data = await asyncio.get_running_loop().sock_recv(self.sock, at_most)
        self.seen += len(data)
        return data

    async def until(self, mark: bytes) -> bytes:
        """Up to and with `mark`."""
        data = b""
        while (end := data.find(mark)) < 0:
            more = await self.some()
            if not more:
                raise Ended(data)
            data += more
        end += len(mark)
        self.unread = data[end:] + self.unread
        return data[:end]

    async def exactly(self, size: int) -> bytes:
        parts = []
        left = size
        while left:
            more = await self.some(min(left, 1 << 18))
            if not more:
                raise Ended(b"".join(parts))
            parts.append(more)
            left -= len(more)
        return b"".join(parts)

    async def rest(self) -> bytes:
        """All until the other side ends."""
        parts = []
        while more := await self.some(1 << 18):
            parts.append(more)
        return b"".join(parts)

    async def ending(self) -> str:
        """How the other side ends, with nothing said before: `eof` or `reset`."""
        try:
            rest = await self.rest()
        except ConnectionResetError:
            return "reset"
        assert rest == b""
        return "eof"

    async def has_ended(self) -> None:
        """Read whatever comes until the other side is gone, by an end or a reset."""
        with contextlib.suppress(ConnectionError):
            await self.rest()

    def half_close(self) -> None:
        self.sock.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self.sock.close()

    def reset(self) -> None:
        if self.sock.fileno() >= 0:
            with contextlib.suppress(OSError):
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            self.sock.close()

    # --- HTTP -----------------------------------------------------------------------------------------

    async def head(self) -> Message | None:
        """A head, or None at an end where one could begin."""
        try:
            raw = await self.until(b"\r\n\r\n")
        except Ended as ended:
            if not ended.part:
                return None
            raise
        line, *rest = raw[:-4].decode("latin-1").split("\r\n")
        return Message(line, [_field(text) for text in rest], raw=raw)

    async def request(self) -> Message | None:
        """A whole request, or None when the other side has ended."""
        message = await self.head()
        if message is not None:
            await self.body(message)
        return message

    async def reply(self, method: str = "GET") -> Message:
        """A whole reply, an interim one included."""
        message = await self.head()
        if message is None:
            raise Ended(b"")
        if method != "HEAD" and message.status >= 200 and message.status not in NO_BODY:
            await self.body(message, is_reply=True)
        return message

    async def body(self, message: Message, *, is_reply: bool = False) -> None:
        length = message.get("content-length")
        coding = message.get("transfer-encoding")
        assert length is None or coding is None
        if coding is not None:
            assert coding == "chunked"
            await self._chunks(message)
        elif length is not None:
            message.body = await self.exactly(int(length))
        elif is_reply:
            assert message.get("connection") == "close"
            message.body = await self.rest()

    async def _chunks(self, message: Message) -> None:
        parts = []
        while size := int((await self.until(b"\r\n"))[:-2], 16):
            parts.append(await self.exactly(size))
            assert await self.exactly(2) == b"\r\n"
        message.body = b"".join(parts)
        while line := (await self.until(b"\r\n"))[:-2]:
            message.trailers.append(_field(line.decode("latin-1")))


def _field(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    assert colon, text
    return name, value.strip()


def ok(body: bytes = b"ok", *fields: str) -> bytes:
    """A 200 with its length."""
    lines = ["HTTP/1.1 200 OK", f"Content-Length: {len(body)}", *fields]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def get(target: str = "/", *fields: str) -> bytes:
    """A GET of HTTP/1.1."""
    return "\r\n".join([f"GET {target} HTTP/1.1", "Host: a.example", *fields]).encode() + b"\r\n\r\n"


def post(body: bytes, *fields: str, target: str = "/") -> bytes:
    """A POST with its length."""
    lines = [f"POST {target} HTTP/1.1", "Host: a.example", f"Content-Length: {len(body)}", *fields]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def chunked(*parts: bytes, trailers: bytes = b"") -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n" + trailers + b"\r\n"
