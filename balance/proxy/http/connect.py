"""How a request finds a connection: a leased backend, then a parked connection or a dial.

Knows nothing of what is sent or comes back, nor of what may be tried again.
"""

from __future__ import annotations

import asyncio
import enum
from abc import abstractmethod
from time import monotonic
from typing import Protocol

from balance.background_tasks import spawn
from balance.errors import UpstreamError
from balance.http1.forwarding.forwarded_headers import ClientView
from balance.http1.hash_key import KeyOf
from balance.http1.head import Request
from balance.model import TryPhase, Why
from balance.proxy.access_log import AccessRecord
from balance.proxy.http.upstream import Upstream
from balance.proxy.listener_settings import ListenerSettings
from balance.proxy.net.dial import dial
from balance.proxy.net.timer_wheel import NEVER
from balance.runtime import counters
from balance.runtime.backend import Backend, IdleTime, Parked
from balance.runtime.lease import Lease

NOT_YET_S = IdleTime.TOO_SOON_S / 2  # no limit on parking is ever shorter, so it need not be asked for

IDEMPOTENT = frozenset((b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE"))  # RFC 9110 section 9.2.2


class At(enum.IntEnum):
    """Where an exchange is."""

    CHOSEN = 0  # a backend is being chosen or dialled
    SENT = 1  # the head has gone out; the reply's head is awaited
    REPLYING = 2  # the reply's head has gone to the client
    ENDED = 3


CHOSEN, SENT, REPLYING, ENDED = At  # a global is ten times cheaper to look up than an Enum's member


class Client(Protocol):
    """What an exchange asks of the connection that it serves."""

    tied: list[Parked]
    transport: asyncio.Transport
    peer: str
    before_host: bytes
    after_host: bytes
    is_trusted: bool
    is_write_paused: bool

    def arm(self, now: float, timeout_s: float) -> None: ...
    def has_taken_some(self) -> bool: ...
    def own_host(self) -> bytes: ...
    def has_left(self) -> bool: ...
    def give_up(self) -> None: ...
    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...
    def exchange_ended(self, now: float, *, keep_alive: bool) -> None: ...
    def error_page(self, status: int, why: Why, detail: str, *, keep_alive: bool) -> bytes: ...
    def answer(self, page: bytes, *, keep_alive: bool) -> None: ...
    def break_off(self, *, with_reset: bool, at_once: bool) -> None: ...
    def tie(self, upstream: Upstream) -> None: ...
    def become_tunnel(self, upstream: Upstream, lease: Lease, early: bytes, story: AccessRecord | None) -> None: ...


class Attempts:
    """The part of an exchange that looks for a connection. choose() begins; _send(), _not_connected() or _nobody() follows."""

    # Set by Exchange.__init__ for all its parts: a constructor of its own for each would cost every request 0.1 us.
    __slots__ = (
        "_at",
        "_attempts",
        "_connected_at",
        "_is_reused",
        "_lease",
        "_tried",
        "_upstream",
        "client",
        "request",
        "settings",
        "started",
        "view",
    )  # fmt: skip
    client: Client
    settings: ListenerSettings
    request: Request
    started: float
    _at: At
    _attempts: int
    _connected_at: float  # when this try's head was sent; 0 before
    _lease: Lease | None
    _upstream: Upstream | None
    _is_reused: bool
    _tried: list[Backend] | tuple[()]
    view: ClientView  # where the client is a trusted proxy; set by _request_head()

    @property
    def backend(self) -> Backend | None:
        """The one that it is with."""
        return self._lease.backend if self._lease is not None else None

    @abstractmethod
    def _send(self, upstream: Upstream, now: float) -> None:
        """Here is a connection."""

    @abstractmethod
    def _hasten(self, lease: Lease) -> None:
        """The request was sent on a connection that took time to make."""

    @abstractmethod
    def _not_connected(self, error: UpstreamError) -> None:
        """A dial has failed, and `_lease` is still held."""

    @abstractmethod
    def _nobody(self, failed: UpstreamError | None) -> None:
        """There is no backend to be had, after that failure if there was one."""

    @abstractmethod
    def upstream_ended(self, exc: Exception | None) -> None:
        """The connection is gone already."""

    @abstractmethod
    def crashed(self) -> None:
        """A bug in our own code."""

    @abstractmethod
    def response_received(self, data: bytes) -> None: ...

    @abstractmethod
    def pause_upload(self) -> None: ...

    @abstractmethod
    def resume_upload(self) -> None: ...

    def choose(self, now: float, failed: UpstreamError | None = None, lease: Lease | None = None) -> None:
        """Lease a backend, if there is no `lease` yet, and send, on a parked connection or a new one."""
        if lease is None:
            pool = self.settings.pool
            lease = pool.acquire(b"" if pool.key_of is None else self._key(pool.key_of), now, self._tried)
            if lease is None and failed is not None and failed.phase is TryPhase.CONNECT:
                lease = pool.spare(now, self._tried)
            if lease is None:
                self._nobody(failed)
                return
        self._lease = lease
        self._attempts += 1
        upstream = self._parked(lease.backend, now)
        if upstream is None:
            self._dial(lease)
        else:
            self._is_reused = True
            self._send(upstream, now)

    def _key(self, key_of: KeyOf) -> bytes:
        """What the pool's policy hashes of this request."""
        fields, peer = self.request.fields, self.client.peer
        if self.client.is_trusted:
            peer = self.view.address
        return key_of(fields, self.request.target, peer)

    def _parked(self, backend: Backend, now: float) -> Upstream | None:
        """The newest parked connection that can be trusted with this request."""
        idle = backend.idle
        while idle:
            upstream: Upstream = idle.pop()  # type: ignore[assignment]  # nobody else parks there
            idle_s = now - upstream.parked_at
            is_stale = (idle_s > NOT_YET_S and idle_s > backend.idle_time.limit_s(now)) or upstream.transport.is_closing()
            if not is_stale and (self.request.method in IDEMPOTENT or upstream.is_silent()):
                upstream.parked_at = 0.0
                return upstream
            upstream.discard()
        return None

    def _dial(self, lease: Lease) -> None:
        self._is_reused = False
        self._connected_at = 0.0
        self.client.arm(monotonic(), NEVER)  # the dial keeps its own time
        self.settings.worker.row.cells[lease.backend.block + counters.CONNECTS] += 1
        spawn(self._connect(lease), "dial")

    def _connected_by(self, upstream: Upstream, lease: Lease) -> None:
        """Send, on a connection that is new."""
        if upstream.is_lost:  # gone between its connect and now
            self._not_connected(UpstreamError(TryPhase.CONNECT, Why.CONNECT_FAILED, "it was closed as soon as it was made"))
            return
        self._send(upstream, monotonic())
        self._hasten(lease)
        # A write that has failed just now is told by connection_lost(), which reads first what the backend has said.
        if upstream.early and upstream.exchange is self:
            # It spoke before it was asked: the reply of one that takes no more connections. It may answer the request too, so
            # this is the last on this connection, whatever `max_requests` says.
            upstream.served = self.settings.max_requests - 1
            early, upstream.early = upstream.early, b""
            upstream.resume()
            self.response_received(early)

    async def _connect(self, lease: Lease) -> None:
        settings, backend = self.settings, lease.backend
        worker = settings.worker
        worker.descriptors.dialling()
        try:
            upstream = await dial(
                worker.loop,
                worker.resolver,
                backend.address,
                lambda: Upstream(worker, backend),
                settings.connect_s,
            )
        except UpstreamError as error:
            worker.descriptors.upstreams -= 1
            worker.row.cells[backend.block + counters.CONNECT_FAILURES] += 1
            if error.is_ours:
                worker.dial_failed_here(error)
            self._connected(lease, error)
        else:
            upstream.opened()
            self._connected(lease, upstream)

    def _connected(self, lease: Lease, result: Upstream | UpstreamError) -> None:
        """A dial has ended."""
        try:
            if self._at is not CHOSEN or self._lease is not lease:  # the client has gone meanwhile; the next one may want it
                if isinstance(result, Upstream):
                    result.park(monotonic(), self.settings.max_idle)
            elif isinstance(result, UpstreamError):
                self._not_connected(result)
            else:
                self._connected_by(result, lease)
        except Exception:
            self.crashed()
            if isinstance(result, Upstream):
                result.discard()
            raise
