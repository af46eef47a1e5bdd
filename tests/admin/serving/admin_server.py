"""The admin server on a thread of its own, on the loop that control has, for clients that block."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvloop

from balance.admin.application import admin_app
from balance.admin.serving.server import AdminServer
from balance.admin.state_view import StateView
from balance.config.model import AdminTls


@contextmanager
def serving(view: StateView, tls: Callable[[], AdminTls] | None = None) -> Iterator[int]:
    """Its port."""
    sock = socket.create_server(("127.0.0.1", 0))
    loop = uvloop.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def start() -> AdminServer:
        server = AdminServer(admin_app(view, is_local_only=True), tls)
        server.start([sock.dup()], "an admin server under test")
        return server

    server = asyncio.run_coroutine_threadsafe(start(), loop).result(10)
    try:
        yield sock.getsockname()[1]
    finally:
        asyncio.run_coroutine_threadsafe(_end(server), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
        sock.close()


async def _end(server: AdminServer) -> None:
    """At once; how it ends in peace takes it 0.3 s."""
    for each in server.servers:
        each.close()
    for connection in list(server.server_state.connections):
        connection.transport.abort()
    assert server._task is not None
    server._task.cancel()
    await asyncio.sleep(0)


def connected(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=10)


def until_end(client: socket.socket) -> bytes:
    """All that comes until the connection ends, however it does."""
    received = b""
    try:
        while data := client.recv(65536):
            received += data
    except ConnectionError:
        pass
    return received
