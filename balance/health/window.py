"""A sliding window that counts requests and failures."""

from __future__ import annotations

from collections import deque
from typing import Final, NamedTuple

STEPS: Final = 10  # the window moves in tenths of its span


class Volume(NamedTuple):
    requests: int
    failures: int


class Window:
    """Counts per step of span_s / STEPS; steps older than the span are dropped. Times are in seconds."""

    __slots__ = ("_failures", "_requests", "_step_s", "_steps", "span_s")

    def __init__(self, span_s: float) -> None:
        self.span_s = span_s
        self._step_s = span_s / STEPS
        self._steps: deque[tuple[int, int, int]] = deque()  # (step, requests, failures), oldest first
        self._requests = 0
        self._failures = 0

    def add(self, requests: int, failures: int, now: float) -> None:
        """Add counts. `now` never decreases."""
        step = int(now / self._step_s)
        self._forget(step)
        self._requests += requests
        self._failures += failures
        if self._steps and self._steps[-1][0] == step:
            _, before, failed_before = self._steps.pop()
            requests, failures = requests + before, failures + failed_before
        self._steps.append((step, requests, failures))

    def volume(self, now: float) -> Volume:
        """The counts within the span."""
        self._forget(int(now / self._step_s))
        return Volume(self._requests, self._failures)

    def clear(self) -> None:
        """Drop all counts."""
        self._steps.clear()
        self._requests = self._failures = 0

    def _forget(self, step: int) -> None:
        while self._steps and self._steps[0][0] <= step - STEPS:
            _, requests, failures = self._steps.popleft()
            self._requests -= requests
            self._failures -= failures
