"""The test backend's HTTP/1.1 server: connections, pipelining, flow control. `pages` has the responses.

Small but honest: bodies and replies stream, pipelined requests are answered in order, idle connections close.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from email.utils import formatdate
from typing import cast

import httptools

from balance.background_tasks import spawn
from balance.cli.test_backend.pages import MAX_BODY, Page, Request, Site
from balance.cli.test_backend.websocket_echo import WebSocketEcho, accept_key

MAX_PIPELINED = 16  # requests held while one is answered; more wait in the kernel
PIECE = bytes(64 * 1024)
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Connection(asyncio.Protocol):
    """One client. The method names from `on_message_begin` to `on_message_complete` are httptools'."""

    def __init__(self, site: Site, open_connections: set[Connection], keepalive_timeout_s: float) -> None:
        self._site = site
        self._open_connections = open_connections
        self._keepalive_timeout_s = keepalive_timeout_s
        self._parser = httptools.HttpRequestParser(self)
        self._request = Request()
        self._waiting: deque[Request] = deque()
        self._answering: asyncio.Task[None] | None = None
        self._is_writable = asyncio.Event()
        self._is_writable.set()
        self._idle_timer: asyncio.TimerHandle | None = None
        self._rest: bytes | None = None  # the bytes after an upgrade or error, where HTTP ends
        self._echo: WebSocketEcho | None = None

    # What the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but its class
        self._open_connections.add(self)
        self._arm_idle_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._open_connections.discard(self)
        self._disarm_idle_timer()
        if self._answering is not None:
            self._answering.cancel()

    def pause_writing(self) -> None:
        self._is_writable.clear()
        if self._echo is not None:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._is_writable.set()
        if self._echo is not None:
            self._transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        if self._echo is not None:
            self._say_back(data)
            return
        self._disarm_idle_timer()
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._rest = data[upgrade.args[0] :]
            self._transport.pause_reading()  # until the upgrade is answered, in its turn
        except httptools.HttpParserError as error:
            self._transport.pause_reading()
            self._rest = b""
            self._wait_for_answer(Request(refusal=f"not HTTP: {error}", is_keepalive=False))

    def close(self) -> None:
        self._transport.abort()

    # What the parser calls

    def on_message_begin(self) -> None:
        self._request = Request()

    def on_url(self, url: bytes) -> None:
        self._request.target += url.decode("latin-1")

    def on_header(self, name: bytes, value: bytes) -> None:
        self._request.headers.append((name.decode("latin-1"), value.decode("latin-1")))

    def on_headers_complete(self) -> None:
        request = self._request
        request.method = self._parser.get_method().decode("latin-1")
        request.is_keepalive = self._parser.should_keep_alive()
        request.is_upgrade = self._parser.should_upgrade()
        if request.header("expect").lower() == "100-continue" and not self._waiting and self._answering is None:
            self._transport.write(CONTINUE)

    def on_body(self, body: bytes) -> None:
        request = self._request
        request.body_size += len(body)
        if request.path == "/echo" and request.body_size <= MAX_BODY:
            request.body += body

    def on_message_complete(self) -> None:
        self._wait_for_answer(self._request)

    # Answers

    def _wait_for_answer(self, request: Request) -> None:
        self._waiting.append(request)
        if len(self._waiting) >= MAX_PIPELINED:
            self._transport.pause_reading()
        if self._answering is None:
            self._answering = spawn(self._answer_waiting(), "answering a client")

    async def _answer_waiting(self) -> None:
        while self._waiting:
            request = self._waiting.popleft()
            page = self._site.page(request, random.random())
            await asyncio.sleep(page.delay_s)
            if self._transport.is_closing():
                return
            if page.is_upgrade:
                self._become_websocket(request)
                return
            # The parser drops a body that follows a refused upgrade, so nothing after it can be trusted.
            is_last = request.is_upgrade or not request.is_keepalive or not self._keepalive_timeout_s
            self._write_page(page, is_head=request.method == "HEAD", is_last=is_last)
            if page.padding and request.method != "HEAD":
                await self._write_padding(page.padding)
            if is_last:
                self._transport.close()
                return
            if self._transport.is_closing():
                return
            if self._rest is None:
                self._transport.resume_reading()
        self._answering = None
        self._arm_idle_timer()

    def _write_page(self, page: Page, *, is_head: bool = False, is_last: bool = False) -> None:
        head = (
            f"HTTP/1.1 {page.status.value} {page.status.phrase}\r\n"
            f"Date: {formatdate(usegmt=True)}\r\n"
            f"Content-Type: {page.content_type}\r\n"
            f"Content-Length: {len(page.body) + page.padding}\r\n"
            f"X-Backend: {self._site.name}\r\n"
            f"Connection: {'close' if is_last else 'keep-alive'}\r\n"
            "\r\n"
        )
        self._transport.write(head.encode("latin-1") + (b"" if is_head else page.body))

    async def _write_padding(self, size: int) -> None:
        while size and not self._transport.is_closing():
            await self._is_writable.wait()
            await asyncio.sleep(0)  # the event does not wait while it is set: let other connections in
            piece = PIECE[:size]
            self._transport.write(piece)
            size -= len(piece)

    def _become_websocket(self, request: Request) -> None:
        accept = accept_key(request.header("sec-websocket-key").encode("latin-1")).decode()
        head = (
            "HTTP/1.1 101 Switching Protocols\r\n"
            "Upgrade: websocket\r\n"
            "Connection: Upgrade\r\n"
            f"Sec-WebSocket-Accept: {accept}\r\n"
            f"X-Backend: {self._site.name}\r\n"
            "\r\n"
        )
        self._transport.write(head.encode("latin-1"))
        self._echo = WebSocketEcho()
        self._transport.resume_reading()
        self._say_back(self._rest or b"")

    def _say_back(self, data: bytes) -> None:
        assert self._echo is not None
        reply = self._echo.feed(data)
        if reply and not self._transport.is_closing():
            self._transport.write(reply)
        if self._echo.is_closed:
            self._transport.close()

    # An idle connection

    def _arm_idle_timer(self) -> None:
        if self._keepalive_timeout_s:
            loop = asyncio.get_running_loop()
            self._idle_timer = loop.call_later(self._keepalive_timeout_s, self._transport.close)

    def _disarm_idle_timer(self) -> None:
        if self._idle_timer is not None:
            self._idle_timer.cancel()
            self._idle_timer = None


async def listen(site: Site, host: str, port: int, keepalive_timeout_s: float) -> tuple[asyncio.Server, set[Connection]]:
    """Start serving. The set has the open connections, to close them at the end."""
    open_connections: set[Connection] = set()
    server = await asyncio.get_running_loop().create_server(
        lambda: Connection(site, open_connections, keepalive_timeout_s), host, port, backlog=1024
    )
    return server, open_connections
