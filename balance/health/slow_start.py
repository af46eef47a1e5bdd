"""Slow start: a backend that has come back gets a growing fraction of its share, so that its caches can fill.

As in HAProxy, only after a backend was down, not when the balancer starts.
"""

from __future__ import annotations

from typing import Final

FLOOR: Final = 0.1  # the initial fraction (Envoy's min_weight_percent)


class SlowStart:
    """Admits a growing fraction of the requests for which the backend was chosen; works with every algorithm."""

    __slots__ = ("_began", "_credit", "_window_s")

    def __init__(self, window_s: float, now: float) -> None:
        self._window_s = window_s
        self._began = now
        self._credit = 0.0

    def fraction(self, now: float) -> float:
        """The fraction at `now`: FLOOR to 1."""
        return min(1.0, max(FLOOR, (now - self._began) / self._window_s))

    def is_over(self, now: float) -> bool:
        return now - self._began >= self._window_s

    def admits(self, now: float) -> bool:
        """Whether the backend takes this request: evenly spaced, not random."""
        self._credit += self.fraction(now)
        if self._credit < 1.0:
            return False
        self._credit -= 1.0
        return True
