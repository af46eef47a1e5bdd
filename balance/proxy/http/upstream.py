"""A connection to a backend in HTTP mode, and the rules by which it waits for its next request (RFC 9112 section 9).

The idle-close race is met from four sides: a parked connection is watched and dropped at its end or at any byte, it is parked
for less time than the backend keeps it, the newest is taken first, and a request that dies on one is tried again where that is
safe.
"""

from __future__ import annotations

import asyncio
import time
from typing import Protocol, cast

from balance.proxy.net.backpressure import Backpressure
from balance.proxy.net.sockets import is_silent, read_now, unsent
from balance.proxy.worker_context import WorkerContext
from balance.runtime.backend import Backend


class Exchanging(Protocol):
    """Who waits for the reply."""

    def response_received(self, data: bytes) -> None: ...

    def upstream_ended(self, exc: Exception | None) -> None:
        """No more will come: an end (None) or a reset."""

    def crashed(self) -> None:
        """A bug in our own code, on the way of what the backend sent."""

    def pause_upload(self) -> None:
        """The backend can't take more of the request's body."""

    def resume_upload(self) -> None: ...


class Owner(Protocol):
    """The client of a connection that is authenticated for it."""

    def tie_ended(self) -> None:
        """The backend has closed it while it was parked."""


class Upstream(Backpressure, asyncio.Protocol):
    """Serves one exchange at a time. `exchange` is None while it is parked."""

    __slots__ = ("_is_counted", "_unsent", "backend", "connect_s", "early", "exchange", "home", "is_full", "is_lost",
                 "owner", "parked_at", "served", "worker")  # fmt: skip

    def __init__(self, worker: WorkerContext, backend: Backend) -> None:
        super().__init__()
        self.worker = worker
        self.backend = backend
        self.connect_s = time.monotonic()  # since when; from opened() on, how long it took (uvloop makes us as it begins)
        self.exchange: Exchanging | None = None
        self.home = backend.idle  # where it is parked
        self.owner: Owner | None = None  # the one client that it serves
        self.served = 0  # exchanges that ended well on it
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
        if self.exchange is None:
            self._closed_while_parked()
        elif exc is None:
            self.exchange.upstream_ended(None)
        elif isinstance(exc, OSError):
            self._read_the_rest()
            if self.exchange is not None:
                self.exchange.upstream_ended(exc)
        else:
            self.exchange.crashed()

    def pause_writing(self) -> None:
        self.is_full = True
        self._unsent = unsent(self.transport)
        if self.exchange is not None:
            self.exchange.pause_upload()

    def resume_writing(self) -> None:
        self.is_full = False
        if self.exchange is not None:
            self.exchange.resume_upload()

    def park(self, now: float, limit: int) -> None:
        """Wait for the next request, unless `limit` others wait already or we are draining."""
        self.exchange = None
        idle = self.home
        if (len(idle) >= limit and self.owner is None) or self.worker.is_draining:
            self.discard()
            return
        if self.is_paused:
            if self.early:  # it has spoken, and nobody has asked
                self.discard()
                return
            self.resume()
        self.parked_at = now
        self._unsent = None
        idle.append(self)

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

    def has_been_heard(self, exc: Exception | None) -> bool:
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
            self.owner.tie_ended()

    def _leave_park(self) -> None:
        if self.parked_at:
            self.parked_at = 0.0
            if self in self.home:
                self.home.remove(self)
