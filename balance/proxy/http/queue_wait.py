"""A request that waits because every backend that may serve it is full: in its pool's queue, holding nothing but what it is to
send. Its turn comes by itself; what ends it ends the waiting too.
"""

from __future__ import annotations

from abc import abstractmethod

from balance.errors import UpstreamError
from balance.model import Outcome, Why
from balance.proxy.http.connect import Attempts
from balance.proxy.net.timer_wheel import NEVER

FULL = "every backend has as many requests as it may have"


class Queued(Attempts):
    """The part of an exchange that waits for its turn."""

    __slots__ = ("_waited_s", "held")
    _waited_s: float
    held: list[bytes] | None  # of the body, until there is a connection for it

    @abstractmethod
    def _fail(self, status: int, why: Why, detail: str, outcome: Outcome) -> None:
        """End the exchange with what is known."""

    @property
    @abstractmethod
    def last_failure(self) -> UpstreamError | None:
        """How the try before failed, if there was one."""

    @property
    def is_choosy(self) -> bool:
        return bool(self._tried)

    def _may_wait(self, now: float) -> bool:
        """Wait, if that may help and there is room."""
        pool = self.settings.pool
        if pool.queue is None or not pool.may_wait(self._tried) or not pool.queue.join(self, now):
            return False
        self.client.arm(now, NEVER)  # the queue keeps its own time
        return True

    def turn(self, now: float) -> bool:
        try:
            return self._turn(now)
        except Exception:  # here no transport is watching
            self.crashed()
            raise

    def _turn(self, now: float) -> bool:
        if self.held is not None and self.client.has_left():  # nobody was reading
            self.client.give_up()
            return True
        pool = self.settings.pool
        lease = pool.acquire(b"" if pool.key_of is None else self._key(pool.key_of), now, self._tried)
        if lease is None and pool.may_wait(self._tried):
            return False
        self._stop_waiting(now)
        if lease is None:
            self._nobody(self.last_failure)
        else:
            self.choose(now, None, lease)
        return True

    def waited_too_long(self, now: float) -> None:
        self._stop_waiting(now)
        self._fail(503, Why.QUEUE_TIMEOUT, FULL, Outcome.ABORTED)

    def _stop_waiting(self, now: float) -> None:
        """Whatever ended it; harmless when it did not wait."""
        queue = self.settings.pool.queue
        if queue is not None and (since := queue.leave(self)) is not None:
            self._waited_s += now - since
