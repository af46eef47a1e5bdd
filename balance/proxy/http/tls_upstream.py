"""A connection to a backend with TLS in HTTP mode: what differs from a plain one.

Its end counts only with a close_notify: a FIN may come from anybody on the way, so what it ends was broken off (RFC 8446
section 6.1). With TLS 1.3 a backend refuses our certificate after the request was sent.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import Final

from balance.proxy.http.upstream import Upstream
from balance.proxy.listener_settings import ListenerSettings
from balance.proxy.net.sockets import read_at_once
from balance.proxy.worker_context import WorkerContext
from balance.runtime import counters
from balance.runtime.backend import Backend
from balance.tls.backend_context import UpstreamTls
from balance.tls.backend_failure import late_refusal

# In place of the error of a connection that has ended without a close_notify. One object, known by identity: compiled classes
# can't inherit from it.
_TRUNCATED: Final = ConnectionResetError("it ended without a close_notify")


class TlsUpstream(Upstream):
    """Made with `tls`, its backend's at that time."""

    __slots__ = ("_has_ended", "_tls")

    def __init__(self, worker: WorkerContext, backend: Backend, tls: UpstreamTls) -> None:
        Upstream.__init__(self, worker, backend)
        self._tls = tls
        self._has_ended = False  # by a close_notify

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        Upstream.connection_made(self, transport)
        read_at_once(transport)

    def eof_received(self) -> bool:
        self._has_ended = True
        return Upstream.eof_received(self)

    def connection_lost(self, exc: Exception | None) -> None:
        exchange = self.exchange
        if exchange is not None and self.served == 1 and (refused := late_refusal(exc)) is not None:
            self._tls.forget()
            self.worker.row.cells[self.backend.block + counters.CONNECT_FAILURES] += 1
            exchange.upstream_refused(refused)
        if not self._has_ended and (exc is None or isinstance(exc, BrokenPipeError)):
            exc = _TRUNCATED
        Upstream.connection_lost(self, exc)

    def park(self, now: float, settings: ListenerSettings) -> None:
        if self.served == 1 and not self.transport.is_closing():
            made = self.transport.get_extra_info("ssl_object")
            if isinstance(made, ssl.SSLObject):
                self._tls.remember(made)  # with TLS 1.3 a ticket comes after the handshake
        Upstream.park(self, now, settings)

    def discard(self) -> None:
        """Close now. What was parked is closed with a close_notify, as the backend may log its lack."""
        if self.parked_at and not self.transport.is_closing():
            self.exchange = None
            self._leave_park()
            self.transport.close()
        else:
            Upstream.discard(self)

    def has_read_request(self, exc: Exception | None) -> bool:
        return Upstream.has_read_request(self, None if exc is _TRUNCATED else exc)
