"""A request that waits in its pool's queue, because every backend that may serve it is full.

Meanwhile it holds nothing but what it is to send. The queue keeps its time and says when it is its turn; whatever ends the
exchange ends the wait too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from balance.model import Outcome, Why
from balance.proxy.net.timer_wheel import NEVER
from balance.runtime.queue import Queue

if TYPE_CHECKING:
    from balance.proxy.http.exchange import Exchange

FULL: Final = "every backend has as many requests as it may have"


class QueueWait:
    """The queue's Waiter. One for all waits of an exchange."""

    __slots__ = ("_exchange", "_queue", "waited_s")

    def __init__(self, exchange: Exchange, queue: Queue) -> None:
        self._exchange = exchange
        self._queue = queue
        self.waited_s = 0.0  # in waits that are over

    @property
    def is_choosy(self) -> bool:
        """Whether it has tried some backends already."""
        return bool(self._exchange.tried)

    def join(self, now: float) -> bool:
        """Wait. False when there is no room."""
        if not self._queue.join(self, now):
            return False
        self._exchange.client.arm(now, NEVER)  # the queue keeps its own time
        return True

    def leave(self, now: float) -> None:
        """Wait no more; harmless when it did not."""
        since = self._queue.leave(self)
        if since is not None:
            self.waited_s += now - since

    def turn(self, now: float) -> bool:
        """Ask the pool again. False when there is still nobody."""
        try:
            return self._turn(now)
        except Exception:  # here no transport is watching
            self._exchange.crashed()
            raise

    def _turn(self, now: float) -> bool:
        exchange = self._exchange
        upload = exchange.upload
        if upload is not None and upload.is_held and exchange.client.has_left():  # nobody was reading
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
        """Its time is over."""
        self.leave(now)
        self._exchange.fail(503, Why.QUEUE_TIMEOUT, FULL, Outcome.ABORTED)
