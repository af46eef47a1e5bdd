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
from balance.proxy.net.dial import connect_error, dial
from balance.proxy.net.polled_dial import PolledDial
from balance.proxy.net.sockets import KEEP_ALIVE_AFTER_S, has_tls, other_address, reset, was_reset
from balance.proxy.net.timer_wheel import NEVER
from balance.proxy.tcp.bulk_end import BulkEnd
from balance.proxy.tcp.relay import Relay
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


class Downstream(BulkEnd):
    """A client's connection in TCP mode, and the account of its session."""

    __slots__ = (
        "_address",
        "_attempts",
        "_detail",
        "_dialing",
        "_failures",
        "_is_settled",
        "_joined",
        "_lease",
        "_listener",
        "_max_tries",
        "_peer",
        "_session_id",
        "_started",
        "_totals",
        "_tried",
        "_upstream",
        "_waited_s",
        "_waits_since",
        "_why",
        "_worker",
    )  # fmt: skip

    def __init__(self, worker: WorkerContext, listener: Listener, clients: Clients | None = None, address: Any = None) -> None:
        """It is counted in `clients` until its end. `address` is the client's, if known; else the transport is asked."""
        BulkEnd.__init__(self)
        self.clients = clients
        self._address = address
        self._worker = worker
        self._listener = listener
        self._max_tries = DEFAULT_MAX_CONNECTS if listener.retrying is None else listener.retrying.max_connects
        self._lease: Lease | None = None
        self._upstream: BulkEnd | None = None  # to the backend of the lease
        self._dialing: PolledDial | asyncio.Task[None] | None = None
        self._tried: list[Backend] = []
        self._failures: list[FailedTry] = []  # the same, for the access log
        self._why: Why | None = None  # and `_detail`: of the last failure
        self._detail = ""
        self._is_settled = False  # it has been joined, or it gets no backend
        self._waits_since = 0.0  # in the pool's queue; 0: it does not
        self._waited_s = 0.0
        self._peer = ""
        self._session_id = b""  # for the logs; none without an access log
        self._started = 0.0  # when the client connected, and `_joined` when its backend was connected: monotonic, in seconds
        self._joined = 0.0
        self._attempts = 0
        self._totals = (0, 0)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        BulkEnd.connection_made(self, transport)
        worker = self._worker
        worker.connections.add(self)
        worker.row.cells[counters.CONNECTIONS] += 1
        name = transport.get_extra_info("peername") if self._address is None else self._address
        self._peer = name[0] if type(name) is tuple and len(name) == 2 else other_address(name)
        self._started = time.monotonic()
        if worker.access is not None:
            self._session_id = worker.next_request_id()
        self._go_on()

    def connection_lost(self, exc: Exception | None) -> None:
        self._worker.connections.discard(self)
        BulkEnd.connection_lost(self, exc)
        # Who has left without a reset (TLS has no half-close here) may have said something: it arrives.
        if not self._is_settled and not (exc is None and self.early):
            self._give_up(Why.CLIENT_ABORT)

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

    # --- to a backend -----------------------------------------------------------------------------------

    def _go_on(self) -> None:
        """Try backends until a dial is under way, or until there is none to try."""
        try:
            while not self._is_settled:
                lease = self._lease
                if lease is None:
                    lease = self._lease = self._next_lease()
                if lease is None:
                    if not self._waits_in_queue():
                        self._give_up(self._why or self._listener.pool.why_nobody)
                    return
                if self._begin_dial(lease.backend):
                    return
        except Exception:
            self._give_up(Why.INTERNAL_ERROR)
            raise

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

    def _begin_dial(self, backend: Backend) -> bool:
        """Whether it is under way; False when it has failed at once."""
        worker, address = self._worker, backend.address
        self._count(backend, counters.CONNECTS)
        worker.descriptors.dialling()
        host = "" if address.is_unix else address.host if address.is_ip else worker.resolver.known(address.host)
        if backend.tls is not None or not (host or address.is_unix):
            self._dialing = spawn(self._dial(backend), "dial")
            return True
        upstream = self._upstream = BulkEnd()
        lease = self._lease
        assert lease is not None
        try:
            self._dialing = worker.plain.connect(
                address, host, upstream, self, self._listener.timeouts.connect_s, lease.started
            )
        except OSError as error:
            self._failed(connect_error(error, self._listener.timeouts.connect_s))
            return False
        return True

    async def _dial(self, backend: Backend) -> None:
        """With TLS, or of a name that has to be asked for."""
        worker, tls, connect_s = self._worker, backend.tls, self._listener.timeouts.connect_s
        header = self._proxy_header(backend.proxy_protocol) if tls is not None and backend.proxy_protocol else b""
        try:
            self._upstream = await dial(worker.loop, worker.resolver, backend.address, BulkEnd, connect_s, tls, header)
        except UpstreamError as error:
            self._failed(error)
            self._go_on()
        except Exception:
            self._give_up(Why.INTERNAL_ERROR)
            raise
        else:
            self.dialled()

    def dialled(self) -> None:
        """See Dialler."""
        try:
            self._join()
        except Exception:
            self._give_up(Why.INTERNAL_ERROR)
            raise

    def dial_failed(self, error: OSError) -> None:
        """See Dialler."""
        self._failed(connect_error(error, self._listener.timeouts.connect_s))
        self._go_on()

    def _failed(self, error: UpstreamError) -> None:
        """Count and log that this backend was not reached."""
        lease = self._lease
        assert lease is not None
        backend, worker = lease.backend, self._worker
        self._dialing = self._upstream = None
        worker.descriptors.upstreams -= 1
        self._why, self._detail = error.why, error.detail
        ms = round((time.monotonic() - lease.started) * 1e3, 3)
        self._failures.append(FailedTry(backend.name, error.why.word, ms))
        self._count(backend, counters.CONNECT_FAILURES)
        if error.is_ours:
            worker.dial_failed_here(error, RequestIds(self._session_id))
        elif error.why in BACKEND_TLS:
            worker.handshake_failed(backend, error, RequestIds(self._session_id))
        self._release(Outcome.ABORTED if error.is_ours else Outcome.FAILED, error.why)
        self._tried.append(backend)

    def _give_up(self, why: Why) -> None:
        """It gets no backend: stop whatever goes on to get one."""
        if self._is_settled:
            return
        self._is_settled = True
        dialing, self._dialing = self._dialing, None
        upstream, self._upstream = self._upstream, None
        if dialing is not None:
            self._worker.descriptors.upstreams -= 1
            if isinstance(dialing, PolledDial):
                dialing.abort()
            else:
                dialing.cancel()  # without effect when that is who calls
                if upstream is not None:
                    upstream.transport.abort()
        self._leave_queue()
        self._release(Outcome.ABORTED)
        self._not_joined(Why.CLIENT_ABORT if self.transport.is_closing() else why, len(self._tried))

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

    # --- the pool's queue ---------------------------------------------------------------------------------

    def _waits_in_queue(self) -> bool:
        """Wait for a full backend. False when there is none or the queue has no room."""
        pool = self._listener.pool
        queue, tried, now = pool.queue, self._tried, time.monotonic()
        if queue is None or len(tried) == self._max_tries or not pool.may_wait(tried) or not queue.join(self, now):
            return False
        self._waits_since = now
        return True

    def _leave_queue(self) -> None:
        since, self._waits_since = self._waits_since, 0.0
        queue = self._listener.pool.queue
        if since and queue is not None:
            queue.leave(self)
            self._waited_s += time.monotonic() - since

    @property
    def is_choosy(self) -> bool:
        return bool(self._tried)

    def turn(self, now: float) -> bool:
        """See Waiter: try again to get a lease. False when there is still no backend for it."""
        pool = self._listener.pool
        if not self._waits_since:
            return True  # it is about to leave the queue
        if was_reset(self.transport):
            self._why = Why.CLIENT_ABORT
        else:
            self._lease = self._next_lease()
            if self._lease is None:
                if pool.may_wait(self._tried):
                    return False
                self._why = pool.why_nobody
        self._leave_queue()
        self._worker.loop.call_soon(self._waited)  # not from within the queue
        return True

    def waited_too_long(self, now: float) -> None:
        if self._waits_since:
            self._leave_queue()
            self._why = Why.QUEUE_TIMEOUT
            self._worker.loop.call_soon(self._waited)

    def _waited(self) -> None:
        if self._lease is not None:
            self._go_on()
        else:
            self._give_up(self._why or self._listener.pool.why_nobody)

    # --- the session --------------------------------------------------------------------------------------

    def _join(self) -> None:
        upstream, lease = self._upstream, self._lease
        assert upstream is not None
        assert lease is not None
        if self.transport.is_closing() and not self.early:
            self._give_up(Why.CLIENT_ABORT)
            return
        backend, worker, timeouts = lease.backend, self._worker, self._listener.timeouts
        idle_s = timeouts.idle_s
        if backend.proxy_protocol and not has_tls(upstream.transport):
            upstream.transport.write(self._proxy_header(backend.proxy_protocol))
        upstream.is_unwatched = not idle_s or idle_s > KEEP_ALIVE_AFTER_S  # else the idle timeout comes first
        self._dialing = self._upstream = None
        self._is_settled = True
        backend.open_count += 1
        worker.row.cells[backend.block + counters.TCP_SESSIONS] += 1
        self._joined = now = time.monotonic()
        lease.answered(now)  # the time to connect is the only latency in TCP mode
        self._attempts = len(self._tried) + 1
        Relay(self, upstream, worker.wheel, idle_s, timeouts.half_closed_s, self, now)

    def _proxy_header(self, version: str) -> bytes:
        client = self.transport.get_extra_info("peername") if self._address is None else self._address
        return header(version, client, self.transport.get_extra_info("sockname"))

    def _release(self, outcome: Outcome, why: Why = Why.OK) -> None:
        if self._lease is not None:
            self._lease.release(outcome, time.monotonic(), None, why)
            self._lease = None

    def _count(self, backend: Backend, cell: int) -> None:
        self._worker.row.cells[backend.block + cell] += 1

    def moved(self, from_client: int, from_upstream: int) -> None:
        """See RelayObserver."""
        self._totals = (self._totals[0] + from_client, self._totals[1] + from_upstream)
        lease = self._lease
        assert lease is not None
        self._worker.row.count_moved(lease.backend.block, from_client, from_upstream)

    def ended(self, why: Why) -> None:
        """Release the lease and log the session."""
        worker, lease = self._worker, self._lease
        assert lease is not None
        self._lease = None
        backend = lease.backend
        worker.row.cells[counters.WHY + why] += 1
        backend.open_count -= 1
        worker.descriptors.upstreams -= 1
        outcome = Outcome.FAILED if why in _BACKENDS_FAULT else Outcome.OK if why is Why.OK else Outcome.ABORTED
        now = time.monotonic()
        if outcome is Outcome.OK:
            worker.row.observe_time(backend.block + counters.UPSTREAM_TIME, int((now - lease.started) * 1e6))
        # How a session ends says nothing of the backend's health in an unknown protocol; no byte at all from it is a failure.
        lease.release(outcome, now, None, Why.IDLE_TIMEOUT if self._totals[1] else Why.RESET_BEFORE_RESPONSE)
        if worker.access is not None:
            worker.access.record(
                session(
                    self._session_id,
                    self._peer,
                    backend.name,
                    self._listener.pool.name,
                    why,
                    self._totals,
                    self._attempts,
                    int((self._joined - lease.started) * 1e6),
                    int((now - self._started) * 1e6),
                    (RetryOutcome.MADE if self._attempts > 1 else RetryOutcome.NEVER_NEEDED).word,
                    int(self._waited_s * 1e6),
                    self._failures,
                )
            )
