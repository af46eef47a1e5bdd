"""The questions of one worker to one authorizer: a bounded number under way, a bounded queue, connections that are kept.

A backend of the pool is chosen as for any request, so that health checks, breakers, limits and algorithms are the pool's own,
and its failures count. A question that finds its kept connection closed, or nobody who takes it, is asked once more elsewhere:
it is a GET, and changes nothing.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from functools import partial
from time import monotonic
from typing import Final

from balance.background_tasks import spawn
from balance.errors import UpstreamError
from balance.http1.response import ResponseReader
from balance.model import BACKEND_TLS, Address, Outcome, TryPhase, Why
from balance.proxy.authorizing.authorizer_connection import AuthorizerConnection
from balance.proxy.net.dial import dial
from balance.proxy.worker_context import WorkerContext
from balance.proxy_protocol.header_writer import local_header
from balance.runtime import counters
from balance.runtime.backend import Backend
from balance.runtime.lease import Lease
from balance.runtime.pool import Pool
from balance.stages.security.authorization import Answer, Question
from balance.tls.backend_context import UpstreamTls
from balance.transform.lines_per_try import own_host

MAX_ASKING: Final = 128  # questions under way at once, and so connections
MAX_QUEUED: Final = 1024  # questions that wait for one of these to end
MAX_IDLE: Final = 32  # connections kept for each backend
SWEEP_S: Final = 1.0  # how often kept connections are looked at
MAX_TRIES: Final = 3  # backends that a question is sent to, where connecting fails


class AskingState(enum.IntEnum):
    """The state of a question."""

    QUEUED = 0
    BEGUN = 1  # a backend is chosen, dialled or asked
    OVER = 2


class Asking:
    """One question. done() is called once, never from within ask(), unless cancel() is called before."""

    __slots__ = (
        "_authorizer",
        "_connection",
        "_done",
        "_is_reused",
        "_lease",
        "_pool",
        "_question",
        "_reader",
        "_state",
        "_tried",
    )

    def __init__(
        self, authorizer: Authorizer, pool: Pool, question: Question, reader: ResponseReader, done: Callable[[Answer], None]
    ) -> None:
        self._authorizer = authorizer
        self._pool = pool
        self._question = question
        self._reader = reader
        self._done = done
        self._state = AskingState.QUEUED
        self._lease: Lease | None = None
        self._connection: AuthorizerConnection | None = None
        self._is_reused = False
        self._tried: list[Backend] = []

    def begin(self, now: float) -> None:
        """Choose a backend, and ask it on a kept connection or a new one."""
        self._state = AskingState.BEGUN
        pool, authorizer = self._pool, self._authorizer
        lease = pool.acquire(self._question.key if pool.key_of is not None else b"", now, self._tried)
        if lease is None:
            words = "the authorizer can't be reached" if self._tried else "no backend of the authorizer is ready"
            authorizer.worker.loop.call_soon(self._end, Answer(0, detail=words))
            return
        self._lease = lease
        connection = authorizer.take(lease.backend, now)
        if connection is None:
            spawn(self._dial(lease), "dial")
        else:
            self._send(connection, is_reused=True)

    def cancel(self, *, is_late: bool) -> None:
        """The answer is of no use any more. `is_late`: it has not come in time, which counts against the backend."""
        if self._state is AskingState.OVER:
            return
        connection = self._connection
        why = Why.CONNECT_TIMEOUT if connection is None else Why.RESPONSE_HEADER_TIMEOUT
        self._settle(Outcome.FAILED if is_late else Outcome.ABORTED, why)
        if connection is not None:
            connection.close()
        self._over()

    async def _dial(self, lease: Lease) -> None:
        result = await self._authorizer.connect(lease.backend, self._question.timeout_s)
        if self._lease is not lease:  # cancelled meanwhile; the next question can have the connection
            if isinstance(result, AuthorizerConnection):
                self._authorizer.park(result)
        elif isinstance(result, AuthorizerConnection):
            self._send(result, is_reused=False)
        else:
            self._tried.append(lease.backend)
            self._settle(Outcome.ABORTED if result.is_ours else Outcome.FAILED, result.why)
            if len(self._tried) < MAX_TRIES:
                self.begin(monotonic())
            else:
                self._end(Answer(0, detail="the authorizer can't be reached"))

    def _send(self, connection: AuthorizerConnection, *, is_reused: bool) -> None:
        self._connection = connection
        self._is_reused = is_reused
        question = self._question
        host = question.host or own_host(connection.backend.address)
        head = b"GET %b HTTP/1.1\r\nHost: %b\r\n%b\r\n" % (question.path, host, question.lines)
        connection.send(self, head, self._reader)

    def answered(self, answer: Answer, idle_timeout_s: float) -> None:
        """Called by the connection."""
        if self._lease is not None and idle_timeout_s:
            self._lease.backend.idle_time.announced(idle_timeout_s)
        self._settle(Outcome.OK, answer.status)
        self._end(answer)

    def broken(self, detail: str, *, has_begun: bool) -> None:
        """Called by the connection: it has ended, or what came is no answer."""
        self._connection = None
        if self._is_reused and not has_begun and self._lease is not None:
            self._is_reused = False
            spawn(self._dial(self._lease), "dial")  # it was closed while it was kept: nobody is blamed
            return
        self._settle(Outcome.FAILED, Why.BAD_RESPONSE if has_begun else Why.RESET_BEFORE_RESPONSE)
        self._end(Answer(0, detail=detail))

    def _settle(self, outcome: Outcome, end: int) -> None:
        lease, self._lease = self._lease, None
        if lease is not None:
            lease.release(outcome, monotonic(), None, end)

    def _end(self, answer: Answer) -> None:
        if self._state is not AskingState.OVER:
            self._over()
            self._done(answer)

    def _over(self) -> None:
        was_begun = self._state is AskingState.BEGUN
        self._state = AskingState.OVER
        self._connection = None
        self._authorizer.ended(self, was_begun=was_begun)


class Authorizer:
    """One for each pool that is asked, and worker."""

    __slots__ = ("_begun", "_idle", "_is_sweeping", "_queue", "worker")

    def __init__(self, worker: WorkerContext) -> None:
        self.worker = worker
        self._begun = 0  # questions under way
        self._queue: dict[Asking, None] = {}  # in their order
        self._idle: dict[tuple[Address, UpstreamTls | None], list[AuthorizerConnection]] = {}
        self._is_sweeping = False

    def ask(self, pool: Pool, question: Question, reader: ResponseReader, done: Callable[[Answer], None]) -> Asking | None:
        """Ask now, or as soon as there is room. None: too many wait already."""
        asking = Asking(self, pool, question, reader, done)
        if self._begun < MAX_ASKING:
            self._begun += 1
            asking.begin(monotonic())
        elif len(self._queue) < MAX_QUEUED:
            self._queue[asking] = None
        else:
            return None
        return asking

    def ended(self, asking: Asking, *, was_begun: bool) -> None:
        """There is room for the next one."""
        if not was_begun:
            del self._queue[asking]
            return
        self._begun -= 1
        if self._queue and self._begun < MAX_ASKING:
            following = next(iter(self._queue))
            del self._queue[following]
            self._begun += 1
            following.begin(monotonic())

    # --- connections ----------------------------------------------------------------------------------

    async def connect(self, backend: Backend, timeout_s: float) -> AuthorizerConnection | UpstreamError:
        """Dial: a new connection, or the error. Counts both."""
        worker = self.worker
        worker.row.cells[backend.block + counters.CONNECTS] += 1
        worker.descriptors.dialling()
        tls = backend.tls
        header = local_header(backend.proxy_protocol) if backend.proxy_protocol else b""
        try:
            make = partial(AuthorizerConnection, self, backend, tls)
            connection = await dial(worker.loop, worker.resolver, backend.address, make, timeout_s, tls, header)
            if connection.is_lost:
                raise UpstreamError(TryPhase.CONNECT, Why.CONNECT_FAILED, "it was closed as soon as it was made")
        except UpstreamError as error:
            worker.descriptors.upstreams -= 1
            worker.row.cells[backend.block + counters.CONNECT_FAILURES] += 1
            if error.is_ours:
                worker.dial_failed_here(error)
            elif error.why in BACKEND_TLS:
                worker.handshake_failed(backend, error)
            return error
        connection.opened()
        if header and tls is None and connection.is_usable:
            connection.transport.write(header)
        return connection

    def take(self, backend: Backend, now: float) -> AuthorizerConnection | None:
        """The newest kept connection that may be used."""
        kept = self._idle.get((backend.address, backend.tls))
        while kept:
            connection = kept.pop()
            if connection.is_usable and now - connection.parked_at < backend.idle_time.limit_s(now):
                return connection
            connection.close()
        return None

    def park(self, connection: AuthorizerConnection) -> None:
        """Keep a connection for the next question, or close it."""
        kept = self._idle.setdefault((connection.backend.address, connection.tls), [])
        if not connection.is_usable or len(kept) >= MAX_IDLE or self.worker.is_draining:
            connection.close()
            return
        connection.parked_at = monotonic()
        kept.append(connection)
        if not self._is_sweeping:
            self._is_sweeping = True
            self.worker.loop.call_later(SWEEP_S, self._sweep)

    def close_idle(self) -> None:
        """Close all kept connections."""
        idle, self._idle = self._idle, {}
        for kept in idle.values():
            for connection in kept:
                connection.close()

    def _sweep(self) -> None:
        """Close those that backends may close soon, and forget those that they have closed."""
        now = monotonic()
        for place, kept in list(self._idle.items()):
            stays = []
            for connection in kept:
                if connection.is_usable and now - connection.parked_at < connection.backend.idle_time.limit_s(now):
                    stays.append(connection)
                else:
                    connection.close()
            if stays:
                self._idle[place] = stays
            else:
                del self._idle[place]
        self._is_sweeping = bool(self._idle)
        if self._is_sweeping:
            self.worker.loop.call_later(SWEEP_S, self._sweep)


def authorizer(worker: WorkerContext, pool: str) -> Authorizer:
    """The worker's, for the pool of this name."""
    found = worker.authorizers.get(pool)
    if not isinstance(found, Authorizer):
        found = worker.authorizers[pool] = Authorizer(worker)
    return found
