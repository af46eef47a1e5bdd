"""TCP sessions: one client connection relayed to one backend; when connecting fails, another backend is tried."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Final

from balance.background_tasks import spawn
from balance.errors import UpstreamError
from balance.http1.head import RequestFields
from balance.log_lines.access_record import NEVER_US, FailedTry
from balance.model import BACKEND_TLS, Outcome, Why
from balance.proxy.access_records import session
from balance.proxy.clients import Clients
from balance.proxy.net.dial import dial
from balance.proxy.net.sockets import KEEP_ALIVE_AFTER_S, has_tls, keep_alive, other_address, reset, was_reset
from balance.proxy.net.timer_wheel import NEVER
from balance.proxy.tcp.relay import Relay, RelayEnd
from balance.proxy.warning_throttle import RequestIds
from balance.proxy.worker_context import WorkerContext
from balance.proxy_protocol.header_writer import header
from balance.retry.decision import DEFAULT_MAX_CONNECTS, RetryOutcome
from balance.runtime import counters
from balance.runtime.backend import Backend
from balance.runtime.lease import Lease
from balance.runtime.snapshot import Listener

_BACKENDS_FAULT: Final = BACKEND_TLS | {Why.RESET_MID_RESPONSE}
_NO_FIELDS: Final = RequestFields()  # TCP mode has no fields to hash


class Downstream(RelayEnd):
    """A client's connection in TCP mode."""

    __slots__ = (
        "_address",
        "_detail",
        "_dialing",
        "_failures",
        "_lease",
        "_listener",
        "_max_tries",
        "_peer",
        "_session_id",
        "_started",
        "_tried",
        "_turned",
        "_waited_s",
        "_worker",
    )  # fmt: skip

    def __init__(self, worker: WorkerContext, listener: Listener, clients: Clients | None = None, address: Any = None) -> None:
        """It is counted in `clients` until its end. `address` is the client's, if known; else the transport is asked."""
        RelayEnd.__init__(self)
        self.clients = clients
        self._address = address
        self._worker = worker
        self._listener = listener
        self._max_tries = DEFAULT_MAX_CONNECTS if listener.retrying is None else listener.retrying.max_connects
        self._lease: Lease | None = None
        self._dialing: asyncio.Task[None] | None = None
        self._tried: list[Backend] = []
        self._failures: list[FailedTry] = []  # the same, for the access log
        self._detail = ""  # of the last failure
        self._turned: asyncio.Future[Lease | Why] | None = None  # while it waits in the pool's queue
        self._waited_s = 0.0
        self._peer = ""
        self._session_id = b""  # for the logs; none without an access log
        self._started = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        RelayEnd.connection_made(self, transport)
        worker = self._worker
        worker.connections.add(self)
        worker.row.cells[counters.CONNECTIONS] += 1
        name = transport.get_extra_info("peername") if self._address is None else self._address
        self._peer = name[0] if type(name) is tuple and len(name) == 2 else other_address(name)
        self._started = time.monotonic()
        if worker.access is not None:
            self._session_id = worker.next_request_id()
        self._dialing = spawn(self._connect(), "dial")

    def connection_lost(self, exc: Exception | None) -> None:
        self._worker.connections.discard(self)
        RelayEnd.connection_lost(self, exc)
        if self.relay is None and self._dialing is not None and not (exc is None and self.early):
            self._dialing.cancel()  # else it has left without a reset (TLS has no half-close here): what it has said arrives

    @property
    def client_address(self) -> str:
        return self._peer

    def drain(self, *, is_patient: bool) -> None:
        """Nothing: a TCP session is never idle, so it may go on until the deadline."""

    def idle_since(self, now: float) -> float:
        """NEVER: in an unknown protocol an idle session can't be told from one that waits for a reply."""
        return NEVER

    def reclaim(self) -> bool:
        """False: a TCP session is never closed to make room."""
        return False

    def announce_close(self) -> None:
        """Nothing: an unknown protocol has no message for it."""

    def cut(self) -> None:
        """The deadline of a drain has passed: reset both connections."""
        if self.relay is not None:
            self.relay.cut(Why.DRAINING)
        else:
            self.early = None  # nobody is to have it any more
            reset(self.transport)

    async def _connect(self) -> None:
        tried = self._tried
        why: Why | None = None
        try:
            while True:
                lease = self._next_lease() or await self._wait()
                if not isinstance(lease, Lease):
                    why = lease or why or self._listener.pool.why_nobody
                    break
                self._lease = lease
                try:
                    upstream = await self._dial(lease.backend)
                except UpstreamError as error:
                    why, self._detail = error.why, error.detail
                    ms = round((time.monotonic() - lease.started) * 1e3, 3)
                    self._failures.append(FailedTry(lease.backend.name, why.word, ms))
                    self._count(lease.backend, counters.CONNECT_FAILURES)
                    if error.is_ours:
                        self._worker.dial_failed_here(error, RequestIds(self._session_id))
                    elif error.why in BACKEND_TLS:
                        self._worker.handshake_failed(lease.backend, error, RequestIds(self._session_id))
                    self._release(Outcome.ABORTED if error.is_ours else Outcome.FAILED, error.why)
                    tried.append(lease.backend)
                else:
                    self._join(upstream, lease, len(tried) + 1)
                    break
        finally:
            self._dialing = None
            if self.relay is None:
                self._release(Outcome.ABORTED)
                self._not_joined(Why.CLIENT_ABORT if self.transport.is_closing() or why is None else why, len(tried))

    def _not_joined(self, why: Why, attempts: int) -> None:
        """End and log a session that got no backend."""
        worker = self._worker
        worker.row.cells[counters.WHY + why] += 1
        worker.row.cells[counters.BACKENDS + counters.TCP_SESSIONS] += 1
        again = RetryOutcome.NEVER_NEEDED
        if attempts and why is Why.CLIENT_ABORT:
            again = RetryOutcome.MADE
        elif attempts:
            again = RetryOutcome.ATTEMPTS if attempts == self._max_tries else RetryOutcome.NOBODY
            worker.row.cells[counters.skipped(again)] += 1
        if worker.access is not None:
            total_us = int((time.monotonic() - self._started) * 1e6)
            pool, tries, backend = self._listener.pool.name, self._failures, ""
            if tries and why is not Why.CLIENT_ABORT:  # the last one is how it ended
                tries, backend = tries[:-1], tries[-1].backend
            worker.access.record(
                session(
                    self._session_id,
                    self._peer,
                    backend,
                    pool,
                    why,
                    (0, 0),
                    attempts,
                    NEVER_US,
                    total_us,
                    again.word,
                    int(self._waited_s * 1e6),
                    tries,
                    "" if why is Why.CLIENT_ABORT else self._detail,
                )
            )
        if not self.transport.is_closing():
            reset(self.transport)

    async def _wait(self) -> Lease | Why | None:
        """Wait in the queue for a full backend. None when there is none or the queue has no room."""
        pool = self._listener.pool
        queue, tried, now = pool.queue, self._tried, time.monotonic()
        if queue is None or len(tried) == self._max_tries or not pool.may_wait(tried) or not queue.join(self, now):
            return None
        self._turned = self._worker.loop.create_future()
        try:
            return await self._turned
        finally:
            self._turned = None
            queue.leave(self)
            self._waited_s += time.monotonic() - now

    @property
    def is_choosy(self) -> bool:
        return bool(self._tried)

    def turn(self, now: float) -> bool:
        """See Waiter: try again to get a lease. False when there is still no backend for it."""
        turned, pool = self._turned, self._listener.pool
        if turned is None or turned.done():
            return True  # it is about to leave the queue
        if was_reset(self.transport):
            turned.set_result(Why.CLIENT_ABORT)
            return True
        self._lease = self._next_lease()  # kept here, because the task may be cancelled before it gets it
        if self._lease is not None:
            turned.set_result(self._lease)
        elif pool.may_wait(self._tried):
            return False
        else:
            turned.set_result(pool.why_nobody)
        return True

    def waited_too_long(self, now: float) -> None:
        if self._turned is not None and not self._turned.done():
            self._turned.set_result(Why.QUEUE_TIMEOUT)

    def _next_lease(self) -> Lease | None:
        """A lease of an untried backend, or None when there is none or `_max_tries` were made."""
        tried = self._tried
        if len(tried) == self._max_tries:
            return None
        pool = self._listener.pool
        key = b"" if pool.key_of is None else pool.key_of(_NO_FIELDS, b"", self._peer)
        now = time.monotonic()
        lease = pool.acquire(key, now, tried)
        if lease is None and tried:
            lease = pool.spare(now, tried)
        if lease is not None and tried:
            self._count(tried[-1], counters.RETRIES)
        return lease

    async def _dial(self, backend: Backend) -> RelayEnd:
        worker = self._worker
        self._count(backend, counters.CONNECTS)
        worker.descriptors.dialling()
        try:
            tls, connect_s = backend.tls, self._listener.timeouts.connect_s
            header = self._proxy_header(backend.proxy_protocol) if tls is not None and backend.proxy_protocol else b""
            return await dial(worker.loop, worker.resolver, backend.address, RelayEnd, connect_s, tls, header)
        except BaseException:
            worker.descriptors.upstreams -= 1
            raise

    def _join(self, upstream: RelayEnd, lease: Lease, attempts: int) -> None:
        if self.transport.is_closing() and not self.early:
            upstream.transport.abort()
            self._worker.descriptors.upstreams -= 1
            return
        worker, timeouts = self._worker, self._listener.timeouts
        idle_s = timeouts.idle_s
        if lease.backend.proxy_protocol and not has_tls(upstream.transport):
            upstream.transport.write(self._proxy_header(lease.backend.proxy_protocol))
        if not idle_s or idle_s > KEEP_ALIVE_AFTER_S:  # else the idle timeout comes first
            keep_alive(upstream.transport.get_extra_info("socket"))
        lease.backend.open_count += 1
        worker.row.cells[lease.backend.block + counters.TCP_SESSIONS] += 1
        now = time.monotonic()
        lease.answered(now)  # the time to connect is the only latency in TCP mode
        pool = self._listener.pool.name
        account = _Session(
            worker, lease, self._session_id, self._peer, pool, attempts, self._started, now, self._waited_s, self._failures
        )
        Relay(self, upstream, worker.wheel, idle_s, timeouts.half_closed_s, account, now)
        self._lease = None  # _Session has it now

    def _proxy_header(self, version: str) -> bytes:
        client = self.transport.get_extra_info("peername") if self._address is None else self._address
        return header(version, client, self.transport.get_extra_info("sockname"))

    def _release(self, outcome: Outcome, why: Why = Why.OK) -> None:
        if self._lease is not None:
            self._lease.release(outcome, time.monotonic(), None, why)
            self._lease = None

    def _count(self, backend: Backend, cell: int) -> None:
        self._worker.row.cells[backend.block + cell] += 1


class _Session:
    """Counts one TCP session's bytes, and at its end releases its lease and logs it."""

    __slots__ = (
        "_attempts",
        "_failures",
        "_joined",
        "_lease",
        "_peer",
        "_pool",
        "_session_id",
        "_started",
        "_totals",
        "_waited_s",
        "_worker",
    )  # fmt: skip

    def __init__(
        self,
        worker: WorkerContext,
        lease: Lease,
        session_id: bytes,
        peer: str,
        pool: str,
        attempts: int,
        started: float,
        joined: float,
        waited_s: float,
        failures: list[FailedTry],
    ) -> None:
        """Monotonic times in seconds: `started` is when the client connected, `joined` when its backend was connected."""
        self._failures = failures
        self._worker = worker
        self._lease = lease
        self._session_id = session_id
        self._peer = peer
        self._pool = pool
        self._attempts = attempts
        self._started = started
        self._joined = joined
        self._waited_s = waited_s
        self._totals = (0, 0)

    def moved(self, from_client: int, from_upstream: int) -> None:
        self._totals = (self._totals[0] + from_client, self._totals[1] + from_upstream)
        self._worker.row.count_moved(self._lease.backend.block, from_client, from_upstream)

    def ended(self, why: Why) -> None:
        self._worker.row.cells[counters.WHY + why] += 1
        self._lease.backend.open_count -= 1
        self._worker.descriptors.upstreams -= 1
        outcome = Outcome.FAILED if why in _BACKENDS_FAULT else Outcome.OK if why is Why.OK else Outcome.ABORTED
        now = time.monotonic()
        if outcome is Outcome.OK:
            self._worker.row.observe_time(
                self._lease.backend.block + counters.UPSTREAM_TIME, int((now - self._lease.started) * 1e6)
            )
        # How a session ends says nothing of the backend's health in an unknown protocol; no byte at all from it is a failure.
        self._lease.release(outcome, now, None, Why.IDLE_TIMEOUT if self._totals[1] else Why.RESET_BEFORE_RESPONSE)
        if self._worker.access is not None:
            connect_us = int((self._joined - self._lease.started) * 1e6)
            total_us, queue_us = int((now - self._started) * 1e6), int(self._waited_s * 1e6)
            backend = self._lease.backend.name
            again = RetryOutcome.MADE if self._attempts > 1 else RetryOutcome.NEVER_NEEDED
            self._worker.access.record(
                session(
                    self._session_id,
                    self._peer,
                    backend,
                    self._pool,
                    why,
                    self._totals,
                    self._attempts,
                    connect_us,
                    total_us,
                    again.word,
                    queue_us,
                    self._failures,
                )
            )
