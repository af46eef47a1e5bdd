"""How many requests a pool's backends may have at once (`max_connections`), and the queue of those that find all of them full.

A full backend is like one behind a closed gate: another is chosen. That it is full says nothing against it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from balance.config.model import PoolConfig
from balance.runtime import counters
from balance.runtime.backend import Backend
from balance.runtime.health_gate import Shared
from balance.runtime.max_connections import Permits
from balance.runtime.queue import Queue


def has_limits(config: PoolConfig) -> bool:
    """Whether any backend of the pool has a limit."""
    return any(backend.max_connections for backend in config.backends)


class PoolLimits:
    """Of one pool in one worker: nobody overtakes those who wait in `queue`."""

    __slots__ = ("_backends", "_bounds", "_permits", "_row", "_shared", "queue")

    def __init__(self, config: PoolConfig, backends: Sequence[Backend], row: counters.Row, shared: Shared) -> None:
        """`row` is this worker's own among those that are shared."""
        self._backends = tuple(backends)
        self._bounds = config.queue
        self._permits: list[Permits] = []
        self._row = row
        self._shared = shared
        self.queue = Queue(config.queue, lambda: shared.workers)

    def succeed(self, queue: Queue) -> None:
        """Before it is live: those who wait in the queue of the pool that it replaces keep their places before newcomers."""
        self.queue = queue

    def rebuild(self) -> None:
        """It is live from now on, or its backends' limits may have changed."""
        self.queue.configure(self._bounds)
        self._permits = [self._permits_of(backend) for backend in self._backends if backend.limit]

    def _permits_of(self, backend: Backend) -> Permits:
        """A backend that was in a pool before has them already; from now on they serve this pool's queue."""
        permits = backend.permits or Permits(backend, self._row.cells, self._shared)
        permits.waiters = self.queue.waiters
        permits.wake = self.wake
        return permits

    def has_room(self, backend: Backend) -> bool:
        """Whether the lease that was counted last is not one too many."""
        return backend.load.active <= backend.credit or backend.permits is None or backend.permits.take()

    def may_wait(self, left: Sequence[Backend], avoid: Collection[Backend], is_last_resort: bool) -> bool:
        """Whether somebody of those that are `left` will do for a request that found nobody, but is full, or it must let others
        go first. One that is on trial is unwell, full or not: it is not waited for, but as the last resort.
        """
        queue = self.queue
        if left and queue.waiters and not queue.is_serving and not avoid:
            return True
        return any(
            backend.load.active >= backend.credit and (backend.gate is backend.slow_start or is_last_resort) for backend in left
        )

    def wake(self) -> None:
        """Something may have become free."""
        if self.queue.waiters:
            self.queue.wake()

    def look(self) -> None:
        """A wakeup came: others want permits, or have given some back."""
        for permits in self._permits:
            permits.look()
        self.wake()

    def ask_again(self) -> None:
        """Requests have been waiting for a while."""
        for permits in self._permits:
            permits.ask_again()

    def tick(self) -> None:
        """From time to time: the board shows who waits."""
        self._row.cells[self._backends[0].block + counters.WAITING] = len(self.queue.waiters)

    def retire(self) -> None:
        """The pool is served no more: the limits that still hold are another's."""
        self._row.cells[self._backends[0].block + counters.WAITING] = 0
        for backend in self._backends:
            if backend.permits is not None and not backend.limit:
                backend.permits.close()
