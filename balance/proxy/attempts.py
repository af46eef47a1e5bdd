"""How a request finds a connection: a leased backend, a parked connection or a dial, the next backend, a fresh connection.

Knows what may be tried again and what not (RFC 9110 section 9.2.2); nothing of what is sent or comes back.
"""

from __future__ import annotations

import asyncio
import enum
from abc import abstractmethod
from time import monotonic
from typing import Protocol

from balance.aio import spawn
from balance.errors import UpstreamError
from balance.http1.forward import client_address
from balance.http1.hashkey import KeyOf
from balance.http1.head import Request
from balance.model import Outcome, Why
from balance.proxy.access import AccessRecord
from balance.proxy.dial import dial
from balance.proxy.entry import Entry
from balance.proxy.upstream import Upstream
from balance.proxy.wheel import NEVER
from balance.runtime import cells
from balance.runtime.backend import Backend, IdleTime
from balance.runtime.pool import Lease

UNREACHABLE = "the backend could not be reached"
FULL = "every backend has as many requests as it may have"
MAX_ATTEMPTS = 3  # HAProxy's `retries 3`
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

    transport: asyncio.Transport
    peer: str
    before_host: bytes
    after_host: bytes
    is_trusted: bool
    is_write_paused: bool

    def arm(self, now: float, timeout_s: float) -> None: ...
    def has_taken_some(self) -> bool: ...
    def has_left(self) -> bool: ...
    def give_up(self) -> None: ...
    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...
    def exchange_ended(self, now: float, *, keep_alive: bool) -> None: ...
    def error_page(self, status: int, why: Why, detail: str, *, keep_alive: bool) -> bytes: ...
    def answer(self, page: bytes, *, keep_alive: bool) -> None: ...
    def break_off(self, *, with_reset: bool) -> None: ...
    def become_tunnel(self, upstream: Upstream, lease: Lease, early: bytes, story: AccessRecord | None) -> None: ...


class Attempts:
    """The half of an exchange that looks for a connection. `choose()` begins; it ends in _send() or _fail()."""

    __slots__ = ("_at", "_attempts", "_is_reused", "_lease", "_tried", "_upstream", "_waited_s",
                 "client", "entry", "held", "request", "started")  # fmt: skip

    def __init__(self, client: Client, entry: Entry, request: Request) -> None:
        self.client = client
        self.entry = entry
        self.request = request
        self.started = monotonic()
        self._at = CHOSEN
        self._attempts = 0
        self._lease: Lease | None = None
        self._upstream: Upstream | None = None
        self._is_reused = False
        self._tried: list[Backend] | tuple[()] = ()
        self.held: list[bytes] | None = None  # of the body, until there is a connection for it
        self._waited_s = 0.0  # in the pool's queue

    @abstractmethod
    def _send(self, upstream: Upstream, now: float) -> None:
        """Here is a connection."""

    @abstractmethod
    def _fail(self, status: int, why: Why, detail: str, outcome: Outcome) -> None:
        """There is none to be had."""

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
            pool = self.entry.pool
            lease = pool.acquire(b"" if pool.key_of is None else self._key(pool.key_of), now, self._tried)
            if lease is None:
                self._find_nobody(now, failed)
                return
        self._lease = lease
        self._attempts += 1
        upstream = self._parked(lease.backend, now)
        if upstream is None:
            self._dial(lease)
        else:
            self._is_reused = True
            self._send(upstream, now)

    def _find_nobody(self, now: float, failed: UpstreamError | None) -> None:
        """Wait where that may help, else say why there is nobody."""
        pool = self.entry.pool
        if pool.queue is not None and pool.may_wait(self._tried) and pool.queue.join(self, now):
            self.client.arm(now, NEVER)  # the queue keeps its own time
        elif failed is not None:  # it says more than that nobody else is there
            self._fail(_status_of(failed), failed.why, UNREACHABLE, Outcome.ABORTED)
        else:
            why = pool.why_nobody
            self._fail(503, why, FULL if why is Why.LIMIT else "no backend is ready", Outcome.ABORTED)

    @property
    def is_choosy(self) -> bool:
        return bool(self._tried)

    def turn(self, now: float) -> bool:
        """It is this request's turn among those that wait. False when there is still nobody for it."""
        try:
            return self._turn(now)
        except Exception:  # here no transport is watching
            self.crashed()
            raise

    def _turn(self, now: float) -> bool:
        if self.held is not None and self.client.has_left():  # nobody was reading
            self.client.give_up()
            return True
        pool = self.entry.pool
        lease = pool.acquire(b"" if pool.key_of is None else self._key(pool.key_of), now, self._tried)
        if lease is None and pool.may_wait(self._tried):
            return False
        self._stop_waiting(now)
        if lease is None:
            self._fail(503, pool.why_nobody, "no backend is ready", Outcome.ABORTED)
        else:
            self.choose(now, None, lease)
        return True

    def waited_too_long(self, now: float) -> None:
        self._stop_waiting(now)
        self._fail(503, Why.QUEUE_TIMEOUT, FULL, Outcome.ABORTED)

    def _stop_waiting(self, now: float) -> None:
        """Whatever ended it; harmless when it did not wait."""
        queue = self.entry.pool.queue
        if queue is not None and (since := queue.leave(self)) is not None:
            self._waited_s += now - since

    def _key(self, key_of: KeyOf) -> bytes:
        """What the pool's policy hashes of this request."""
        fields, peer = self.request.fields, self.client.peer
        if self.client.is_trusted:
            peer = client_address(fields, peer, self.entry.trusted)
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
        self.client.arm(monotonic(), NEVER)  # the dial keeps its own time
        self.entry.service.row.cells[lease.backend.block + cells.CONNECTS] += 1
        spawn(self._connect(lease), "dial")

    async def _connect(self, lease: Lease) -> None:
        entry, backend = self.entry, lease.backend
        service = entry.service
        try:
            upstream = await dial(
                service.loop,
                service.resolver,
                backend.address,
                lambda: Upstream(service, backend),
                entry.timeouts.connect_s,
            )
        except UpstreamError as error:
            service.row.cells[backend.block + cells.CONNECT_FAILURES] += 1
            self._connected(lease, error)
        else:
            upstream.opened()
            self._connected(lease, upstream)

    def _connected(self, lease: Lease, result: Upstream | UpstreamError) -> None:
        """A dial has ended."""
        try:
            if self._at is not CHOSEN or self._lease is not lease:  # the client has gone meanwhile; the next one may want it
                if isinstance(result, Upstream):
                    result.park(monotonic(), self.entry.max_idle)
            elif isinstance(result, UpstreamError):
                self._not_connected(result)
            else:
                self._send(result, monotonic())
                if result.transport.is_closing():  # gone between its connect and now
                    self.upstream_ended(None)
        except Exception:
            self.crashed()
            if isinstance(result, Upstream):
                result.discard()
            raise

    def _not_connected(self, error: UpstreamError) -> None:
        """Nothing was sent, so the next backend may have it, whatever the method (RFC 9110 section 9.2.2 is not touched)."""
        lease = self._lease
        assert lease is not None
        outcome = Outcome.ABORTED if error.is_ours else Outcome.FAILED
        if self._attempts < MAX_ATTEMPTS and len(self._tried) + 1 < len(self.entry.pool.ready):
            self._tried = [*self._tried, lease.backend]
            self.entry.service.row.cells[lease.backend.block + cells.RETRIES] += 1
            now = monotonic()
            lease.release(outcome, now)
            self._lease = None
            self.choose(now, error)
        else:
            self._fail(_status_of(error), error.why, UNREACHABLE, outcome)

    def _again_on_fresh(self) -> None:
        """The idle race: no fault of the backend's, and safe to send once more, on a connection that nobody is closing."""
        upstream, lease = self._upstream, self._lease
        assert upstream is not None and lease is not None
        self._upstream = None
        upstream.discard()
        self._at = CHOSEN
        self._attempts += 1
        self.entry.service.row.cells[lease.backend.block + cells.RETRIES] += 1
        self._dial(lease)


def _status_of(error: UpstreamError) -> int:
    return 504 if error.why is Why.CONNECT_TIMEOUT else 502
