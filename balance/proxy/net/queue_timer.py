"""What turns a pool's queue: its turn comes soon after something became free, and is looked after while somebody waits."""

from __future__ import annotations

import asyncio
from time import monotonic

from balance.proxy.net.timer_wheel import TICK_S
from balance.runtime.pool import Pool
from balance.runtime.queue import Queue


class QueueTimer:
    """One queue's; `pool` is the one that has it now.

    Nobody is served in the middle of whatever made room: that would go round in circles.
    """

    __slots__ = ("_is_due", "_loop", "_timer", "pool", "queue")

    def __init__(self, loop: asyncio.AbstractEventLoop, pool: Pool, queue: Queue) -> None:
        self._loop = loop
        self.pool = pool
        self.queue = queue
        self._is_due = False
        self._timer: asyncio.TimerHandle | None = None
        queue.wake = self._wake
        queue.watch = self._watch

    def close(self) -> None:
        """At the end of a drain, when nobody waits."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wake(self) -> None:
        if not self._is_due:
            self._is_due = True
            self._loop.call_soon(self._serve)

    def _serve(self) -> None:
        self._is_due = False
        self.queue.serve(monotonic())

    def _watch(self) -> None:
        if self._timer is None:
            self._timer = self._loop.call_later(TICK_S, self._look)

    def _look(self) -> None:
        """Whatever was missed: a wake-up that got lost, a limit that was raised, a time that is over."""
        self._timer = None
        queue = self.queue
        if queue.waiters:
            self._watch()  # first: time goes on whatever happens below
            queue.expire(monotonic())
            self.pool.ask_again()
            queue.serve(monotonic())
