"""A pool whose traffic is watched: passive checks, breakers, panic, slow start. A pool without them is a plain Pool.

The policy stays blind to all of it: an open breaker takes a backend out of the ready set, and a backend that is on trial or
on its ramp has a gate. A request that a gate turns away is chosen for once more, among the others.
"""

from __future__ import annotations

from collections.abc import Collection

from balance.balancing import NOBODY, Policy
from balance.config.model import PoolConfig
from balance.health.circuit_breaker import RUN, BreakerState
from balance.health.panic import is_panic
from balance.health.slow_start import SlowStart
from balance.health.states import State
from balance.model import Outcome, Why
from balance.runtime import counters
from balance.runtime.backend import Backend, Gate
from balance.runtime.backups import Backups
from balance.runtime.health_gate import ANSWERED, NO_TRIAL, HealthGate, Shared
from balance.runtime.pool import Lease, Pool, TimedLease, WatchedLease

_OK = Outcome.OK
TRIED_HANDICAP = 2.0  # on what an adaptive policy thinks that a backend costs while its breaker is half-open


class GuardedLease(Lease):
    """A lease that is evidence: when it ends, or when its answer begins if somebody says so."""

    __slots__ = ()

    def answered(self, now: float, status: int = 0) -> None:
        guard = self.backend.guard
        assert guard is not None
        if status < 500 and not guard.evidence[RUN] and self not in guard.special:
            guard.special[self] = ANSWERED  # nearly always; Guard.answered() in line
        else:
            guard.answered(self, status, now)

    def release(self, outcome: Outcome, now: float, first_byte_s: float | None = None, end: int = 0) -> None:
        backend = self.backend
        guard = backend.guard
        assert guard is not None
        if outcome is _OK and end < 500 and self.row is not None and not guard.special and not guard.evidence[RUN]:
            self.row = None  # nearly always; Lease.release() in line, because a call costs 0.1 us
            backend.load.active -= 1
            return
        if outcome is _OK and guard.special.get(self) == ANSWERED:
            del guard.special[self]  # it said what it had to say
            Lease.release(self, outcome, now)
            return
        Lease.release(self, outcome, now)
        guard.ended(self, outcome, end, now)


class GuardedWatchedLease(WatchedLease):
    """The same, and the policy learns from it."""

    __slots__ = ()

    def answered(self, now: float, status: int = 0) -> None:
        super().answered(now, status)
        assert self.backend.guard is not None
        self.backend.guard.answered(self, status, now)

    def release(self, outcome: Outcome, now: float, first_byte_s: float | None = None, end: int = 0) -> None:
        WatchedLease.release(self, outcome, now, first_byte_s, end)
        guard = self.backend.guard
        assert guard is not None
        if outcome is not _OK or end >= 500 or guard.special or guard.evidence[RUN]:
            guard.ended(self, outcome, end, now)


class GuardedTimedLease(GuardedWatchedLease):
    """And from how long the answer took."""

    __slots__ = ()
    _learn = TimedLease._learn


GUARDED: dict[type[Lease], type[Lease]] = {
    Lease: GuardedLease,
    WatchedLease: GuardedWatchedLease,
    TimedLease: GuardedTimedLease,
}


class TrialGate:
    """Lets through as many requests at a time as may try the backend, counted over all workers."""

    __slots__ = ("_guard", "_is_returning")

    def __init__(self, guard: HealthGate, is_returning: bool) -> None:
        self._guard = guard
        self._is_returning = is_returning

    def admit(self, now: float) -> int | None:
        return self._guard.admit(self._is_returning, now)


class LastResortGate:
    """Lets all through to a backend that is ejected, or whose breaker is not closed, while nobody else is ready. Those who
    may try it are trials; the others go there all the same.
    """

    __slots__ = ("_guard", "_is_returning")

    def __init__(self, guard: HealthGate, is_returning: bool) -> None:
        self._guard = guard
        self._is_returning = is_returning

    def admit(self, now: float) -> int | None:
        return self._guard.admit_anyway(self._is_returning, now)


class RampGate:
    """Lets through the part of its share that a backend gets while it starts slowly."""

    __slots__ = ("_backend", "_slow_start")

    def __init__(self, backend: Backend, window_s: float, now: float) -> None:
        self._backend = backend
        self._slow_start = SlowStart(window_s, now)

    def admit(self, now: float) -> int | None:
        if self._slow_start.is_over(now):
            self._backend.slow_start = self._backend.gate = None
            return NO_TRIAL
        return NO_TRIAL if self._slow_start.admits(now) else None


def needs_guard(config: PoolConfig) -> bool:
    """Whether the configuration asks for anything that a plain Pool does not do."""
    check = config.health_check
    if config.affinity.enabled or any(backend.max_connections for backend in config.backends):
        return True
    return config.breaker.enabled or check.passive.enabled or check.slow_start_s > 0 or check.panic_threshold > 0


class GuardedPool(Pool):
    """The ready set follows from each backend's state and breaker; see update()."""

    __slots__ = ("_has_breakers", "_panic_threshold", "_slow_start_s", "is_last_resort", "is_panicking")

    def __init__(
        self,
        config: PoolConfig,
        backends: Collection[Backend],
        policy: Policy,
        row: counters.Row,
        shared: Shared,
        *,
        reserve: Backups | None = None,
        is_live: bool = True,
    ) -> None:
        self._has_breakers = config.breaker.enabled
        self._panic_threshold = config.health_check.panic_threshold
        self._slow_start_s = config.health_check.slow_start_s
        self.is_panicking = False
        self.is_last_resort = False  # nobody is ready but for ejections and breakers, which therefore keep nobody away
        for backend in backends:
            if backend.guard is None:  # else leases that it knows are under way, and its breaker has a past
                backend.guard = HealthGate(config.breaker, backend.slot, row.cells, shared, config.health_check.passive)
        super().__init__(
            config.name, tuple(backends), config.algorithm, policy, row, config.hash_key, reserve=reserve, is_live=is_live
        )
        self._lease = GUARDED[self._lease]

    @property
    def why_nobody(self) -> Why:
        """What keeps requests away when acquire() finds nobody: breakers, or the backends' health."""
        states = (backend.state.is_ready and backend.phase is not BreakerState.CLOSED for backend in self.backends)
        return Why.BREAKER_OPEN if self._has_breakers and any(states) else Why.NO_HEALTHY

    def update(self, backend: Backend, state: State, phase: BreakerState, now: float | None) -> None:
        """What is known of a backend now; rebuild() is due after the last. `now` None: it was so before this worker began."""
        if not self._has_breakers:
            phase = BreakerState.CLOSED  # one that was open when a reload took the breakers out
        was_normal = backend.state.is_ready and backend.phase is BreakerState.CLOSED
        is_normal = state.is_ready and phase is BreakerState.CLOSED
        backend.state, backend.phase = state, phase
        backend.load.handicap = TRIED_HANDICAP if phase is BreakerState.HALF_OPEN else 1.0
        if not is_normal:
            backend.slow_start = None
        elif not was_normal and now is not None and self._slow_start_s:
            backend.slow_start = RampGate(backend, self._slow_start_s, now)

    def rebuild(self) -> None:
        """Who is ready, and behind which gate."""
        threshold = self._panic_threshold
        states = [backend.state for backend in self.backends if backend.load.weight and not backend.is_backup]
        backups = [backend.state for backend in self.backends if backend.load.weight and backend.is_backup]
        self.is_panicking = bool(threshold) and is_panic(states, threshold, backups)
        for backend in self.backends:
            state, phase = backend.state, backend.phase
            is_panicking = self.is_panicking and not backend.is_backup
            is_usable = not state.is_ordered if is_panicking else state.is_ready or state is State.RETURNING
            backend.is_ready = is_usable and phase is not BreakerState.OPEN
            is_returning = state is State.RETURNING and not is_panicking
            backend.gate = backend.slow_start
            if phase is BreakerState.HALF_OPEN or is_returning:
                assert backend.guard is not None
                backend.gate = TrialGate(backend.guard, is_returning)
        weighty = [backend for backend in self.backends if backend.load.weight]
        self.is_last_resort = not any(backend.is_ready and backend.gate is backend.slow_start for backend in weighty)
        if self.is_last_resort:
            self._give_way(weighty)
        super().rebuild()

    def _give_way(self, backends: Collection[Backend]) -> None:
        """Nobody is as any other. Whoever passes the checks is asked all the same: what traffic said of one is no reason to
        refuse requests that nobody else will take. What checks say, and operators, stands.
        """
        for is_backup in (False, True):
            passing = [
                backend
                for backend in backends
                if backend.is_backup is is_backup
                and (backend.state.is_passing or (self.is_panicking and not is_backup and not backend.state.is_ordered))
            ]
            for backend in passing:
                backend.is_ready = True
                assert backend.guard is not None
                backend.gate = LastResortGate(backend.guard, backend.state is State.RETURNING)
            if passing:
                return

    def acquire(self, key: bytes, now: float, avoid: Collection[Backend] = ()) -> Lease | None:
        if avoid or (index := self._policy.pick(key, (), now)) == NOBODY:
            lease = Pool.acquire(self, key, now, avoid)
            if lease is None or lease.backend.gate is None:
                return lease
        else:  # nearly always; Pool.acquire() in line, because a call costs 0.1 us
            backend = self._ready[index]
            backend.load.active += 1
            self._row.cells[backend.block + counters.LEASES] += 1
            lease = self._lease(backend, self._row, now)
            if backend.gate is None:
                return lease
        return self._through_gates(lease, key, now, avoid)

    def has_other(self, tried: Collection[Backend]) -> bool:
        return Pool.has_other(self, tried) or any(backend not in tried for backend in self._kept_away())

    def _kept_away(self) -> list[Backend]:
        """By an ejection or a breaker alone."""
        return [
            backend
            for backend in self.backends
            if backend.load.weight
            and backend.state.is_passing
            and not (backend.is_ready and backend.gate is backend.slow_start)
        ]

    def spare(self, now: float, tried: Collection[Backend]) -> Lease | None:
        left = [backend for backend in self._kept_away() if backend not in tried]
        if not left or self.may_wait(tried):
            return None
        backend = min(left, key=lambda backend: (backend.is_backup, backend.load.active))
        lease = self._lease_of(backend, now)
        if not self._has_room(backend):
            self._withdraw(lease, now)
            return None
        assert backend.guard is not None
        if trial := backend.guard.admit_anyway(backend.state is State.RETURNING, now):
            backend.guard.begin_trial(lease, trial)
        return lease

    def _through_gates(self, lease: Lease | None, key: bytes, now: float, avoid: Collection[Backend]) -> Lease | None:
        turned_away = list(avoid)
        spared: Backend | None = None
        no_case_for_backups = False
        while lease is not None:
            backend = lease.backend
            if not self._has_room(backend):
                no_case_for_backups |= not backend.is_backup  # one that is full is ready
            else:
                gate: Gate | None = backend.gate
                if gate is None or (spared is not None and gate is backend.slow_start):
                    return lease  # two on their ramps: more choosing would only cost
                trial = gate.admit(now)
                if trial is not None:
                    if trial and backend.guard is not None:
                        backend.guard.begin_trial(lease, trial)
                    return lease
                if gate is backend.slow_start:
                    spared = backend
                    no_case_for_backups |= not backend.is_backup  # and so is one that starts slowly
            self._withdraw(lease, now)
            turned_away.append(backend)
            lease = Pool.acquire(self, key, now, turned_away)
            if lease is not None and lease.backend.is_backup and no_case_for_backups:
                self._withdraw(lease, now)
                break
        if spared is None:
            return None
        lease = self._lease_of(spared, now)
        if self._has_room(spared):  # asked once more: what was taken for it may have gone to others as it was turned away
            return lease
        self._withdraw(lease, now)
        return None

    def _has_room(self, backend: Backend) -> bool:
        """Whether the lease that it was just given is not one too many."""
        return True

    def _withdraw(self, lease: Lease, now: float) -> None:
        """As if it had never been: a gate was in the way."""
        lease.release(Outcome.ABORTED, now)
        self._uncount(lease.backend)

    def _uncount(self, backend: Backend) -> None:
        self._row.cells[backend.block + counters.LEASES] -= 1
        self._row.cells[backend.block + counters.ABORTED] -= 1

    def _lease_of(self, backend: Backend, now: float) -> Lease:
        """Nobody else is left, so that sparing this one would mean refusing the request."""
        backend.load.active += 1
        self._row.cells[backend.block + counters.LEASES] += 1
        return self._lease(backend, self._row, now)
