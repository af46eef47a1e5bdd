"""Asks an HTTP/1.1 server, plain, over TLS or over a Unix socket. Everything has a deadline and a bound in bytes.

A request has a connection of its own: the servers asked so answer after minutes, or for minutes, and a connection that is not
kept can't be a stale one. Redirects are not followed, as what is sent may be a secret; nothing is tried again.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from balance.discovery.server_url import parse_server_url
from balance.errors import BalanceError, ProtocolError
from balance.http1.reply_feed import ReplyFeed
from balance.model import Address
from balance.probes.result import failure_reason, seconds
from balance.tls.backend_context import backend_context
from balance.tls.pem_loading import TlsError
from balance.tls.settings import BackendTls
from balance.version import VERSION

CONNECT_S: Final = 5.0  # for the name, the connection and the TLS handshake together
READ_BYTES: Final = 64 * 1024
Fields = Sequence[tuple[str, str]]


class ClientError(BalanceError):
    """There is no answer, or none that can be read: why, in one plain line without secrets."""


class Reply(NamedTuple):
    """A whole reply. The fields' names are in lower case."""

    status: int
    fields: Mapping[str, str]
    body: bytes


class Server(NamedTuple):
    """Where requests go. `context`: over TLS, and how it is verified."""

    address: Address
    authority: str
    prefix: str = ""  # before each target
    context: ssl.SSLContext | None = None
    server_name: str = ""  # that its certificate has to have; "": the address's host


def server_of(url: str, context: ssl.SSLContext | None = None, server_name: str = "") -> Server:
    """The server at a URL. ValueError. `context` is for https, and only for that."""
    found = parse_server_url(url)
    return Server(found.address, found.authority, found.prefix, context if found.is_secure else None, server_name)


def tls_context(tls: BackendTls) -> ssl.SSLContext:
    """A context that verifies. ClientError."""
    try:
        return backend_context(tls)
    except TlsError as error:
        raise ClientError(f"TLS can't be prepared: {error}") from None


class Stream:
    """A reply whose content is read as it comes."""

    def __init__(self, reader: asyncio.StreamReader, feed: ReplyFeed, content: bytes) -> None:
        self._reader = reader
        self._feed = feed
        self._content = content

    @property
    def status(self) -> int:
        return self._feed.status

    @property
    def fields(self) -> dict[str, str]:
        """By names in lower case."""
        return self._feed.fields()

    async def read(self, within_s: float) -> bytes:
        """The next content, b"" at its end. ClientError when it breaks off; TimeoutError when nothing comes for so long."""
        if self._content:
            content, self._content = self._content, b""
            return content
        async with asyncio.timeout(within_s):
            while not self._feed.is_complete:
                data = await _received(self._reader)
                if not data:
                    self._feed.end()
                    if not self._feed.is_complete:
                        raise ClientError("its answer breaks off")
                elif content := _content(self._feed, data):
                    return content
        return b""

    async def read_all(self, max_bytes: int) -> bytes:
        """All of it. ClientError when it is longer; its time is bounded by whoever calls."""
        content = bytearray()
        while piece := await self.read(3600.0):
            content += piece
            if len(content) > max_bytes:
                raise ClientError(f"its answer is longer than {max_bytes // 1024} KB")
        return bytes(content)


class HttpClient:
    """Requests to one server."""

    def __init__(self, server: Server) -> None:
        self.server = server

    async def request(
        self, method: str, target: str, fields: Fields = (), body: bytes = b"", *, within_s: float, max_bytes: int
    ) -> Reply:
        """Ask, and read the whole reply. ClientError."""
        try:
            async with asyncio.timeout(within_s), self.stream(method, target, fields, body, head_s=within_s) as stream:
                return Reply(stream.status, stream.fields, await stream.read_all(max_bytes))
        except TimeoutError:
            raise ClientError(f"no answer within {seconds(within_s)}") from None

    @contextlib.asynccontextmanager
    async def stream(
        self, method: str, target: str, fields: Fields = (), body: bytes = b"", *, head_s: float
    ) -> AsyncIterator[Stream]:
        """Ask, and wait so long for the head of the reply; the connection is closed at the end of the block. ClientError."""
        writer: asyncio.StreamWriter | None = None
        within_s = CONNECT_S
        try:
            async with asyncio.timeout(CONNECT_S):
                reader, writer = await self._connect()
            within_s = head_s
            async with asyncio.timeout(head_s):
                writer.write(self._head(method, target, fields, body) + body)
                await writer.drain()
                feed, content = await _head_of_reply(method, reader)
        except OSError as error:
            raise ClientError(failure_reason(error, self.server.address, within_s)) from None
        else:
            yield Stream(reader, feed, content)
        finally:
            if writer is not None:
                writer.transport.abort()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        server = self.server
        address = server.address
        secured: dict[str, Any] = {}
        if server.context is not None:
            secured = {"ssl": server.context, "server_hostname": server.server_name or address.host}
        if address.is_unix:
            return await asyncio.open_unix_connection(address.path)
        reader, writer = await asyncio.open_connection(address.host, address.port, **secured)
        sock = writer.get_extra_info("socket")
        for option, value in _KEEP_ALIVE:
            sock.setsockopt(*option, value)
        return reader, writer

    def _head(self, method: str, target: str, fields: Fields, body: bytes) -> bytes:
        lines = [
            f"{method} {self.server.prefix}{target} HTTP/1.1",
            f"Host: {self.server.authority}",
            f"User-Agent: balance/{VERSION}",
            "Accept-Encoding: identity",
            "Connection: close",
            *((f"Content-Length: {len(body)}",) if body or method not in ("GET", "HEAD") else ()),
            *(f"{name}: {value}" for name, value in fields),
        ]
        head = "\r\n".join(lines)
        if (
            head.count("\n") != len(lines) - 1
            or head.count("\r") != len(lines) - 1
            or "\0" in head
            or " " in self.server.prefix + target
        ):
            raise ClientError("what is to be sent has a line break or another character that a request can't have")
        return (head + "\r\n\r\n").encode("latin-1", "replace")


# A peer that has vanished behind a silent connection is seen after a minute, whatever the deadlines of the answer.
_KEEP_ALIVE: Final = (
    ((socket.SOL_SOCKET, socket.SO_KEEPALIVE), 1),
    ((socket.IPPROTO_TCP, socket.TCP_KEEPIDLE), 30),
    ((socket.IPPROTO_TCP, socket.TCP_KEEPINTVL), 10),
    ((socket.IPPROTO_TCP, socket.TCP_KEEPCNT), 3),
)


async def _head_of_reply(method: str, reader: asyncio.StreamReader) -> tuple[ReplyFeed, bytes]:
    """The reply up to its head, and the content that came with it."""
    feed = ReplyFeed(method, is_tolerant=True)
    while feed.response is None:
        data = await _received(reader)
        if not data:
            raise ClientError("it closes the connection without an answer")
        content = _content(feed, data)
    if feed.status == 101:
        raise ClientError("it switches protocols unasked")
    if feed.fields().get("content-encoding", "identity").lower() != "identity":
        raise ClientError("its answer is compressed, which nobody has asked for")
    return feed, content


async def _received(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read(READ_BYTES)
    except TimeoutError:
        raise
    except OSError as error:
        raise ClientError(f"its answer breaks off: {error.strerror or error}".lower()) from None


def _content(feed: ReplyFeed, data: bytes) -> bytes:
    try:
        return feed.feed(data)
    except ProtocolError as error:
        raise ClientError(f"its answer is not HTTP that can be read: {error.detail}") from None
