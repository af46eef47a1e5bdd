"""How many retries a pool can bear: a share of its requests, so that retries can't turn a bad minute into an overload.

Each request pays for `ratio` of a retry and each retry takes a whole one; both are forgotten after LIVES_S, and a floor keeps a
quiet pool from having none (Finagle's RetryBudget). What comes all at once is bounded besides by what is in flight (Envoy's).
"""

from __future__ import annotations

from collections.abc import Callable

LIVES_S = 10  # as in Finagle; counted by whole seconds of the clock
AT_ONCE = 3  # retries that a pool with little in flight may have in flight (Envoy's min_retry_concurrency)


class Budget:
    """One pool's, in one worker. Whoever sends a request adds one to `requests`, and that is all it costs."""

    __slots__ = ("_floor", "_ratio", "_requests", "_retries", "_second", "in_flight", "requests", "waiting")

    def __init__(self, ratio: float, min_per_second: float) -> None:
        """`min_per_second` is this worker's part of it."""
        self.requests = 0  # since the last turn()
        self.in_flight = 0  # retries that were granted and have not ended
        self.waiting = 0  # those of them that have not begun; for whoever counts what is active
        self._ratio = ratio
        self._floor = min_per_second * LIVES_S
        self._requests = [0] * LIVES_S  # by second, each at its number modulo LIVES_S
        self._retries = [0] * LIVES_S
        self._second = 0

    def turn(self, now: float) -> None:
        """Date the requests that came since the last turn, and forget what is too old. To be called a few times a second."""
        second = int(now)
        for gone in range(self._second + 1, min(second, self._second + LIVES_S) + 1):
            self._requests[gone % LIVES_S] = self._retries[gone % LIVES_S] = 0
        self._second = max(second, self._second)
        self._requests[self._second % LIVES_S] += self.requests
        self.requests = 0

    def left(self, now: float) -> float:
        """How many retries may still be granted."""
        self.turn(now)
        return self._floor + self._ratio * sum(self._requests) - sum(self._retries)

    def draw(self, now: float, active: Callable[[], int] | None) -> bool:
        """Whether one more is granted; done() gives back its place in flight. `active` counts the pool's uses in flight, of
        which those of retries are bounded; None leaves the rate alone to bound it."""
        if active is not None and self.in_flight >= AT_ONCE and self.in_flight + 1 > self._ratio * active():
            return False
        if self.left(now) < 1.0:
            return False
        self._retries[self._second % LIVES_S] += 1
        self.in_flight += 1
        return True

    def done(self) -> None:
        """A retry that was granted has ended, well or badly."""
        self.in_flight -= 1
