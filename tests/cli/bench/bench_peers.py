"""What the connections of a load are told and asked, without sockets; and servers for loads with them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic_ns

from balance.cli.bench.connection import UNLIMITED, Connection

WAITED_NS = 50_000_000


class FakeTransport:
    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.is_closed = self.is_aborted = False

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def close(self) -> None:
        self.is_closed = True

    def abort(self) -> None:
        self.is_aborted = True


class FakeOwner:
    def __init__(self) -> None:
        self.joins = self.answers = 0
        self.losses: list[str] = []

    def joined(self, connection: Connection) -> None:
        self.joins += 1

    def answered(self, connection: Connection, now: int) -> None:
        self.answers += 1

    def lost(self, connection: Connection, kind: str) -> None:
        self.losses.append(kind)


def asked(connection: Connection, budget: int = 0) -> FakeTransport:
    """The connection with a request sent over it that was planned WAITED_NS ago, and `budget` more to follow."""
    transport = FakeTransport()
    connection.connection_made(transport)  # type: ignore[arg-type]
    connection._shared.budget = min(budget, UNLIMITED)
    connection.send(monotonic_ns() - WAITED_NS)
    return transport


class Server(asyncio.Protocol):
    """Answers each chunk by what `answer` makes of it: bytes; None closes; a number of seconds waits before an echo."""

    def __init__(self, answer: Callable[[bytes], bytes | float | None]) -> None:
        self._answer = answer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport) or hasattr(transport, "write")
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        answer = self._answer(data)
        if answer is None:
            self._transport.close()
        elif isinstance(answer, bytes):
            self._transport.write(answer)  # type: ignore[attr-defined]
        else:
            asyncio.get_running_loop().call_later(answer, self._later, data)

    def _later(self, data: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(data)  # type: ignore[attr-defined]
