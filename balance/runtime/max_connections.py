"""How many requests may be at a backend at once, over all workers: each of its leases needs a permit. A listener's clients are
limited in the same way (`max_clients`).

A worker's row says how many it holds, and the sum over the rows is never above the limit: more are taken only under the
backend's lock. With enough of them it asks nobody, which is one comparison; giving back needs no lock, as the sum only shrinks.
Permits stand as a gauge, so that those of a worker that dies are free with the rest of what it held.

Who finds none left marks its row and rings those who hold some. They give back at once what they don't use and, where their own
requests wait too, what is above a fair share. A ring that is lost is made up for by tick() and ask_again().
"""

from __future__ import annotations

from collections.abc import Callable, Sized
from typing import Final

from balance.load import Load
from balance.runtime import counters
from balance.runtime.health_gate import Shared

UNLIMITED: Final = 1 << 62
_NOBODY: Final[Sized] = ()


def _nobody_waits() -> None:
    pass


class Limited:
    """What only so many may use at once, over all workers: a backend by its leases, a listener by its clients. `slot` is its
    block on the board."""

    __slots__ = ("_limit", "block", "credit", "load", "permits", "slot")

    def __init__(self, slot: int, load: Load, limit: int) -> None:
        self.slot = slot
        self.block = counters.block(slot)
        self.load = load
        self.permits: Permits | None = None  # what is asked before it is used, where there is a limit
        self.credit = UNLIMITED  # uses that need nobody's leave
        self._limit = limit

    @property
    def limit(self) -> int:
        """How many uses there may be at once, 0 for any number. May be set at any time."""
        return self._limit

    @limit.setter
    def limit(self, limit: int) -> None:
        self._limit = limit
        if self.permits is not None:
            self.permits.adjust()


class Permits:
    """One backend's, in one worker. `waiters` are the requests here that might use one; `wake` is called when they can."""

    __slots__ = ("_backend", "_credit", "_is_hopeless", "_row", "_shared", "_unused", "_wanted", "is_pressed", "waiters",
                 "wake")  # fmt: skip

    def __init__(self, backend: Limited, row: memoryview, shared: Shared) -> None:
        """`row` is this worker's own among those that are shared."""
        self._backend = backend
        self._row = row
        self._shared = shared
        self._credit = backend.block + counters.CREDIT
        self._wanted = backend.block + counters.WANTED
        self._is_hopeless = False  # none was left, and whoever gives one back will ring
        self._unused = 0  # at the last tick
        self.is_pressed = False  # others want some, or too many are out: settle() when a lease ends
        self.waiters: Sized = _NOBODY
        self.wake: Callable[[], None] = _nobody_waits
        backend.permits = self
        self.adjust()

    def take(self) -> bool:
        """A permit for the lease that was counted last. False when there is none; then the others know that one is wanted."""
        if self._is_hopeless:
            return False
        backend, row, shared = self._backend, self._row, self._shared
        row[self._wanted] = 1  # before looking: who gives back meanwhile sees it
        if not shared.locks.take(backend.slot):
            return False  # somebody is at it: as good as none
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
        """A lease has ended, and somebody wants its permit."""
        if self.is_pressed:
            self.settle()
        if self.waiters and self._backend.load.active < self._backend.credit:
            self.wake()

    def settle(self) -> None:
        """Give back what others want or what is above the limit, but nothing that is in use."""
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
        """A wakeup came: others want some, or have given some back."""
        self._is_hopeless = False
        self.settle()

    def ask_again(self) -> None:
        """Requests still wait here: whoever holds some is asked once more."""
        self._is_hopeless = False
        if self._row[self._wanted]:
            self._shared.ring_where(self._credit)

    def tick(self) -> None:
        """From time to time. Of what was not needed since the last one, half is given back: nobody hoards."""
        self._is_hopeless = False
        if self._row[self._wanted] and not self.waiters:
            self._row[self._wanted] = 0
        self.settle()  # others may have learnt of another limit since
        backend = self._backend
        before, self._unused = self._unused, backend.credit - backend.load.active
        if backend.limit and (not backend.load.active or self._shared.workers > 1):
            self._give_back((min(before, self._unused) + 1) // 2)

    def adjust(self) -> None:
        """The limit has been set. Where more is out than it allows, that ends with the leases."""
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
        """No limit holds here any more, or nobody uses the backend. It may get others one day."""
        backend, row = self._backend, self._row
        row[self._credit] = row[self._wanted] = 0
        backend.credit = UNLIMITED
        backend.permits = None
        self.waiters, self.wake = _NOBODY, _nobody_waits  # they lead to the pool
        if backend.limit:
            self._shared.ring_where(self._wanted)

    def _held(self) -> int:
        """By all workers."""
        return sum(row[self._credit] for row in self._shared.rows)

    def _helping(self, free: int) -> int:
        """How many to take at once: all when nobody else is there, few when others will want some."""
        workers = self._shared.workers
        return free if workers == 1 else max(1, free // (2 * workers))

    def _give_back(self, count: int) -> None:
        if count > 0:
            self._backend.credit -= count
            self._row[self._credit] = self._backend.credit
            self._shared.ring_where(self._wanted)
