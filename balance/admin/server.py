"""The HTTP server of the admin API: uvicorn on control's event loop, with limits, without its own signal handlers and logs."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import uvicorn
from starlette.applications import Starlette
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from balance.admin.events.stream import ABORT
from balance.background_tasks import spawn

MAX_CONNECTIONS = 128  # the next one gets a 503
KEEPALIVE_S = 15  # as long as Prometheus' usual scrape interval, so that a scraper keeps its connection
HEAD_TIMEOUT_S = 10.0  # for a whole head; else silent clients could use up MAX_CONNECTIONS
BACKLOG = 128


class _HeadTimeoutProtocol(HttpToolsProtocol):
    """Closes a connection whose request head does not arrive in time; uvicorn has no such timeout."""

    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._start_head_timer()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._start_head_timer()

    def on_headers_complete(self) -> None:
        self._cancel_head_timer()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._cancel_head_timer()
        super().connection_lost(exc)

    def _start_head_timer(self) -> None:
        if self._timer is None:
            self._timer = self.loop.call_later(HEAD_TIMEOUT_S, self.transport.close)

    def _cancel_head_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class AdminServer(uvicorn.Server):
    """One application on listening sockets."""

    def __init__(self, app: Starlette) -> None:
        super().__init__(
            uvicorn.Config(
                _with_abort_extension(app),
                http=_HeadTimeoutProtocol,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                backlog=BACKLOG,
                limit_concurrency=MAX_CONNECTIONS,
                timeout_keep_alive=KEEPALIVE_S,
                timeout_graceful_shutdown=1,
            )
        )
        self._task: asyncio.Task[None] | None = None

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Disabled: the supervisor handles signals; uvicorn's handlers would stop the loop."""
        yield

    def start(self, sockets: list[socket.socket], name: str) -> None:
        """Serve until stop()."""
        self._task = spawn(self.serve(sockets), name)

    async def stop(self) -> None:
        """Accept no more, finish the responses under way, then close."""
        self.should_exit = True
        for server in getattr(self, "servers", ()):  # uvicorn looks ten times a second; meanwhile another may accept there
            server.close()
        if self._task is not None:
            await asyncio.wait([self._task])


def _with_abort_extension(app: ASGIApp) -> ASGIApp:
    """An ASGI extension that aborts the connection: a close would wait until the client has read everything."""

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        cycle = getattr(send, "__self__", None)  # uvicorn's request cycle
        if cycle is not None:
            scope.setdefault("extensions", {})[ABORT] = cycle.transport.abort
        await app(scope, receive, send)

    return call
