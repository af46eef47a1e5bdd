"""Writes what a worker's leases say about a backend's health to the board, and admits trials. All workers share the numbers.

A failure, the success that ends a run of failures and the end of a trial are written under the backend's lock. A success after
a success, the usual case, only reads one cell. Trials are a gauge in each worker's own row, so those of a worker that dies are
given back with its other gauges.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Protocol

from balance.access_lists.client_counts import TABLE_BYTES, ClientCounts
from balance.access_lists.shared_blocks import new_cells
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
from balance.rate_limiting.bucket_table import BucketTable
from balance.rate_limiting.moved_keys import MovedKeys
from balance.runtime import counters
from balance.runtime.sessions.session_store import SessionStore
from balance.security.key_set import JwksSource, KeySet, KeySets

NO_TRIAL: Final = 0
UNNAMED_TRIAL: Final = -1  # of a returning backend whose breaker is closed, or that has none
ANSWERED: Final = -2  # the lease's answer was counted already
LAST_RESORT: Final = -3  # its breaker is open, and no other backend is ready


class Locks(Protocol):
    """A lock for each slot, shared by all processes."""

    def take(self, slot: int) -> bool:
        """Take the lock of `slot`; False when it can't be had at once."""

    def leave(self, slot: int) -> None: ...


class NoLocks:
    """Locks for a process that shares its row with no other."""

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


def _stopped() -> float:
    return 0.0


def _few_sessions() -> memoryview:
    return memoryview(bytearray(8 * 4096)).cast("Q")


def _own_counts() -> ClientCounts:
    table = memoryview(bytearray(TABLE_BYTES))
    return ClientCounts([table], table, b"")


class Shared:
    """What the processes of an instance share, as seen by one of them."""

    __slots__ = (
        "blocks",
        "buckets",
        "changed",
        "client_counts",
        "clock",
        "evidence",
        "failed",
        "key_set",
        "locks",
        "moved",
        "ring_where",
        "rows",
        "session_key",
        "sessions",
        "store",
    )

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
        blocks: memoryview | None = None,
        client_counts: Callable[[], ClientCounts] | None = None,
        buckets: Callable[[], BucketTable] | None = None,
        clock: Callable[[], float] = _stopped,
        key_set: Callable[[JwksSource], KeySet] | None = None,
    ) -> None:
        self.rows = rows  # every worker's
        self.evidence = evidence  # the cells of a slot
        self.locks = locks
        self.changed = changed  # called when this process has moved the breaker of that slot
        self.failed = failed  # called when there is new evidence for control
        self.ring_where = ring_where  # wakes the other workers whose row has that cell set, about permits
        self.sessions = _few_sessions() if sessions is None else sessions  # the table that runtime.sessions describes
        self.session_key = session_key  # random, the same in all processes
        self.blocks = new_cells() if blocks is None else blocks  # what was blocked at run time: access_lists.shared_blocks
        self.client_counts = client_counts or _own_counts  # makes this process' part of the counts of connections
        self.buckets = buckets or BucketTable.of_one_worker  # makes this process' view of the table of rate limits
        self.clock = clock  # seconds, monotonic
        self.moved = MovedKeys()  # what this worker has admitted under limits that several machines share
        self.key_set = key_set or KeySets.of_nobody().get  # keys of tokens, by URL
        self.store: SessionStore | None = None  # what several machines share; a reload may change it

    @property
    def workers(self) -> int:
        """How many workers live now, including those that drain; at least 1."""
        return max(1, sum(1 for row in self.rows if row[counters.PLACE]))

    @classmethod
    def with_nobody(cls, row: memoryview) -> Shared:
        """For a process that shares nothing; `row` is its own."""
        evidence: dict[int, list[int]] = {}
        return cls((row,), lambda slot: evidence.setdefault(slot, [0] * CELLS), NoLocks())


class HealthGate:
    """One backend's health evidence in one worker: counts leases and admits trials."""

    __slots__ = ("_allowance", "_block", "_counted", "_row", "_shared", "_slot", "breaker", "evidence", "special")

    def __init__(
        self, config: CircuitBreaker, slot: int, row: memoryview, shared: Shared, checks: PassiveChecks = _USUAL
    ) -> None:
        """`row` is this worker's own of the shared rows; `checks` say which outcomes count as failures."""
        self.evidence = shared.evidence(slot)
        self.special: dict[object, int] = {}  # leases that are trials, with the trial, or that have ANSWERED
        self.configure(config, checks)
        self._slot = slot
        self._block = counters.block(slot)
        self._row = row
        self._shared = shared

    def configure(self, config: CircuitBreaker, checks: PassiveChecks) -> None:
        """Apply another configuration; the evidence so far is kept."""
        self.breaker = Breaker(config, self.evidence) if config.enabled else None
        self._allowance = config.half_open_requests
        self._counted = failure_outcomes(checks.count)

    def answered(self, lease: object, status: int, now: float) -> None:
        """Count the answer of a lease that may go on for long; its end is not counted again unless it fails."""
        trial = self.special.get(lease, NO_TRIAL)
        if trial != ANSWERED:
            self.special[lease] = ANSWERED
            self._testify(trial, status < 500 or status not in self._counted, now)

    def ended(self, lease: object, outcome: Outcome, end: int, now: float) -> None:
        """Count the end of a lease, unless it is a success after a success. `end` as for Lease.release()."""
        trial = self.special.pop(lease, NO_TRIAL)
        if outcome is Outcome.OK:
            if trial != ANSWERED:
                self._testify(trial, end < 500 or end not in self._counted, now)
        elif outcome is Outcome.FAILED and end in self._counted:
            self._testify(NO_TRIAL if trial == ANSWERED else trial, False, now)
        elif trial not in (NO_TRIAL, ANSWERED, LAST_RESORT):
            self._row[self._block + counters.TRIALS] -= 1

    def begin_trial(self, lease: object, trial: int) -> None:
        """`lease` is the trial that admit() has returned."""
        self.special[lease] = trial

    def admit_anyway(self, is_returning: bool, now: float) -> int:
        """As admit(), but never None: no other backend is ready, so requests beyond the allowed trials go there too."""
        trial = self.admit(is_returning, now)
        if trial is not None:
            return trial
        breaker = self.breaker
        return LAST_RESORT if breaker is not None and breaker.state is BreakerState.OPEN else NO_TRIAL

    def admit(self, is_returning: bool, now: float) -> int | None:
        """The trial for one request, NO_TRIAL when none is needed any more; None when the request may not try the backend.

        `half_open_requests` trials may be under way at once, 1 at a returning backend, counted over all workers.
        """
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
            return  # another process holds the lock; one failure of many is not counted
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
        """A LAST_RESORT request succeeded while the breaker was open: close it before its timeout, if may_close_early()."""
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
