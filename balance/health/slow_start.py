"""Slow start: a backend that has just come back gets a growing part of its share, so that cold caches fill in peace.

Only after a return, never when the process starts (HAProxy's rule): then all would ramp together.
"""

from __future__ import annotations

FLOOR = 0.1  # of its share, at once (Envoy's min_weight_percent)


class SlowStart:
    """One return. It thins the requests that were meant for the backend anyway, so it works under every algorithm."""

    __slots__ = ("_began", "_credit", "_window_s")

    def __init__(self, window_s: float, now: float) -> None:
        self._window_s = window_s
        self._began = now
        self._credit = 0.0

    def share(self, now: float) -> float:
        """The part of its share that it gets now: 0.1 to 1."""
        return min(1.0, max(FLOOR, (now - self._began) / self._window_s))

    def is_over(self, now: float) -> bool:
        return now - self._began >= self._window_s

    def admits(self, now: float) -> bool:
        """Whether this request, of those meant for the backend, goes there: evenly spaced, without chance."""
        self._credit += self.share(now)
        if self._credit < 1.0:
            return False
        self._credit -= 1.0
        return True
