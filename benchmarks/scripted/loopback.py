"""A listener on the loopback with one backend: connections of the kernel's, accepted on an event loop as a worker does it.

Whoever is at both far ends is this process, too, and asks its sockets only for what the kernel has at once.
"""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Callable
from time import monotonic
from typing import TypeVar

from balance.config.loading import load_text
from balance.proxy.acceptor import Acceptor
from balance.proxy.clients import Clients
from balance.proxy.worker_context import WorkerContext
from balance.runtime import counters
from balance.runtime.health_gate import Shared
from balance.runtime.row import Row
from balance.runtime.snapshot import backend_slots, build

T = TypeVar("T")

MOST_TURNS = 1000
HTTP_LOOPBACK = """\
mode: http
listen: "127.0.0.1:8080"
backends:
  - name: a
    address: "127.0.0.1:{port}"
"""
TCP_LOOPBACK = HTTP_LOOPBACK.replace("mode: http", "mode: tcp")


class Loopback:
    """Built from a configuration whose backend is at `{port}`."""

    def __init__(self, text: str) -> None:
        import uvloop

        self.loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
        self._backend = _listening()
        self._backend.listen(16)
        config = load_text(text.format(port=self._backend.getsockname()[1]), "scripted").config
        slots = backend_slots(config)
        row = Row(memoryview(bytearray(8 * counters.row_cells(1 + len(slots)))).cast("Q"))
        snapshot = build(config, slots, row, random.random)
        self.worker = WorkerContext(self.loop, row, monotonic(), None)
        listener = snapshot.listeners[0]
        clients = Clients(self.worker, listener.name, listener.slot, Shared.with_nobody(row.cells))
        self._listening = _listening()
        Acceptor(self.worker, self._listening, listener, clients).open()

    def client(self) -> socket.socket:
        """A new connection, which waits to be accepted."""
        client = socket.create_connection(self._listening.getsockname())
        client.setblocking(False)
        return client

    async def backend(self) -> socket.socket:
        """The next connection to the backend."""
        backend = await self._turn(lambda: self._backend.accept()[0])
        backend.setblocking(False)
        return backend

    async def received(self, sock: socket.socket) -> bytes:
        """What comes next; nothing at its end."""
        return await self._turn(lambda: sock.recv(1 << 16))

    async def _turn(self, ask: Callable[[], T]) -> T:
        for _ in range(MOST_TURNS):
            await asyncio.sleep(0)
            try:
                return ask()
            except BlockingIOError:
                pass
        raise RuntimeError("nothing comes")


def _listening() -> socket.socket:
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    sock.setblocking(False)
    return sock
