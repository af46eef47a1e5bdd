"""The HTTP server of the admin API: uvicorn on control's event loop, with acceptors of its own and without signal handlers."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import OrderedDict
from collections.abc import Callable, Iterator

import uvicorn
from starlette.applications import Starlette

from balance.admin.serving.acceptor import Acceptor
from balance.admin.serving.connection import AdminConnection
from balance.admin.serving.tls_handshake import TlsSource
from balance.background_tasks import spawn
from balance.config.model import AdminTls

MAX_CONNECTIONS = 128  # beyond it the one is closed that has been idle for longest; where none is, a request gets a 503
KEEPALIVE_S = 15  # as long as Prometheus' usual scrape interval, so that a scraper keeps its connection


class AdminServer(uvicorn.Server):
    """One application on listening sockets."""

    def __init__(self, app: Starlette, tls: Callable[[], AdminTls] | None = None) -> None:
        """`tls` says what is spoken to whoever connects next; None: plain HTTP."""
        super().__init__(
            uvicorn.Config(
                app,
                http=AdminConnection,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                limit_concurrency=MAX_CONNECTIONS,
                timeout_keep_alive=KEEPALIVE_S,
                timeout_graceful_shutdown=1,
            )
        )
        self._task: asyncio.Task[None] | None = None
        self._end_streams: Callable[[], None] | None = getattr(app.state, "end_streams", None)
        self._tls = TlsSource(tls) if tls is not None else None

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Disabled: the supervisor handles signals; uvicorn's handlers would stop the loop."""
        yield

    def start(self, sockets: list[socket.socket], name: str) -> None:
        """Serve until stop()."""
        self._task = spawn(self.serve(sockets), name)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept: in place of uvicorn's own, which counts a TLS client after its handshake alone."""
        await self.lifespan.startup()
        idle: OrderedDict[AdminConnection, None] = OrderedDict()

        def make_connection() -> AdminConnection:
            return AdminConnection(self.config, self.server_state, self.lifespan.state, MAX_CONNECTIONS - 1, idle)

        self.servers = [Acceptor(sock, make_connection, self._tls) for sock in sockets or ()]  # type: ignore[misc]
        self.started = True

    async def stop(self) -> None:
        """Accept no more, finish the responses under way, then close."""
        self.should_exit = True
        if self._end_streams is not None:
            self._end_streams()  # those that read them are told, and come again
        for server in getattr(self, "servers", ()):  # uvicorn looks ten times a second; meanwhile another may accept there
            server.close()
        if self._task is not None:
            await asyncio.wait([self._task])
