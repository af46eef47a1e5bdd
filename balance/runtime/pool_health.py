"""Decides from the health of a pool's backends which are ready and which have a gate: ejections, breakers, panic, slow start.

The policy knows none of it: a backend with an open breaker is not in the ready set, and one on trial or in slow start has a
gate. For a request that a gate turns away the policy chooses again, among the other backends.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from balance.config.model import PoolConfig
from balance.health.circuit_breaker import BreakerState
from balance.health.panic import is_panic
from balance.health.slow_start import SlowStart
from balance.health.states import State
from balance.model import Why
from balance.runtime.backend import Backend
from balance.runtime.health_gate import NO_TRIAL, HealthGate, Shared
from balance.runtime.lease import Lease
from balance.runtime.row import Row

TRIED_HANDICAP: Final = 2.0  # factor on the cost of a backend in adaptive policies while its breaker is half-open


class TrialGate:
    """Lets as many requests through at a time as may try the backend, counted over all workers."""

    __slots__ = ("_health", "_is_returning")

    def __init__(self, health: HealthGate, is_returning: bool) -> None:
        self._health = health
        self._is_returning = is_returning

    def admit(self, now: float) -> int | None:
        return self._health.admit(self._is_returning, now)


class LastResortGate:
    """Lets every request through to a backend that is ejected, or whose breaker is not closed, while no other is ready.

    As many as a TrialGate would let through are trials.
    """

    __slots__ = ("_health", "_is_returning")

    def __init__(self, health: HealthGate, is_returning: bool) -> None:
        self._health = health
        self._is_returning = is_returning

    def admit(self, now: float) -> int | None:
        return self._health.admit_anyway(self._is_returning, now)


class RampGate:
    """Slow start: lets through the growing part of its share that the backend gets within `window_s` seconds."""

    __slots__ = ("_backend", "_slow_start")

    def __init__(self, backend: Backend, window_s: float, now: float) -> None:
        self._backend = backend
        self._slow_start = SlowStart(window_s, now)

    def admit(self, now: float) -> int | None:
        if self._slow_start.is_over(now):
            self._backend.slow_start = self._backend.gate = None
            return NO_TRIAL
        return NO_TRIAL if self._slow_start.admits(now) else None


def needs_health(config: PoolConfig) -> bool:
    """Whether the pool needs a PoolHealth: for breakers, passive checks, slow start, panic, sessions or limits."""
    check = config.health_check
    if config.affinity.enabled or any(backend.max_connections for backend in config.backends):
        return True
    return config.breaker.enabled or check.passive.enabled or check.slow_start_s > 0 or check.panic_threshold > 0


class PoolHealth:
    """Derives from each backend's state and breaker whether it is ready and which gate it has."""

    __slots__ = ("_backends", "_has_breakers", "_panic_threshold", "_slow_start_s", "is_last_resort", "is_panicking")

    def __init__(self, config: PoolConfig, backends: Sequence[Backend], row: Row, shared: Shared) -> None:
        """`row` is this worker's own of the shared rows."""
        self._backends = tuple(backends)
        self._has_breakers = config.breaker.enabled
        self._panic_threshold = config.health_check.panic_threshold
        self._slow_start_s = config.health_check.slow_start_s
        self.is_panicking = False
        self.is_last_resort = False  # no backend is ready without a trial's gate, so ejections and breakers are overruled
        for backend in backends:
            if backend.health is None:  # else keep it: it knows leases that are under way
                backend.health = HealthGate(config.breaker, backend.slot, row.cells, shared, config.health_check.passive)

    @property
    def why_nobody(self) -> Why:
        """The Why of a request that finds no backend: BREAKER_OPEN when a breaker keeps one away, else NO_HEALTHY."""
        states = (backend.state.is_ready and backend.phase is not BreakerState.CLOSED for backend in self._backends)
        return Why.BREAKER_OPEN if self._has_breakers and any(states) else Why.NO_HEALTHY

    def update(self, backend: Backend, state: State, phase: BreakerState, now: float | None) -> None:
        """Set a backend's state and breaker phase; call rebuild() after the last one.

        `now`: seconds, monotonic; None when it was so before this worker began, which begins no slow start.
        """
        if not self._has_breakers:
            phase = BreakerState.CLOSED  # it may have been open when a reload removed the breakers
        was_normal = backend.state.is_ready and backend.phase is BreakerState.CLOSED
        is_normal = state.is_ready and phase is BreakerState.CLOSED
        backend.state, backend.phase = state, phase
        backend.load.handicap = TRIED_HANDICAP if phase is BreakerState.HALF_OPEN else 1.0
        if not is_normal:
            backend.slow_start = None
        elif not was_normal and now is not None and self._slow_start_s:
            backend.slow_start = RampGate(backend, self._slow_start_s, now)

    def rebuild(self) -> None:
        """Set `is_ready` and `gate` of all backends."""
        threshold = self._panic_threshold
        states = [backend.state for backend in self._backends if backend.load.weight and not backend.is_backup]
        backups = [backend.state for backend in self._backends if backend.load.weight and backend.is_backup]
        self.is_panicking = bool(threshold) and is_panic(states, threshold, backups)
        for backend in self._backends:
            state, phase = backend.state, backend.phase
            is_panicking = self.is_panicking and not backend.is_backup
            is_usable = not state.is_operator_set if is_panicking else state.is_ready or state is State.RETURNING
            backend.is_ready = is_usable and phase is not BreakerState.OPEN
            is_returning = state is State.RETURNING and not is_panicking
            backend.gate = backend.slow_start
            if phase is BreakerState.HALF_OPEN or is_returning:
                assert backend.health is not None
                backend.gate = TrialGate(backend.health, is_returning)
        weighty = [backend for backend in self._backends if backend.load.weight]
        self.is_last_resort = not any(backend.is_ready and backend.gate is backend.slow_start for backend in weighty)
        if self.is_last_resort:
            self._give_way(weighty)

    def _give_way(self, backends: Collection[Backend]) -> None:
        """No backend is ready without a trial's gate: make those that pass their active checks ready, else the backups that do.

        Ejections and breakers are overruled rather than refuse requests; active checks and operators are not.
        """
        for is_backup in (False, True):
            passing = [
                backend
                for backend in backends
                if backend.is_backup is is_backup
                and (backend.state.is_passing or (self.is_panicking and not is_backup and not backend.state.is_operator_set))
            ]
            for backend in passing:
                backend.is_ready = True
                assert backend.health is not None
                backend.gate = LastResortGate(backend.health, backend.state is State.RETURNING)
            if passing:
                return

    def kept_away(self) -> list[Backend]:
        """The backends that only an ejection or a breaker keeps from normal use."""
        return [
            backend
            for backend in self._backends
            if backend.load.weight
            and backend.state.is_passing
            and not (backend.is_ready and backend.gate is backend.slow_start)
        ]

    def try_anyway(self, lease: Lease, now: float) -> None:
        """The lease is of a backend that is kept away: make it a trial if one more is allowed."""
        backend = lease.backend
        assert backend.health is not None
        if trial := backend.health.admit_anyway(backend.state is State.RETURNING, now):
            backend.health.begin_trial(lease, trial)
