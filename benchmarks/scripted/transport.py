"""In-memory transports that discard what is written, and the event loop that connects them."""

from __future__ import annotations

import functools
import socket
from collections.abc import Callable
from typing import Any, cast


@functools.cache
def quiet_sockets() -> tuple[socket.socket, socket.socket]:
    """A connection on which nothing ever comes: what the path asks a socket, it asks a real one."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        here = socket.create_connection(server.getsockname())
        there, _ = server.accept()
    return here, there


class Nowhere:
    """A connection's transport. Counts what is written; a close is only remembered."""

    def __init__(self) -> None:
        self.protocol: Any = None
        self.writes = 0
        self.size = 0  # bytes written
        self.last: bytes = b""
        self._is_closing = False

    def write(self, data: bytes) -> None:
        self.writes += 1
        self.size += len(data)
        self.last = data

    def writelines(self, parts: list[bytes]) -> None:
        self.write(b"".join(parts))

    def is_closing(self) -> bool:
        return self._is_closing

    def close(self) -> None:
        self._is_closing = True

    def abort(self) -> None:
        self._is_closing = True

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        pass

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return 0

    def set_protocol(self, protocol: object) -> None:
        self.protocol = protocol

    def get_extra_info(self, name: str, default: object = None) -> object:
        if name == "socket":
            return quiet_sockets()[0]
        return ("127.0.0.1", 50000) if name == "peername" else default


def connected(protocol: Any) -> Nowhere:
    """A connection that `protocol` speaks on."""
    transport = Nowhere()
    transport.set_protocol(protocol)
    protocol.connection_made(cast(Any, transport))
    return transport


class NowhereLoop:
    """As much of an event loop as the path asks for a connection to a backend, which is there at once. `loop` is the rest."""

    def __init__(self, loop: Any) -> None:
        self.create_future = loop.create_future
        self.call_soon = loop.call_soon
        self.create_task = loop.create_task
        self.dialled: list[Any] = []  # the protocols of connections that were made

    async def create_connection(self, factory: Callable[[], Any], *_: object, **__: object) -> tuple[Nowhere, Any]:
        protocol = factory()
        self.dialled.append(protocol)
        return connected(protocol), protocol
