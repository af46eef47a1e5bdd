"""The sliding windows over one backend's requests and failures, fed from its counters. The outlier detector decides."""

from __future__ import annotations

from collections.abc import Sequence

from balance.admin.state_view import BackendView
from balance.config.model import PassiveChecks
from balance.health.circuit_breaker import RATE, RATE_REQUESTS, RATE_WINDOW_S
from balance.health.window import Volume, Window
from balance.process.shared_memory.board import Board
from balance.runtime import counters


class BackendWindow:
    """See the module."""

    __slots__ = (
        "_breaker_window",
        "_cells",
        "_last_blamed",
        "_last_requests",
        "_last_trials_failed",
        "_last_trials_passed",
        "_passive_window",
        "_rows",
        "backend_view",
    )  # fmt: skip

    def __init__(self, backend_view: BackendView, board: Board) -> None:
        checks: PassiveChecks = backend_view.pool.health_check.passive
        self.backend_view = backend_view
        self._rows = board.rows
        self._cells = counters.block(backend_view.slot)
        self._breaker_window = Window(RATE_WINDOW_S) if backend_view.pool.breaker.enabled else None
        self._passive_window = Window(checks.window_s) if checks.enabled else None
        self._last_requests = self._last_blamed = self._last_trials_passed = self._last_trials_failed = 0

    def has_same_checks(self, backend_view: BackendView) -> bool:
        """Whether another configuration has the same breaker and passive checks."""
        before, now = self.backend_view.pool, backend_view.pool
        return before.breaker == now.breaker and before.health_check.passive == now.health_check.passive

    @property
    def windows(self) -> Sequence[Window]:
        return [window for window in (self._breaker_window, self._passive_window) if window is not None]

    def start(self, totals: tuple[int, int]) -> None:
        """Counts before this do not matter."""
        self._last_requests, self._last_blamed = totals
        self.take_trials()

    def update(self, requests: int, blamed: int, now: float) -> int:
        """Feed the counters; returns the number of new failures."""
        sent, failed = requests - self._last_requests, blamed - self._last_blamed
        self._last_requests, self._last_blamed = requests, blamed
        if sent or failed:
            for window in self.windows:
                window.add(max(sent, failed), failed, now)
        return failed

    def take_trials(self) -> tuple[int, int]:
        """How many trial requests passed and failed since the last call."""
        passed = sum(row[self._cells + counters.TRIALS_PASSED] for row in self._rows)
        failed = sum(row[self._cells + counters.TRIALS_FAILED] for row in self._rows)
        new = passed - self._last_trials_passed, failed - self._last_trials_failed
        self._last_trials_passed, self._last_trials_failed = passed, failed
        return new

    def volume(self, now: float) -> Volume:
        """Requests and failures in the passive checks' window."""
        return self._passive_window.volume(now) if self._passive_window is not None else Volume(0, 0)

    def exceeds_failure_rate(self, now: float) -> bool:
        """Whether the breaker should open by failure rate."""
        if self._breaker_window is None:
            return False
        requests, failures = self._breaker_window.volume(now)
        return requests >= RATE_REQUESTS and failures >= RATE * requests

    def clear(self) -> None:
        """Start over."""
        for window in self.windows:
            window.clear()
