"""Limits of a pool's backends (`max_connections`), and the queue of requests that find all backends full.

When the chosen backend is full, another is chosen, as with a gate. Being full does not count against a backend's health.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from balance.config.model import PoolConfig
from balance.runtime import counters
from balance.runtime.backend import Backend
from balance.runtime.health_gate import Shared
from balance.runtime.max_connections import Permits
from balance.runtime.queue import Queue
from balance.runtime.row import Row


def has_limits(config: PoolConfig) -> bool:
    """Whether any backend of the pool has a limit."""
    return any(backend.max_connections for backend in config.backends)


class PoolLimits:
    """The limits of one pool in one worker. New requests do not overtake those that wait in `queue`."""

    __slots__ = ("_backends", "_bounds", "_permits", "_row", "_shared", "queue")

    def __init__(self, config: PoolConfig, backends: Sequence[Backend], row: Row, shared: Shared) -> None:
        """`row` is this worker's own of the shared rows."""
        self._backends = tuple(backends)
        self._bounds = config.queue
        self._permits: list[Permits] = []
        self._row = row
        self._shared = shared
        self.queue = Queue(config.queue, lambda: shared.workers)

    def succeed(self, queue: Queue) -> None:
        """Take over the queue of the pool that this one replaces, before it is live: waiting requests keep their places."""
        self.queue = queue

    def rebuild(self) -> None:
        """Make it live, or apply changed limits of its backends."""
        self.queue.configure(self._bounds)
        self._permits = [self._permits_of(backend) for backend in self._backends if backend.limit]

    def _permits_of(self, backend: Backend) -> Permits:
        """The backend's permits, made if it has none; from now on they wake this pool's queue."""
        permits = backend.permits or Permits(backend, self._row.cells, self._shared)
        permits.waiters = self.queue.waiters
        permits.wake = self.wake
        return permits

    def has_room(self, backend: Backend) -> bool:
        """Whether the lease that was counted last is within the limit; takes a permit where it needs one."""
        return backend.load.active <= backend.credit or backend.permits is None or backend.permits.take()

    def may_wait(self, left: Sequence[Backend], avoid: Collection[Backend], is_last_resort: bool) -> bool:
        """Whether a request that found no backend may wait: one of those `left` is full, or others wait before it.

        A backend on trial is not waited for, except when there are only such (`is_last_resort`).
        """
        queue = self.queue
        if left and queue.waiters and not queue.is_serving and not avoid:
            return True
        return any(
            backend.load.active >= backend.credit and (backend.gate is backend.slow_start or is_last_resort) for backend in left
        )

    def wake(self) -> None:
        """A permit may be free: let the queue be served soon."""
        if self.queue.waiters:
            self.queue.wake()

    def look(self) -> None:
        """On a wakeup: other workers want permits, or have given some back."""
        for permits in self._permits:
            permits.look()
        self.wake()

    def ask_again(self) -> None:
        """Called while requests wait: ask the other workers for permits once more."""
        for permits in self._permits:
            permits.ask_again()

    def tick(self) -> None:
        """Called by a timer: write the number of waiting requests to the board."""
        self._row.cells[self._backends[0].block + counters.WAITING] = len(self.queue.waiters)

    def retire(self) -> None:
        """The pool is not served any more: clear its gauge, and give back permits of backends without a limit."""
        self._row.cells[self._backends[0].block + counters.WAITING] = 0
        for backend in self._backends:
            if backend.permits is not None and not backend.limit:
                backend.permits.close()
