"""A server that gives each connection the next of its replies, byte for byte: for answers that no good server gives."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

Say = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
CLOSE = b"\xff\xfeclose"  # behind it nothing is said any more, and the connection is closed
RESET = b"\xff\xfereset"
HANG = b"\xff\xfehang"  # nothing is said any more, and the connection stays


def reply(status: str, body: bytes = b"", *lines: str) -> bytes:
    """A whole reply."""
    head = "\r\n".join([f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *lines, "", ""])
    return head.encode() + body


class ScriptedServer:
    """`replies` in their order, the last one again and again; each is a list of pieces. `asked` has the heads of requests."""

    def __init__(self, *replies: bytes | Sequence[bytes], tls: ssl.SSLContext | None = None) -> None:
        self.replies = [[each] if isinstance(each, bytes) else list(each) for each in replies]
        self.asked: list[str] = []
        self.port = 0
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._writers: list[asyncio.StreamWriter] = []

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    async def __aenter__(self) -> ScriptedServer:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: Any) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            pieces = self.replies[min(len(self.asked), len(self.replies) - 1)]
            self.asked.append(head.decode())
            for piece in pieces:
                if piece == RESET:
                    writer.transport.abort()
                    return
                if piece == CLOSE:
                    break
                if piece == HANG:
                    await asyncio.sleep(3600)
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0)
            writer.close()
        except (OSError, asyncio.IncompleteReadError):
            writer.transport.abort()
