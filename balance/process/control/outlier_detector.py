"""Outlier detection (as Envoy's): ejects backends by passive checks, unejects them, and opens circuit breakers by failure rate.

Workers wake control on failures; then, and a few times per window, it reads their counters. The cost depends on failures and
backends, not on traffic.
"""

from __future__ import annotations

import asyncio
import logging
from time import monotonic

from balance.health.circuit_breaker import PEAK_FAILURES, Breaker, Signal
from balance.health.outlier_detection import ejection_reason, ejection_s, may_eject, remaining_ejections
from balance.health.states import Event, State
from balance.health.window import STEPS
from balance.process import state_log
from balance.process.children.child_context import ChildContext
from balance.process.control.backend_window import BackendWindow
from balance.process.control.health_registry import HealthRegistry
from balance.process.shared_memory.board import Ejection
from balance.runtime import counters

log = logging.getLogger("balance.control")

MIN_INTERVAL_S = 0.05  # from one look to the next at least


class OutlierDetector:
    """Runs from start() on. Pools without passive checks or breaker are skipped."""

    def __init__(self, loop: asyncio.AbstractEventLoop, context: ChildContext, health_registry: HealthRegistry) -> None:
        self._loop = loop
        self._context = context
        self._board = context.board
        self._health_registry = health_registry
        self._backend_windows: dict[int, BackendWindow] = {}
        self._sample_s = 0.0
        self._is_sampling = False
        self._blamed: list[int] = []  # at the last look
        self._returning: set[int] = set()
        self._evaluated_at = 0.0
        self._is_scheduled = False

    def start(self) -> None:
        """Evaluate on wakeups and at fixed intervals."""
        self.update()
        for wakeup in self._context.wakeups:
            self._loop.add_reader(wakeup.control_end, self._on_wakeup, wakeup)

    def update(self) -> None:
        """The configured backends have changed; windows of unchanged checks are kept."""
        before, self._backend_windows = self._backend_windows, {}
        requests, aborted = self._board.column(counters.LEASES), self._board.column(counters.ABORTED)
        blamed = self._board.column(counters.BLAMED)
        for slot, backend_view in self._health_registry.backend_views.items():
            if not backend_view.pool.breaker.enabled and not backend_view.pool.health_check.passive.enabled:
                continue
            backend_window = before.get(slot)
            if backend_window is not None and backend_window.has_same_checks(backend_view):
                backend_window.backend_view = backend_view
            else:
                backend_window = BackendWindow(backend_view, self._board)
                backend_window.start((requests[slot] - aborted[slot], blamed[slot]))
                if self._health_registry.state(slot) is State.EJECTED and slot not in before:
                    self._schedule_uneject(slot)
            self._backend_windows[slot] = backend_window
        self._blamed = []
        self._returning = {slot for slot in self._backend_windows if self._health_registry.state(slot) is State.RETURNING}
        spans = [window.span_s for backend_window in self._backend_windows.values() for window in backend_window.windows]
        self._sample_s = min(spans, default=0.0) / STEPS
        if self._backend_windows and not self._is_sampling:
            self._is_sampling = True
            self._sample()

    def _on_wakeup(self, wakeup: object) -> None:
        for each in self._context.wakeups:
            each.received_by_control()
        if not self._is_scheduled:
            self._is_scheduled = True
            self._loop.call_later(max(0.0, self._evaluated_at + MIN_INTERVAL_S - monotonic()), self._evaluate)

    def _sample(self) -> None:
        if not self._backend_windows:
            self._is_sampling = False
            return
        self._blamed = []
        self._evaluate()
        self._loop.call_later(self._sample_s, self._sample)

    def _evaluate(self) -> None:
        """Evaluate the backends with new failures or trials; all of them for a sample."""
        self._is_scheduled = False
        now = self._evaluated_at = monotonic()
        board = self._board
        requests, aborted = board.column(counters.LEASES), board.column(counters.ABORTED)
        blamed, peaks, before = board.column(counters.BLAMED), board.evidence_column(PEAK_FAILURES), self._blamed
        self._blamed = blamed
        for slot, backend_window in self._backend_windows.items():
            if before and before[slot] == blamed[slot] and not peaks[slot] and slot not in self._returning:
                continue
            failed = backend_window.update(requests[slot] - aborted[slot], blamed[slot], now)
            state = self._health_registry.state(slot)
            if state is State.RETURNING:
                self._evaluate_trial(slot, backend_window)
                continue
            self._returning.discard(slot)
            if not state.is_ready:
                self._clear_window(slot, backend_window)
            elif failed or peaks[slot]:
                self._evaluate_backend(slot, backend_window, now)

    def _evaluate_backend(self, slot: int, backend_window: BackendWindow, now: float) -> None:
        pool = backend_window.backend_view.pool
        if pool.breaker.enabled and backend_window.exceeds_failure_rate(now):
            self._open_breaker(slot, backend_window, now)
        checks = pool.health_check.passive
        if checks.enabled:
            reason = ejection_reason(checks, self._take_peak(slot), backend_window.volume(now))
            if reason and may_eject(checks, self._health_registry.states(pool.name)):
                self._eject(slot, backend_window, Event.EJECT, reason, now)

    def _evaluate_trial(self, slot: int, backend_window: BackendWindow) -> None:
        passed, failed = backend_window.take_trials()
        if failed and not self._health_registry.has_ready(backend_window.backend_view.pool.name):
            return  # no other backend is ready: it stays on trial until a request passes or another backend is ready
        if failed:
            self._eject(slot, backend_window, Event.TRIAL_FAIL, "the request that tried it failed", monotonic())
        elif passed:
            self._clear_window(slot, backend_window)
            self._health_registry.apply_event(slot, Event.TRIAL_PASS, "the request that tried it went well")

    def _eject(self, slot: int, backend_window: BackendWindow, event: Event, reason: str, now: float) -> None:
        self._returning.discard(slot)
        checks = backend_window.backend_view.pool.health_check.passive
        board = self._board
        times, until_us, total = board.ejection(slot)
        times = remaining_ejections(checks, times, max(0.0, now - until_us / 1e6)) + 1
        for_s = ejection_s(checks, times)
        board.set_ejection(slot, Ejection(times, int((now + for_s) * 1e6), total + 1))
        self._clear_window(slot, backend_window)
        if self._health_registry.apply_event(slot, event, f"{reason}; it is left alone for {for_s:g}s"):
            self._schedule_uneject(slot)

    def schedule_unejects(self) -> None:
        """Schedule the end of every ejection, as shared memory has it."""
        for slot in self._backend_windows:
            if self._health_registry.state(slot) is State.EJECTED:
                self._schedule_uneject(slot)

    def _schedule_uneject(self, slot: int) -> None:
        until_us = self._board.ejection(slot).until_us
        self._loop.call_later(max(0.0, until_us / 1e6 - monotonic()), self._on_ejection_over, slot, until_us)

    def _on_ejection_over(self, slot: int, until_us: int) -> None:
        """Uneject, unless the ejection was ended or renewed meanwhile."""
        if self._board.ejection(slot).until_us == until_us:
            self._uneject(slot, "its time is over, one request at a time tries it")

    def uneject_pool(self, pool: str) -> None:
        """No backend of the pool is ready: try the ejected ones now."""
        for slot in self._health_registry.slots(pool):
            self._uneject(slot, "nobody else is ready, so that it is tried now")

    def _uneject(self, slot: int, why: str) -> None:
        if slot in self._backend_windows and self._health_registry.state(slot) is State.EJECTED:
            self._backend_windows[slot].take_trials()
            self._clear_window(slot, self._backend_windows[slot])
            self._returning.add(slot)
            self._health_registry.apply_event(slot, Event.TIME, why)

    def _open_breaker(self, slot: int, backend_window: BackendWindow, now: float) -> None:
        locks = self._context.locks
        if not locks.take(slot):
            return  # there will be another failure
        try:
            change = Breaker(backend_window.backend_view.pool.breaker, self._board.evidence(slot)).apply(
                Signal.RATE, int(now * 1e6)
            )
        finally:
            locks.leave(slot)
        if change is not None:
            backend_window.clear()
            self._health_registry.wake_workers()
            backend_view = backend_window.backend_view
            state_log.log_breaker(log, state_log.backend_name(backend_view.pool.name, backend_view.backend), change)

    def _clear_window(self, slot: int, backend_window: BackendWindow) -> None:
        """Failures before and during an ejection do not count afterwards."""
        backend_window.clear()
        self._take_peak(slot)

    def _take_peak(self, slot: int) -> int:
        """The longest run of consecutive failures since the last evaluation."""
        locks = self._context.locks
        evidence = self._board.evidence(slot)
        if not evidence[PEAK_FAILURES] or not locks.take(slot):
            return 0
        peak = evidence[PEAK_FAILURES]
        evidence[PEAK_FAILURES] = 0
        locks.leave(slot)
        return peak
