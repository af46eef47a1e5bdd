"""Requests that wait because every backend that may serve them is full: first come, first served, in bounds of number and time.

One per pool and worker. Knows neither what a request is nor what wakes it: whoever waits is asked to try again when it is its
turn. All wait equally long at most, so the first is always the next whose time is over.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from itertools import islice
from typing import Protocol

from balance.config.model import QueueConfig


class Waiter(Protocol):
    """Somebody who waits. Whoever has got something, or gives up, leaves."""

    @property
    def is_choosy(self) -> bool:
        """Whether what it can't use may be of use to those behind it: it has tried some backends already."""

    def turn(self, now: float) -> bool:
        """Try again. False when there is still nothing."""

    def waited_too_long(self, now: float) -> None:
        """It is over."""


def _nothing() -> None:
    pass


class Queue:
    """`waiters` in their order, each with the time when it joined."""

    __slots__ = ("_size", "_timeout_s", "_workers", "is_serving", "waiters", "wake", "watch")

    def __init__(self, config: QueueConfig, workers: Callable[[], int]) -> None:
        """So many `workers` share the size: each has its part, one at least."""
        self.configure(config)
        self._workers = workers
        self.waiters: OrderedDict[Waiter, float] = OrderedDict()
        self.is_serving = False  # whoever asks for a backend now has its turn
        self.wake: Callable[[], None] = _nothing  # something may have become free
        self.watch: Callable[[], None] = _nothing  # somebody waits: look after them until nobody does

    def configure(self, config: QueueConfig) -> None:
        """Other bounds from now on; nobody who waits is sent away for them."""
        self._size = config.size
        self._timeout_s = config.timeout_s

    @property
    def room(self) -> int:
        """How many may wait in this worker."""
        return -(-self._size // self._workers())

    def join(self, waiter: Waiter, now: float) -> bool:
        """Wait as the last one. False when there is no room."""
        if len(self.waiters) >= self.room:
            return False
        self.waiters[waiter] = now
        if len(self.waiters) == 1:
            self.watch()
        elif next(iter(self.waiters)).is_choosy:
            self.wake()  # those before it may wait for something else
        return True

    def leave(self, waiter: Waiter) -> float | None:
        """Wait no more: since when it did, None when it did not."""
        return self.waiters.pop(waiter, None)

    def serve(self, now: float) -> None:
        """Let those who wait try in their order, until one finds nothing that those behind it could use."""
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
        """End the waiting of those whose time is over."""
        while self.waiters:
            waiter, since = next(iter(self.waiters.items()))
            if now < since + self._timeout_s:
                break
            waiter.waited_too_long(now)
            self.waiters.pop(waiter, None)
