"""The retry budget of a pool: limits retries to a fraction of its requests.

Each request adds `ratio` of a retry, each retry takes one; both expire after WINDOW_S, and a minimum rate keeps an idle pool
from having none (Finagle's RetryBudget). Concurrent retries are limited to the same ratio of the requests in flight (Envoy).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

WINDOW_S: Final = 10  # as in Finagle; counted in whole seconds
MIN_CONCURRENCY: Final = 3  # concurrent retries that are always allowed (Envoy's min_retry_concurrency)


class Budget:
    """The budget of one pool in one worker. The caller adds 1 to `requests` for each request."""

    __slots__ = ("_floor", "_ratio", "_requests", "_retries", "_second", "in_flight", "requests", "waiting")

    def __init__(self, ratio: float, min_per_second: float) -> None:
        """`min_per_second` is this worker's part of the configured rate."""
        self.requests = 0  # since the last advance()
        self.in_flight = 0  # retries that were granted and have not ended
        self.waiting = 0  # granted retries that wait for their backoff
        self._ratio = ratio
        self._floor = min_per_second * WINDOW_S
        self._requests = [0] * WINDOW_S  # by second, modulo WINDOW_S
        self._retries = [0] * WINDOW_S
        self._second = 0

    def advance(self, now: float) -> None:
        """Move `requests` into the window and drop what has expired. To be called a few times a second."""
        second = int(now)
        for gone in range(self._second + 1, min(second, self._second + WINDOW_S) + 1):
            self._requests[gone % WINDOW_S] = self._retries[gone % WINDOW_S] = 0
        self._second = max(second, self._second)
        self._requests[self._second % WINDOW_S] += self.requests
        self.requests = 0

    def available(self, now: float) -> float:
        """How many retries may be granted now."""
        self.advance(now)
        return self._floor + self._ratio * sum(self._requests) - sum(self._retries)

    def acquire(self, now: float, active: Callable[[], int] | None) -> bool:
        """Whether one more retry is granted; release() ends it. `active` returns the pool's requests in flight for the limit on
        concurrency; None skips that limit."""
        if active is not None and self.in_flight >= MIN_CONCURRENCY and self.in_flight + 1 > self._ratio * active():
            return False
        if self.available(now) < 1.0:
            return False
        self._retries[self._second % WINDOW_S] += 1
        self.in_flight += 1
        return True

    def release(self) -> None:
        """A granted retry has ended."""
        self.in_flight -= 1
