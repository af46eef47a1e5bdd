"""Permits: limit the leases of a backend (`max_connections`) and the clients of a listener (`max_clients`) over all workers.

A worker's row has the number of permits that it holds. The sum over the rows is never above the limit, because permits are
taken under the backend's lock; giving back needs no lock, as it only lowers the sum. While a worker has enough permits, a lease
costs one comparison. Permits are a gauge, so those of a worker that dies are free again with its other gauges.

A worker that finds none left marks its row and wakes the workers that hold some. They give back at once what they don't use
and, where their own requests wait too, what is above a fair share. tick() and ask_again() make up for a lost wakeup.
"""

from __future__ import annotations

from collections.abc import Callable, Sized
from typing import Final

from balance.load import Load
from balance.runtime import counters
from balance.runtime.health_gate import Shared

UNLIMITED: Final = 1 << 60  # compiled, greater ones are compared as objects
_NOBODY: Final[Sized] = ()


def _nobody_waits() -> None:
    pass


class Limited:
    """What may have a limit of uses at once over all workers: a backend's leases or a listener's clients.

    `slot` is its backend slot on the board.
    """

    __slots__ = ("_limit", "block", "credit", "load", "permits", "slot")

    def __init__(self, slot: int, load: Load, limit: int) -> None:
        self.slot = slot
        self.block = counters.block(slot)
        self.load = load
        self.permits: Permits | None = None  # for uses beyond `credit`; None where there is no limit
        self.credit = UNLIMITED  # permits that this worker holds: so many uses need no take()
        self._limit = limit

    @property
    def limit(self) -> int:
        """The most uses at once, 0 for no limit. May be set at any time."""
        return self._limit

    @limit.setter
    def limit(self, limit: int) -> None:
        self._limit = limit
        if self.permits is not None:
            self.permits.adjust()


class Permits:
    """The permits of one backend or listener in one worker.

    `waiters` are the requests in this worker that need a permit; `wake` is called when there may be one.
    """

    __slots__ = ("_backend", "_credit", "_is_hopeless", "_row", "_shared", "_unused", "_wanted", "is_pressed", "waiters",
                 "wake")  # fmt: skip

    def __init__(self, backend: Limited, row: memoryview, shared: Shared) -> None:
        """`row` is this worker's own of the shared rows."""
        self._backend = backend
        self._row = row
        self._shared = shared
        self._credit = backend.block + counters.CREDIT
        self._wanted = backend.block + counters.WANTED
        self._is_hopeless = False  # none was left; a worker that gives one back will wake this one
        self._unused = 0  # permits without a lease at the last tick
        self.is_pressed = False  # other workers want some, or more than the limit are held: settle() when a lease ends
        self.waiters: Sized = _NOBODY
        self.wake: Callable[[], None] = _nobody_waits
        backend.permits = self
        self.adjust()

    def take(self) -> bool:
        """Take a permit for the lease that was counted last. False when there is none: other workers see that one is wanted."""
        if self._is_hopeless:
            return False
        backend, row, shared = self._backend, self._row, self._shared
        row[self._wanted] = 1  # before looking, so that a worker that gives one back meanwhile sees it
        if not shared.locks.take(backend.slot):
            return False  # another process holds the lock: treated as none left
        try:
            own = max(row[self._credit], backend.load.active - 1)
            free = backend.limit - self._held() + row[self._credit] - own
            if free > 0:
                row[self._credit] = backend.credit = own + self._helping(free)
                row[self._wanted] = 0
                return True
        finally:
            shared.locks.leave(backend.slot)
        self._is_hopeless = True
        shared.ring_where(self._credit)
        return False

    def freed(self) -> None:
        """A lease has ended, and a waiter or another worker wants its permit."""
        if self.is_pressed:
            self.settle()
        if self.waiters and self._backend.load.active < self._backend.credit:
            self.wake()

    def settle(self) -> None:
        """Give back unused permits that other workers want or that are above the limit."""
        backend, row = self._backend, self._row
        if not backend.limit:
            self.is_pressed = False
            return
        own = keep = backend.credit
        wanting = sum(other[self._wanted] for other in self._shared.rows) - row[self._wanted]
        if wanting:
            keep = min(own, backend.limit // (wanting + 1)) if self.waiters else 0
        over = self._held() - backend.limit
        if over > 0:
            keep = min(keep, own - over)
        keep = max(keep, backend.load.active)
        self.is_pressed = wanting > 0 or over > own - keep
        self._give_back(own - keep)

    def look(self) -> None:
        """On a wakeup: other workers want permits, or have given some back."""
        self._is_hopeless = False
        self.settle()

    def ask_again(self) -> None:
        """Wake the workers that hold permits once more: requests still wait here."""
        self._is_hopeless = False
        if self._row[self._wanted]:
            self._shared.ring_where(self._credit)

    def tick(self) -> None:
        """Called by a timer: give back half of the permits that were not needed since the last call."""
        self._is_hopeless = False
        if self._row[self._wanted] and not self.waiters:
            self._row[self._wanted] = 0
        self.settle()  # other workers may have applied another limit since
        backend = self._backend
        before, self._unused = self._unused, backend.credit - backend.load.active
        if backend.limit and (not backend.load.active or self._shared.workers > 1):
            self._give_back((min(before, self._unused) + 1) // 2)

    def adjust(self) -> None:
        """The limit has been set. Permits in use above it are given back as leases end."""
        backend = self._backend
        self._is_hopeless = False
        self._unused = 0
        if not backend.limit:
            backend.credit = UNLIMITED
            self._row[self._credit] = self._row[self._wanted] = 0
        elif backend.credit == UNLIMITED:
            backend.credit = self._row[self._credit] = backend.load.active
        self.settle()

    def close(self) -> None:
        """Give all back: there is no limit any more, or the backend is not used. It may be given new Permits later."""
        backend, row = self._backend, self._row
        row[self._credit] = row[self._wanted] = 0
        backend.credit = UNLIMITED
        backend.permits = None
        self.waiters, self.wake = _NOBODY, _nobody_waits  # drops the references to the pool
        if backend.limit:
            self._shared.ring_where(self._wanted)

    def _held(self) -> int:
        """Permits held by all workers."""
        return sum(row[self._credit] for row in self._shared.rows)

    def _helping(self, free: int) -> int:
        """How many of the `free` to take at once: all for a single worker, else a part of a fair share."""
        workers = self._shared.workers
        return free if workers == 1 else max(1, free // (2 * workers))

    def _give_back(self, count: int) -> None:
        if count > 0:
            self._backend.credit -= count
            self._row[self._credit] = self._backend.credit
            self._shared.ring_where(self._wanted)
