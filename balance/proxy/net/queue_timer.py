"""Serves a pool's queue: at the next turn of the loop after a permit became free, and at every tick while requests wait."""

from __future__ import annotations

import asyncio
from time import monotonic

from balance.proxy.net.timer_wheel import TICK_S
from balance.runtime.pool import Pool
from balance.runtime.queue import Queue


class QueueTimer:
    """One for each queue; `pool` is the pool that has the queue now.

    The queue is never served from within the call that freed a permit, as that would recurse.
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
        """Stop the timer, at the end of a drain, when the queue is empty."""
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
        """Expire waiters and serve the queue, in case a wakeup was lost or a limit was raised."""
        self._timer = None
        queue = self.queue
        if queue.waiters:
            self._watch()  # first, so that an error below does not stop the timer
            queue.expire(monotonic())
            self.pool.ask_again()
            queue.serve(monotonic())
