"""What a worker adds to the evidence about one backend, and how it gets leave to try one. All workers share the numbers.

A failure, the success that ends a run of them and the end of a trial are written under the backend's lock; the success
that follows a success, which is nearly every one, reads one cell. Trials stand as a gauge in each worker's own row, so that
those of a worker that dies are given back with the rest of what it held.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Protocol

from balance.config.model import CircuitBreaker, PassiveChecks
from balance.health.circuit_breaker import (
    CELLS,
    CONSECUTIVE_FAILURES,
    PEAK_FAILURES,
    Breaker,
    BreakerChange,
    BreakerState,
    Cells,
    Signal,
)
from balance.health.failure_statuses import failure_outcomes
from balance.model import Outcome
from balance.runtime import counters

NO_TRIAL: Final = 0
UNNAMED_TRIAL: Final = -1  # of a backend whose breaker is closed or not there
ANSWERED: Final = -2
LAST_RESORT: Final = -3  # its breaker is open, and nobody else is ready


class Locks(Protocol):
    """A lock per slot, over all processes."""

    def take(self, slot: int) -> bool:
        """False when it could not be had at once."""

    def leave(self, slot: int) -> None: ...


class NoLocks:
    """For a process that shares its numbers with nobody."""

    def take(self, slot: int) -> bool:
        return True

    def leave(self, slot: int) -> None:
        pass


_USUAL: Final = PassiveChecks()


def _nobody_listens(slot: int, change: BreakerChange) -> None:
    pass


def _nobody_looks() -> None:
    pass


def _nobody_is_rung(cell: int) -> None:
    pass


def _few_sessions() -> memoryview:
    return memoryview(bytearray(8 * 4096)).cast("Q")


class Shared:
    """What the processes of an instance share, as one of them sees it."""

    __slots__ = ("changed", "evidence", "failed", "locks", "ring_where", "rows", "session_key", "sessions")

    def __init__(
        self,
        rows: Sequence[memoryview],
        evidence: Callable[[int], Cells],
        locks: Locks,
        changed: Callable[[int, BreakerChange], None] = _nobody_listens,
        failed: Callable[[], None] = _nobody_looks,
        ring_where: Callable[[int], None] = _nobody_is_rung,
        sessions: memoryview | None = None,
        session_key: bytes = b"",
    ) -> None:
        self.rows = rows  # every worker's
        self.evidence = evidence  # a slot's cells
        self.locks = locks
        self.changed = changed  # this process has moved the breaker of that slot
        self.failed = failed  # there is evidence for control to look at
        self.ring_where = ring_where  # the other workers whose row has that cell set: about permits
        self.sessions = _few_sessions() if sessions is None else sessions  # the table of those that Balance itself remembers
        self.session_key = session_key  # random, and the same in all processes

    @property
    def workers(self) -> int:
        """How many live now; those that are about to end count."""
        return max(1, sum(1 for row in self.rows if row[counters.PLACE]))

    @classmethod
    def with_nobody(cls, row: memoryview) -> Shared:
        """A process by itself."""
        evidence: dict[int, list[int]] = {}
        return cls((row,), lambda slot: evidence.setdefault(slot, [0] * CELLS), NoLocks())


class HealthGate:
    """One backend's evidence in one worker."""

    __slots__ = ("_allowance", "_block", "_counted", "_row", "_shared", "_slot", "breaker", "evidence", "special")

    def __init__(
        self, config: CircuitBreaker, slot: int, row: memoryview, shared: Shared, checks: PassiveChecks = _USUAL
    ) -> None:
        """`row` is this worker's own among those that are shared; `checks` say what counts."""
        self.evidence = shared.evidence(slot)
        self.special: dict[object, int] = {}  # leases that are a trial, by its name, or have ANSWERED
        self.configure(config, checks)
        self._slot = slot
        self._block = counters.block(slot)
        self._row = row
        self._shared = shared

    def configure(self, config: CircuitBreaker, checks: PassiveChecks) -> None:
        """Another configuration: what was found out so far stands."""
        self.breaker = Breaker(config, self.evidence) if config.enabled else None
        self._allowance = config.half_open_requests
        self._counted = failure_outcomes(checks.count)

    def answered(self, lease: object, status: int, now: float) -> None:
        """A lease that may last has got its answer: that is the evidence, and not its end."""
        trial = self.special.get(lease, NO_TRIAL)
        if trial != ANSWERED:
            self.special[lease] = ANSWERED
            self._testify(trial, status < 500 or status not in self._counted, now)

    def ended(self, lease: object, outcome: Outcome, end: int, now: float) -> None:
        """A lease has ended, and that may mean anything but one success more. `end` as for Lease.release()."""
        trial = self.special.pop(lease, NO_TRIAL)
        if outcome is Outcome.OK:
            if trial != ANSWERED:
                self._testify(trial, end < 500 or end not in self._counted, now)
        elif outcome is Outcome.FAILED and end in self._counted:
            self._testify(NO_TRIAL if trial == ANSWERED else trial, False, now)
        elif trial not in (NO_TRIAL, ANSWERED, LAST_RESORT):
            self._row[self._block + counters.TRIALS] -= 1

    def begin_trial(self, lease: object, trial: int) -> None:
        """That lease is what admit() gave leave for."""
        self.special[lease] = trial

    def admit_anyway(self, is_returning: bool, now: float) -> int:
        """Nobody else is ready, so that a request which is no trial goes there too. As admit(), but it always gives leave."""
        trial = self.admit(is_returning, now)
        if trial is not None:
            return trial
        breaker = self.breaker
        return LAST_RESORT if breaker is not None and breaker.state is BreakerState.OPEN else NO_TRIAL

    def admit(self, is_returning: bool, now: float) -> int | None:
        """Leave to try the backend: what names the trial, NO_TRIAL when it needs none any more; None is no leave."""
        allowance = 1 if is_returning else self._allowance
        if self._under_way() >= allowance or not self._shared.locks.take(self._slot):
            return None
        change, trial = None, NO_TRIAL
        try:
            breaker = self.breaker
            if breaker is not None:
                now_us = int(now * 1e6)
                if breaker.is_timeout_over(now_us):
                    change = breaker.apply(Signal.TIME, now_us)
                if breaker.state is BreakerState.OPEN:
                    return None
                if breaker.state is BreakerState.HALF_OPEN:
                    trial = breaker.epoch
            if is_returning and not trial:
                trial = UNNAMED_TRIAL
            if trial:
                if self._under_way() >= allowance:
                    return None
                self._row[self._block + counters.TRIALS] += 1
            return trial
        finally:
            self._shared.locks.leave(self._slot)
            if change is not None:
                self._shared.changed(self._slot, change)

    def _testify(self, trial: int, is_good: bool, now: float) -> None:
        if trial == LAST_RESORT:
            trial = NO_TRIAL
            if is_good:
                self._recovered(now)
                return
        if is_good:
            if trial or self.evidence[CONSECUTIVE_FAILURES]:
                self._passed(trial, now)
        else:
            self._row[self._block + counters.BLAMED] += 1
            self._failed(trial, now)
        if trial:
            self._row[self._block + counters.TRIALS] -= 1
            self._row[self._block + (counters.TRIALS_PASSED if is_good else counters.TRIALS_FAILED)] += 1
        if trial or not is_good:
            self._shared.failed()

    def _failed(self, trial: int, now: float) -> None:
        if not self._shared.locks.take(self._slot):
            return  # a failure that nobody counts, among many
        change = None
        try:
            evidence = self.evidence
            run = evidence[CONSECUTIVE_FAILURES] + 1
            evidence[CONSECUTIVE_FAILURES] = run
            if run > evidence[PEAK_FAILURES]:
                evidence[PEAK_FAILURES] = run
            if self.breaker is not None:
                change = self.breaker.on_failure(trial, int(now * 1e6))
        finally:
            self._shared.locks.leave(self._slot)
        if change is not None:
            self._shared.changed(self._slot, change)

    def _passed(self, trial: int, now: float) -> None:
        if not self._shared.locks.take(self._slot):
            return
        change = None
        try:
            self.evidence[CONSECUTIVE_FAILURES] = 0
            if trial and self.breaker is not None:
                change = self.breaker.on_success(trial, int(now * 1e6))
        finally:
            self._shared.locks.leave(self._slot)
        if change is not None:
            self._shared.changed(self._slot, change)

    def _recovered(self, now: float) -> None:
        """A request that had nobody else went well while the breaker was open: it need not wait for its time."""
        breaker, now_us = self.breaker, int(now * 1e6)
        if breaker is None or not breaker.may_close_early(now_us) or not self._shared.locks.take(self._slot):
            return
        try:
            change = breaker.apply(Signal.LAST_RESORT_PASSED, now_us)
        finally:
            self._shared.locks.leave(self._slot)
        if change is not None:
            self._shared.changed(self._slot, change)

    def _under_way(self) -> int:
        cell = self._block + counters.TRIALS
        return sum(row[cell] for row in self._shared.rows)
