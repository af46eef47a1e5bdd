"""The wait of a request in its pool's queue while every backend that may serve it is full.

A waiting request holds only the bytes that it is to send: no lease, no upstream. The queue keeps the timeout and calls turn();
the end of the exchange also ends the wait.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from balance.model import Outcome, Why
from balance.proxy.http.traced import queued
from balance.proxy.net.timer_wheel import NEVER
from balance.runtime.queue import Queue

if TYPE_CHECKING:
    from balance.proxy.http.exchange.exchange import Exchange

FULL: Final = "every backend has as many requests as it may have"


class QueueWait:
    """The Waiter that the queue knows. One object for all waits of an exchange."""

    __slots__ = ("_exchange", "_queue", "waited_s")

    def __init__(self, exchange: Exchange, queue: Queue) -> None:
        self._exchange = exchange
        self._queue = queue
        self.waited_s = 0.0  # seconds, in finished waits

    @property
    def is_choosy(self) -> bool:
        """Whether the request avoids some backends, because it tried them."""
        return bool(self._exchange.tried)

    def join(self, now: float) -> bool:
        """Enter the queue. False when the queue is full."""
        if not self._queue.join(self, now):
            return False
        self._exchange.client.arm(now, NEVER)  # the queue keeps the timeout
        return True

    def leave(self, now: float) -> None:
        """Leave the queue; no effect when not in it."""
        since = self._queue.leave(self)
        if since is not None:
            self.waited_s += now - since
            queued(self._exchange, since, now)

    def turn(self, now: float) -> bool:
        """Called by the queue: ask the pool again. False when the request must wait on."""
        try:
            return self._turn(now)
        except Exception:  # called outside a transport callback, which would end the connection
            self._exchange.crashed()
            raise

    def _turn(self, now: float) -> bool:
        exchange = self._exchange
        upload = exchange.upload
        # While a body is held, reading is paused, and the client's end was not noticed.
        if upload is not None and upload.is_held and exchange.client.has_left():
            exchange.client.give_up()
            return True
        lease = exchange.acquire(now)
        if lease is None and exchange.settings.pool.may_wait(exchange.tried):
            return False
        self.leave(now)
        if lease is None:
            exchange.nobody(now)
        else:
            exchange.use(lease, now)
        return True

    def waited_too_long(self, now: float) -> None:
        """Called by the queue at its timeout: reply 503."""
        self.leave(now)
        self._exchange.fail(503, Why.QUEUE_TIMEOUT, FULL, Outcome.ABORTED)
