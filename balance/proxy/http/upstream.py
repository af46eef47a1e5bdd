"""A connection to a backend in HTTP mode, and the rules by which it waits for its next request (RFC 9112 section 9).

The idle-close race is met from four sides: a parked connection is watched and dropped at its end or at any byte, it is parked
for less time than the backend keeps it, the newest is taken first, and a request that dies on one is tried again where that is
safe.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, cast

from balance.proxy.listener_settings import ListenerSettings
from balance.proxy.net.backpressure import Backpressure
from balance.proxy.net.sockets import is_silent, read_now, unsent
from balance.proxy.worker_context import WorkerContext
from balance.runtime.backend import Backend

if TYPE_CHECKING:
    from balance.proxy.http.connection_auth import ConnectionAuth
    from balance.proxy.http.exchange import Exchange


class Upstream(Backpressure):
    """Serves one exchange at a time. `exchange` is None while it is parked."""

    __slots__ = ("_is_counted", "_unsent", "backend", "connect_s", "early", "exchange", "is_full", "is_lost", "owner",
                 "parked_at", "parking", "served", "worker")  # fmt: skip

    def __init__(self, worker: WorkerContext, backend: Backend) -> None:
        Backpressure.__init__(self)
        self.worker = worker
        self.backend = backend
        self.connect_s = time.monotonic()  # since when; from opened() on, how long it took (uvloop makes us as it begins)
        self.exchange: Exchange | None = None
        self.parking = backend.idle  # where it is parked
        self.owner: ConnectionAuth | None = None  # the one client that it serves
        self.served = 0  # requests that were sent on it
        self.parked_at = 0.0
        self.early = b""  # what it said before its first request was sent
        self.is_lost = False
        self.is_full = False  # it takes no more for now
        self._unsent: int | None = None  # when last asked, in this exchange
        self._is_counted = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def opened(self) -> None:
        """The dial has succeeded. Not known in connection_made(): uvloop ends a dial that is given up later without a word."""
        self._is_counted = True
        self.connect_s = time.monotonic() - self.connect_s
        self.backend.open_count += 1

    def data_received(self, data: bytes) -> None:
        exchange = self.exchange
        if exchange is not None:
            exchange.response_received(data)
        elif not self.served and not self.parked_at:
            self.early += data  # whoever has dialled will send at this loop's next turn
            self.pause()
        else:
            # RFC 9112 section 9.2: bytes that answer nothing are never taken for a reply; they poison response queues.
            self.discard()

    def eof_received(self) -> bool:
        if self.exchange is not None:
            self.exchange.upstream_ended(None)
        else:
            self._closed_while_parked()
        return False  # closes the transport

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_lost = True
        if self._is_counted:
            self.backend.open_count -= 1
            self.worker.descriptors.upstreams -= 1
        exchange = self.exchange
        if exchange is None:
            self._closed_while_parked()
        elif exc is None:
            exchange.upstream_ended(None)
        elif isinstance(exc, OSError):
            self._read_the_rest()
            if self.exchange is not None:  # what was read did not end it
                self.exchange.upstream_ended(exc)
        else:
            exchange.crashed()

    def pause_writing(self) -> None:
        self.is_full = True
        self._unsent = unsent(self.transport)
        if self.exchange is not None:
            self.exchange.pause_upload()

    def resume_writing(self) -> None:
        self.is_full = False
        if self.exchange is not None:
            self.exchange.resume_upload()

    def send_request(self, exchange: Exchange, head: bytes, body: bytes) -> None:
        """Send a request's head, and what there is of its body; the reply is `exchange`'s."""
        self.exchange = exchange
        self.served += 1
        self.transport.write(head + body if body else head)

    def send_body(self, data: bytes) -> bool:
        """More of it. False when the connection is closing, and its end is about to be heard of."""
        if self.transport.is_closing():
            return False
        self.transport.write(data)
        return True

    def park(self, now: float, settings: ListenerSettings) -> None:
        """Wait for the next request, unless that would be one too many, enough others wait already or we are draining."""
        self.exchange = None
        parking = self.parking
        if (
            self.served >= settings.max_requests
            or (len(parking) >= settings.max_idle and self.owner is None)
            or self.worker.is_draining
        ):
            self.discard()
            return
        if self.is_paused:
            if self.early:  # it has spoken, and nobody has asked
                self.discard()
                return
            self.resume()
        self.parked_at = now
        self._unsent = None
        parking.append(self)

    def discard(self) -> None:
        """Close; nothing more is expected of it."""
        self.exchange = None
        self._leave_park()
        if not self.transport.is_closing():
            self.transport.abort()

    def has_taken_some(self) -> bool:
        """Whether the backend took any of its request since last asked; the first time, whether any waits."""
        before, self._unsent = self._unsent, unsent(self.transport)
        return self._unsent > 0 if before is None else self._unsent < before

    def is_silent(self) -> bool:
        """Whether nothing has come, not even an end: asked before a request that could not be sent twice."""
        return is_silent(self.transport)

    def has_read_request(self, exc: Exception | None) -> bool:
        """After an end without a reply: whether the backend had the request before it closed.

        An end, and no reset, says that it had read all that its kernel had; nothing unacknowledged, that this was all of it.
        """
        return exc is None and not unsent(self.transport)

    def _read_the_rest(self) -> None:
        """A backend that refuses an upload replies and closes. When a write meets the close first, uvloop reads no more; the
        reply is there all the same (Linux keeps what came before a reset), and says more than our 502."""
        while self.exchange is not None and (data := read_now(self.transport)):
            self.exchange.response_received(data)
        if self.parked_at:
            self.discard()

    def _closed_while_parked(self) -> None:
        """The backend closed it: learn how long it keeps an idle connection."""
        was_parked = self.parked_at
        if was_parked:
            now = time.monotonic()
            self.backend.idle_time.closed_after(now - was_parked, now)
        self._leave_park()
        if was_parked and self.owner is not None:
            self.owner.closed_by_backend()

    def _leave_park(self) -> None:
        if self.parked_at:
            self.parked_at = 0.0
            if self in self.parking:
                self.parking.remove(self)
