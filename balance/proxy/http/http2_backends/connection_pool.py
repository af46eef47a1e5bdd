"""The connections of HTTP/2 to one backend, in one worker: which one a request gets, and when another is dialled.

A request goes to the connection with the fewest streams. Only where none has room there is a dial, and requests wait for one
that is under way as long as its connection will have room for them: a hundred requests at the start make one connection. Its
failure is the failure of each that waits for it.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from time import monotonic
from typing import Final, cast

from balance.background_tasks import spawn
from balance.errors import UpstreamError
from balance.http1.head import Request
from balance.model import BACKEND_TLS, TryPhase, Why
from balance.proxy.http.http2_backends.upstream_connection import STREAMS, UpstreamConnection
from balance.proxy.http.tls_upstream import TlsUpstream
from balance.proxy.http.upstream import Upstream
from balance.proxy.net.dial import dial
from balance.proxy.warning_throttle import RequestIds
from balance.proxy.worker_context import WorkerContext
from balance.runtime import counters
from balance.runtime.backend import Backend
from balance.tls.backend_context import UpstreamTls

ROUNDS: Final = 4  # dials that one request waits for, as others may have taken the room that there was

_ENDED: Final = UpstreamError(TryPhase.CONNECT, Why.CONNECT_FAILED, "it was closed as soon as it was made")


def is_for_http1(request: Request) -> bool:
    """Whether it is one for HTTP/1.1: an upgrade (RFC 9113 section 8.6), or credentials that are a connection's (RFC 4559)."""
    return bool(request.fields.upgrade) or request.fields.has_connection_auth


def is_only_http1(request: Request) -> bool:
    """Whether it makes no sense without: a server may ignore other upgrades (RFC 9110 section 7.8), but not a WebSocket's."""
    return request.fields.has_connection_auth or b"websocket" in request.fields.upgrade.lower()


class ConnectionPool:
    """Replaced when the backend's protocol or TLS changes; see Backend.shared."""

    __slots__ = ("_connections", "_dials", "_is_auto", "_tls", "_waiting", "_worker", "backend", "is_retired", "streams")

    def __init__(self, worker: WorkerContext, backend: Backend) -> None:
        self._worker = worker
        self.backend = backend
        self._tls = backend.tls
        self._is_auto = backend.protocol == "auto"
        self._connections: list[UpstreamConnection] = []
        self._waiting: deque[asyncio.Future[Upstream | UpstreamError | None]] = deque()  # requests that wait for a dial
        self._dials = 0  # under way
        self.streams = STREAMS  # that a new connection is expected to take; 1 where the backend has chosen HTTP/1.1
        self.is_retired = False

    def retire(self) -> None:
        """Use no connection for requests that come. Those under way end, and each connection with its last."""
        self.is_retired = True

    def lose(self, connection: UpstreamConnection) -> None:
        """A connection has ended, or takes no more."""
        if connection in self._connections:
            self._connections.remove(connection)

    def allows(self, streams: int) -> int:
        """The backend's settings say how many streams a connection may have; how many it gets."""
        most = min(streams, STREAMS)
        self.streams = max(1, most)
        return most

    def take(self, now: float, *, is_safe: bool) -> Upstream | None:
        """A stream of the connection with the fewest, or None where no connection has room. `is_safe`: the request may be sent
        twice.
        """
        while True:
            found: UpstreamConnection | None = None
            for connection in self._connections:
                if connection.has_room and (found is None or connection.load < found.load):
                    found = connection
            if found is None:
                return None
            if found.is_fit(now, is_safe=is_safe):
                return found.use()
            found.discard()

    async def connect(
        self, request: Request, timeout_s: float, ids: RequestIds, *, is_safe: bool, needs_http1: bool
    ) -> Upstream | UpstreamError:
        """An upstream on a new connection, or on one that has got room meanwhile; or why there is none."""
        if needs_http1 or (is_for_http1(request) and (self._is_auto or is_only_http1(request))):
            return await self._dial_http1(timeout_s, ids)
        for _ in range(ROUNDS):
            upstream = self.take(monotonic(), is_safe=is_safe)
            if upstream is not None:
                return upstream
            waiter: asyncio.Future[Upstream | UpstreamError | None] = self._worker.loop.create_future()
            self._waiting.append(waiter)
            self._dial_enough(timeout_s, ids)
            result = await waiter
            if result is not None:
                return result
        return UpstreamError(TryPhase.CONNECT, Why.CONNECT_FAILED, "its connections take no requests")

    # --- dials ---------------------------------------------------------------------------------------------

    def _dial_enough(self, timeout_s: float, ids: RequestIds) -> None:
        while len(self._waiting) > self._dials * self.streams:
            self._dials += 1
            spawn(self._dial(timeout_s, ids), "dial")

    async def _dial(self, timeout_s: float, ids: RequestIds) -> None:
        result: UpstreamConnection | Upstream | UpstreamError = _ENDED
        try:
            result = await self._open(timeout_s, ids)
        finally:
            self._dials -= 1
            self._dialled(result)
            self._dial_enough(timeout_s, ids)

    def _dialled(self, result: UpstreamConnection | Upstream | UpstreamError) -> None:
        """Wake those that it was for."""
        if isinstance(result, UpstreamError):
            left = self._dials * self.streams  # who waits for others
            while len(self._waiting) > left:
                self._waiting.popleft().set_result(result)
        elif isinstance(result, Upstream):
            self.streams = 1
            if self._waiting:
                self._waiting.popleft().set_result(result)
            else:
                result.discard()
        else:
            self._connections.append(result)
            for _ in range(min(self.streams, len(self._waiting))):
                self._waiting.popleft().set_result(None)
            self._worker.loop.call_soon(result.rest_if_unused)  # after those that it was for

    async def _dial_http1(self, timeout_s: float, ids: RequestIds) -> Upstream | UpstreamError:
        tls = None if self._tls is None else self._tls.for_http1
        if tls is None:
            return UpstreamError(TryPhase.CONNECT, Why.NEEDS_HTTP1, "it speaks HTTP/2 alone", is_ours=True)
        result = await self._open(timeout_s, ids, tls)
        return result if isinstance(result, Upstream | UpstreamError) else _ENDED

    async def _open(
        self, timeout_s: float, ids: RequestIds, tls: UpstreamTls | None = None
    ) -> UpstreamConnection | Upstream | UpstreamError:
        """Dial, and count it. `tls`: another than the backend's."""
        worker, backend = self._worker, self.backend
        tls = tls or self._tls
        worker.row.cells[backend.block + counters.CONNECTS] += 1
        worker.descriptors.dialling()
        opening = _Opening(self, worker, backend, tls)
        try:
            await dial(worker.loop, worker.resolver, backend.address, opening.again, timeout_s, tls)
            made = opening.made
            if made is None:
                raise UpstreamError(TryPhase.CONNECT, Why.BACKEND_TLS_PROTOCOL, "it does not choose HTTP/2 by ALPN")
        except UpstreamError as error:
            opening.close()
            worker.descriptors.upstreams -= 1
            worker.row.cells[backend.block + counters.CONNECT_FAILURES] += 1
            if error.is_ours:
                worker.dial_failed_here(error, ids)
            elif error.why in BACKEND_TLS:
                worker.handshake_failed(backend, error, ids)
            return error
        made.opened()
        if made.is_lost:
            return _ENDED
        if isinstance(made, Upstream) and self.is_retired:
            made.parking = []
        return made


class _Opening:
    """The protocol of a connection until it is known which one was chosen."""

    __slots__ = ("_backend", "_pool", "_tls", "_transport", "_worker", "made")

    def __init__(self, pool: ConnectionPool, worker: WorkerContext, backend: Backend, tls: UpstreamTls | None) -> None:
        self._pool = pool
        self._worker = worker
        self._backend = backend
        self._tls = tls
        self._transport: asyncio.Transport | None = None
        self.made: UpstreamConnection | Upstream | None = None

    def again(self) -> _Opening:
        """Itself, for the next address that is tried."""
        return self

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        tls, chosen = self._tls, "h2"
        if tls is not None:
            secured = transport.get_extra_info("ssl_object")
            chosen = (secured.selected_alpn_protocol() or "") if isinstance(secured, ssl.SSLObject) else ""
        made: UpstreamConnection | Upstream
        if chosen == "h2":
            made = UpstreamConnection(self._pool, self._worker, self._backend, tls)
        elif tls is not None and self._backend.protocol == "auto":
            made = TlsUpstream(self._worker, self._backend, tls)
        else:
            return
        self.made = made
        transport.set_protocol(cast(asyncio.BaseProtocol, made))
        made.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Of a connection that nobody wants."""

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Likewise."""

    def close(self) -> None:
        """The dial has failed."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.abort()
