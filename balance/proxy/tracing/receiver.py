"""A connection to a receiver of OTLP, opened when it is needed, and what the receiver answers."""

from __future__ import annotations

import asyncio
import ssl
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

from balance.tracing.endpoint import Endpoint
from balance.version import VERSION


class Answer(NamedTuple):
    """What became of one export."""

    is_taken: bool
    is_retryable: bool
    rejected: int = 0  # spans of those that were taken
    why: str = ""
    wait_s: float = 0.0  # for which the receiver asks


class ReceiverConnection(ABC):
    """Reads and writes are bounded in time by whoever exports."""

    def __init__(self, endpoint: Endpoint, headers: Sequence[tuple[str, str]]) -> None:
        self.endpoint = endpoint
        self.headers = tuple(headers)
        self.agent = f"balance/{VERSION}"
        self._context: ssl.SSLContext | None = None
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    @property
    def is_open(self) -> bool:
        """A connection is kept."""
        return self._streams is not None and not self._streams[1].transport.is_closing()

    @abstractmethod
    async def send(self, body: bytes) -> Answer:
        """Send an ExportTraceServiceRequest. OSError, EOFError or ProtocolError where there is no answer."""

    async def connection(self, alpn: tuple[str, ...] = ()) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """The connection that is kept, or a new one."""
        if self._streams is not None:
            if self.is_open and not self._streams[0].at_eof():
                return self._streams
            self.close()
        endpoint = self.endpoint
        if endpoint.is_secure and self._context is None:
            # It reads the system's trust store: some 20 ms, once.
            self._context = await asyncio.get_running_loop().run_in_executor(None, _context, alpn)
        self._streams = await asyncio.open_connection(
            endpoint.host,
            endpoint.port,
            ssl=self._context,
            server_hostname=endpoint.host if self._context is not None else None,
        )
        return self._streams

    def close(self) -> None:
        """Close the connection; the next export opens another one."""
        if self._streams is not None:
            self._streams[1].transport.abort()
            self._streams = None


def _context(alpn: tuple[str, ...]) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if alpn:
        context.set_alpn_protocols(list(alpn))
    return context
