"""A connection to a backend in HTTP mode, and the rules for parking it (RFC 9112 section 9).

A backend may close an idle connection just as a request is sent on it. Four measures against this race: a parked connection is
read and dropped at its end or at any byte, it is parked for less time than the backend keeps it, the newest is taken first, and
a request that fails on one is sent again where that is safe.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, cast

from balance.proxy.http.ends.message_writer import JOIN_LIMIT
from balance.proxy.listener_settings import ListenerSettings
from balance.proxy.net.backpressure import Backpressure
from balance.proxy.net.sockets import is_silent, read_now, unsent
from balance.proxy.worker_context import WorkerContext
from balance.runtime.backend import Backend

if TYPE_CHECKING:
    from balance.proxy.http.connection_auth import ConnectionAuth
    from balance.proxy.http.exchange.exchange import Exchange


class Upstream(Backpressure):
    """Serves one exchange at a time; `exchange` is None while it is dialled or parked."""

    __slots__ = ("_is_counted", "_unsent", "backend", "connect_s", "early", "exchange", "is_full", "is_lost", "is_shared",
                 "last_head", "owner", "parked_at", "parking", "served", "worker")  # fmt: skip

    def __init__(self, worker: WorkerContext, backend: Backend) -> None:
        Backpressure.__init__(self)
        self.worker = worker
        self.backend = backend
        # The start of the dial, as uvloop makes its protocol then; from opened() on, its duration in seconds.
        self.connect_s = time.monotonic()
        self.exchange: Exchange | None = None
        self.parking = backend.idle  # the list that it is parked in
        self.owner: ConnectionAuth | None = None  # set when reserved for one client
        self.served = 0  # requests sent on it
        self.parked_at = 0.0
        self.last_head = b""  # of the last reply that was not long
        self.early = b""  # bytes received before its first request was sent
        self.is_lost = False
        self.is_shared = False  # a stream of a connection that other requests use, too
        self.is_full = False  # the write buffer is above its high-water mark
        self._unsent: int | None = None  # bytes at the last look in this exchange
        self._is_counted = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def opened(self) -> None:
        """The dial has succeeded: count the connection.

        Not done in connection_made(): after it, uvloop may still drop a cancelled dial without calling connection_lost().
        """
        self._is_counted = True
        self.connect_s = time.monotonic() - self.connect_s
        self.backend.open_count += 1

    def data_received(self, data: bytes) -> None:
        exchange = self.exchange
        if exchange is not None:
            exchange.response_received(data)
        elif not self.served and not self.parked_at:
            self.early += data  # the exchange that dialled sends at the next turn of the event loop
            self.pause()
        else:
            # RFC 9112 section 9.2: bytes without a request are never taken for a reply (response queue poisoning).
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
            if self.exchange is not None:  # the bytes read did not end it
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

    def send_request(self, exchange: Exchange, head: bytes, body: bytes | memoryview) -> None:
        """Send a request's head and the available part of its body; the reply goes to `exchange`."""
        self.exchange = exchange
        self.served += 1
        if len(body) <= JOIN_LIMIT:
            self.transport.write(head + body if body else head)
        else:
            self.transport.writelines((head, body))

    def send_body(self, data: bytes) -> bool:
        """Send more of the body. False when the connection is closing; connection_lost() follows."""
        if self.transport.is_closing():
            return False
        self.transport.write(data)
        return True

    def park(self, now: float, settings: ListenerSettings) -> None:
        """Park, or close at the limits `max_requests` (requests served) and `max_idle` (upstreams parked), or in a drain."""
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
            if self.early:  # bytes that no request has asked for
                self.discard()
                return
            self.resume()
        self.parked_at = now
        self._unsent = None
        parking.append(self)

    def discard(self) -> None:
        """Close now and leave the parked list; no exchange is told."""
        self.exchange = None
        self._leave_park()
        if not self.transport.is_closing():
            self.transport.abort()

    def has_taken_some(self) -> bool:
        """Whether the backend has taken bytes of its request since the last call; at the first call, whether any are unsent."""
        before, self._unsent = self._unsent, unsent(self.transport)
        return self._unsent > 0 if before is None else self._unsent < before

    def is_silent(self) -> bool:
        """Whether nothing is readable, not even an end. Checked before a request that may not be sent twice."""
        return is_silent(self.transport)

    def has_read_request(self, exc: Exception | None) -> bool:
        """After an end without a reply: whether the backend read the request before it closed.

        An end without a reset means that it read all that its kernel had received; no unacknowledged bytes mean that its kernel
        had received all of the request.
        """
        return exc is None and not unsent(self.transport)

    def _read_the_rest(self) -> None:
        """Read what arrived before a write failed.

        A backend that refuses an upload replies and closes. When a write fails first, uvloop stops reading; the reply can still
        be read (Linux keeps what came before a reset), and tells the client more than our 502.
        """
        while self.exchange is not None and (data := read_now(self.transport)):
            self.exchange.response_received(data)
        if self.parked_at:
            self.discard()

    def _closed_while_parked(self) -> None:
        """The backend closed it without an exchange: if it was parked, record how long the backend keeps idle connections."""
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
