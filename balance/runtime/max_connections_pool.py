"""A pool with backends that take only so many requests at once, and the queue of those that find all of them full.

A full backend is like one behind a closed gate: another is chosen. That it is full says nothing against it.
"""

from __future__ import annotations

from collections.abc import Collection

from balance.balancing import Policy
from balance.config.model import PoolConfig
from balance.health.circuit_breaker import RUN
from balance.model import Outcome, Why
from balance.runtime import counters
from balance.runtime.backend import Backend
from balance.runtime.backend import Permits as AnyPermits
from balance.runtime.backups import Backups
from balance.runtime.health_gate import Shared
from balance.runtime.health_gated_pool import (
    GuardedLease,
    GuardedPool,
    GuardedTimedLease,
    GuardedWatchedLease,
)
from balance.runtime.max_connections import Permits
from balance.runtime.pool import Lease, Pool
from balance.runtime.queue import Queue

_OK = Outcome.OK


def _permit_freed(backend: Backend) -> None:
    permits = backend.permits
    if permits is not None and (permits.is_pressed or permits.waiters):
        permits.freed()


class LimitedLease(GuardedLease):
    """A lease whose end may be what others wait for."""

    __slots__ = ()

    def release(self, outcome: Outcome, now: float, first_byte_s: float | None = None, end: int = 0) -> None:
        backend = self.backend
        guard = backend.guard
        assert guard is not None
        if outcome is _OK and end < 500 and self.row is not None and not guard.special and not guard.evidence[RUN]:
            self.row = None  # nearly always; as in GuardedLease, in line
            backend.load.active -= 1
        else:
            GuardedLease.release(self, outcome, now, first_byte_s, end)
        permits = backend.permits  # _permit_freed() in line
        if permits is not None and (permits.is_pressed or permits.waiters):
            permits.freed()


class LimitedWatchedLease(GuardedWatchedLease):
    """The same, and the policy learns from it."""

    __slots__ = ()

    def release(self, outcome: Outcome, now: float, first_byte_s: float | None = None, end: int = 0) -> None:
        GuardedWatchedLease.release(self, outcome, now, first_byte_s, end)
        _permit_freed(self.backend)


class LimitedTimedLease(GuardedTimedLease):
    """And from how long the answer took."""

    __slots__ = ()

    def release(self, outcome: Outcome, now: float, first_byte_s: float | None = None, end: int = 0) -> None:
        GuardedTimedLease.release(self, outcome, now, first_byte_s, end)
        _permit_freed(self.backend)


LIMITED: dict[type[Lease], type[Lease]] = {
    GuardedLease: LimitedLease,
    GuardedWatchedLease: LimitedWatchedLease,
    GuardedTimedLease: LimitedTimedLease,
}


def is_limited(config: PoolConfig) -> bool:
    """Whether any backend of the pool has a limit."""
    return any(backend.max_connections for backend in config.backends)


class LimitedPool(GuardedPool):
    """Permits before gates, and nobody overtakes those who wait."""

    __slots__ = ("_bounds", "_permits", "_queue", "_shared", "_unwaited")

    def __init__(
        self,
        config: PoolConfig,
        backends: Collection[Backend],
        policy: Policy,
        row: counters.Row,
        shared: Shared,
        *,
        reserve: Backups | None = None,
        is_live: bool = True,
    ) -> None:
        self._queue = Queue(config.queue, lambda: shared.workers)
        self._permits: list[AnyPermits] = []
        self._bounds = config.queue
        self._shared = shared
        super().__init__(config, backends, policy, row, shared, reserve=reserve, is_live=is_live)
        self.queue = self._queue
        self._unwaited = self._lease
        self._lease = LIMITED[self._lease]

    def acquire(self, key: bytes, now: float, avoid: Collection[Backend] = ()) -> Lease | None:
        queue = self._queue
        if queue.waiters and not queue.is_serving and not avoid:
            return None  # who has tried others already is older than whoever waits
        lease = Pool.acquire(self, key, now, avoid)
        if lease is None:
            return None
        backend = lease.backend
        if backend.gate is None and backend.load.active <= backend.credit:
            return lease
        return self._through_gates(lease, key, now, avoid)

    def acquire_bound(self, backend: Backend, now: float) -> Lease | None:
        lease = self._lease_of(backend, now)
        if self._has_room(backend):
            return lease
        self._withdraw(lease, now)
        return None

    def may_wait(self, avoid: Collection[Backend]) -> bool:
        """Whether a request that found nobody found them full and not unwell, or must let others go first.

        One that is on trial is unwell, full or not: without a limit it is not waited for either.
        """
        if self._ready and not all(backend in avoid for backend in self._ready):
            ready = self._ready
        else:
            ready = self._reserve.ready if self._reserve is not None else ()
        left = [backend for backend in ready if backend not in avoid]
        queue = self._queue
        if left and queue.waiters and not queue.is_serving and not avoid:
            return True
        return any(
            backend.load.active >= backend.credit and (backend.gate is backend.slow_start or self.is_last_resort)
            for backend in left
        )

    @property
    def why_nobody(self) -> Why:
        return Why.LIMIT if self.may_wait(()) else super().why_nobody

    def succeed(self, queue: Queue) -> None:
        """Before it is live: those who wait in the queue of the pool that it replaces keep their places before newcomers."""
        self._queue = self.queue = queue

    def rebuild(self) -> None:
        self._queue.configure(self._bounds)
        self._permits = [self._permits_of(backend) for backend in self.backends if backend.limit]
        super().rebuild()
        self._wake()

    def _permits_of(self, backend: Backend) -> AnyPermits:
        """A backend that was in a pool before has them already; from now on they serve this pool's queue."""
        permits = backend.permits or Permits(backend, self._row.cells, self._shared)
        permits.waiters = self._queue.waiters
        permits.wake = self._wake
        return permits

    def look_at_permits(self) -> None:
        """A bell: others want permits, or have given some back."""
        for permits in self._permits:
            permits.look()
        self._wake()

    def ask_again(self) -> None:
        """Requests have been waiting for a while."""
        for permits in self._permits:
            permits.ask_again()

    def tick(self) -> None:
        """From time to time: the board shows who waits."""
        self._row.cells[self.backends[0].block + counters.WAITING] = len(self._queue.waiters)

    def retire(self) -> None:
        self._row.cells[self.backends[0].block + counters.WAITING] = 0
        for backend in self.backends:
            if backend.permits is not None and not backend.limit:
                backend.permits.close()

    def _wake(self) -> None:
        if self._queue.waiters:
            self._queue.wake()

    def _has_room(self, backend: Backend) -> bool:
        return backend.load.active <= backend.credit or backend.permits is None or backend.permits.take()

    def _withdraw(self, lease: Lease, now: float) -> None:
        """Nothing has become free that was not free before: who waits and is turned away would wake itself for ever."""
        backend = lease.backend
        self._unwaited.release(lease, Outcome.ABORTED, now)
        self._uncount(backend)
        permits = backend.permits
        if permits is not None and permits.is_pressed:
            permits.settle()  # what was taken for it, others want
