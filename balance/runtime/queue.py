"""The queue of requests that find every backend full: first come, first served, bounded in size and waiting time.

One for each pool and worker. It knows no requests or timers: a waiter is asked to try again when it is its turn. All waiters
have the same timeout, so the first one always expires first.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from itertools import islice
from typing import Protocol

from balance.config.model import QueueConfig


class Waiter(Protocol):
    """A request or TCP session that waits. It leaves the queue when it has a lease or gives up."""

    @property
    def is_choosy(self) -> bool:
        """Whether waiters behind it may use what it can't: it has tried some backends already."""

    def turn(self, now: float) -> bool:
        """Try again. False when there is still no backend for it. `now`: seconds, monotonic."""

    def waited_too_long(self, now: float) -> None:
        """The queue's timeout has passed; the queue removes the waiter."""


def _nothing() -> None:
    pass


class Queue:
    """`waiters` in their order, each with the monotonic time in seconds when it joined."""

    __slots__ = ("_size", "_timeout_s", "_workers", "is_serving", "waiters", "wake", "watch")

    def __init__(self, config: QueueConfig, workers: Callable[[], int]) -> None:
        """The configured size is shared by that many `workers`: each has an equal part, rounded up."""
        self.configure(config)
        self._workers = workers
        self.waiters: OrderedDict[Waiter, float] = OrderedDict()
        self.is_serving = False  # a waiter has its turn: its acquire() must not be held back by the queue
        self.wake: Callable[[], None] = _nothing  # called when a permit may be free
        self.watch: Callable[[], None] = _nothing  # called when the queue is not empty any more: start its timer

    def configure(self, config: QueueConfig) -> None:
        """Apply other bounds. Waiters beyond a smaller size stay."""
        self._size = config.size
        self._timeout_s = config.timeout_s

    @property
    def room(self) -> int:
        """The most waiters in this worker."""
        return -(-self._size // self._workers())

    def join(self, waiter: Waiter, now: float) -> bool:
        """Append the waiter. False when there is no room."""
        if len(self.waiters) >= self.room:
            return False
        self.waiters[waiter] = now
        if len(self.waiters) == 1:
            self.watch()
        elif next(iter(self.waiters)).is_choosy:
            self.wake()  # those before it may wait for another backend
        return True

    def leave(self, waiter: Waiter) -> float | None:
        """Remove the waiter. The time when it joined, None when it was not in the queue."""
        return self.waiters.pop(waiter, None)

    def serve(self, now: float) -> None:
        """Give the waiters their turns in order, until one that is not choosy finds no backend."""
        passed = 0
        self.is_serving = True
        try:
            while passed < len(self.waiters):
                waiter = next(islice(self.waiters, passed, None))
                if waiter.turn(now):
                    self.waiters.pop(waiter, None)
                elif waiter.is_choosy:
                    passed += 1
                else:
                    break
        finally:
            self.is_serving = False

    def expire(self, now: float) -> None:
        """Remove the waiters whose timeout has passed, and tell them."""
        while self.waiters:
            waiter, since = next(iter(self.waiters.items()))
            if now < since + self._timeout_s:
                break
            waiter.waited_too_long(now)
            self.waiters.pop(waiter, None)
