"""`balance backend --echo`: sends back whatever comes, over plain TCP, as `tcp-bench` asks for."""

from __future__ import annotations

import asyncio
from typing import cast


class TcpEcho(asyncio.Protocol):
    """One client. It is read no faster than it reads."""

    def __init__(self, open_connections: set[TcpEcho]) -> None:
        self._open_connections = open_connections

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but its class
        self._open_connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._open_connections.discard(self)

    def data_received(self, data: bytes) -> None:
        self._transport.write(data)

    def pause_writing(self) -> None:
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._transport.resume_reading()

    def close(self) -> None:
        self._transport.close()
