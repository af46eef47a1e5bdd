"""One use of a backend; its end updates the counters, the policy's load, the backend's health and its permits.

What a pool records of its leases is fixed when the pool is built (LeaseTerms): leases that are under way when a pool is
replaced end by the terms of the old pool.
"""

from __future__ import annotations

from typing import Final

from balance.balancing import Needs
from balance.health.circuit_breaker import CONSECUTIVE_FAILURES
from balance.health.failure_statuses import is_success
from balance.model import Outcome
from balance.runtime import counters
from balance.runtime.backend import Backend
from balance.runtime.health_gate import ANSWERED
from balance.runtime.row import Row

_OK: Final = Outcome.OK
_FAILED: Final = Outcome.FAILED
_ABORTED: Final = Outcome.ABORTED
_COUNTED: Final = {Outcome.FAILED: counters.FAILURES, Outcome.ABORTED: counters.ABORTED}
_LEASES: Final = counters.LEASES


class LeaseTerms:
    """What one pool records of its leases. It has no reference to the pool, which a lease may outlive."""

    __slots__ = ("cells", "is_evidence", "row", "wants_latency", "wants_outcomes")

    def __init__(self, row: Row, needs: Needs = Needs.NOTHING, *, is_evidence: bool = False) -> None:
        """`row` is this worker's, `needs` are the policy's; `is_evidence`: leases count for the backends' health."""
        self.row = row
        self.cells = row.cells
        self.is_evidence = is_evidence
        self.wants_latency = Needs.LATENCY in needs
        self.wants_outcomes = self.wants_latency or Needs.OUTCOMES in needs


class Lease:
    """From the choice of a backend to the outcome. Must be released, or withdrawn, exactly once."""

    __slots__ = ("_has_answered", "_terms", "backend", "started")

    def __init__(self, backend: Backend, terms: LeaseTerms, now: float) -> None:
        """Count the lease as active. `now`: seconds, monotonic."""
        self.backend = backend
        self.started = now
        self._terms: LeaseTerms | None = terms  # None once it is released
        load = backend.load
        load.active += 1
        terms.row.count_one(backend.block + _LEASES)
        if terms.wants_outcomes:
            self._has_answered = False
            if load.pool_active is not None:
                load.pool_active.active += 1

    @property
    def is_trial(self) -> bool:
        """Whether a returning backend, or a half-open breaker, is judged by it."""
        health = self.backend.health
        return health is not None and self in health.special

    def answered(self, now: float, status: int = 0) -> None:
        """Record the latency and the health evidence now: the reply's head came, or in TCP mode the connection was made.

        For leases that go on for long afterwards, such as tunnels and TCP sessions. For others release() records both.
        """
        terms = self._terms
        if terms is None:
            return
        if terms.wants_outcomes and not self._has_answered:
            self._has_answered = True
            self._teach(terms, now - self.started, status < 500 or is_success(status), now)
        if terms.is_evidence:
            health = self.backend.health
            assert health is not None
            if status < 500 and not health.evidence[CONSECUTIVE_FAILURES] and self not in health.special:
                health.special[self] = ANSWERED  # the usual case; health.answered() inlined
            else:
                health.answered(self, status, now)

    def release(self, outcome: Outcome, now: float, first_byte_s: float | None = None, end: int = 0) -> None:
        """End the lease. `now`: seconds, monotonic. RuntimeError when it was released already.

        `first_byte_s` is the time to the reply's first byte; None is the time from the choice to now. `end` is the status of
        the reply that went to the client, or the Why of a failure; 0 where neither is known.
        """
        terms = self._terms
        backend = self.backend
        if terms is None:
            raise RuntimeError(f"lease of {backend.name} released twice")
        self._terms = None
        backend.load.active -= 1
        if outcome is not _OK:
            terms.cells[backend.block + _COUNTED[outcome]] += 1
            if outcome is _FAILED and end:
                terms.row.count_request(counters.series_key(backend.slot, counters.FAILED_TRIES, end))
        if terms.wants_outcomes:
            peers = backend.load.pool_active
            if peers is not None:
                peers.active -= 1
            if outcome is _FAILED or (outcome is _OK and not self._has_answered):
                is_well = outcome is _OK and (end < 500 or is_success(end))
                self._teach(terms, now - self.started if first_byte_s is None else first_byte_s, is_well, now)
        if terms.is_evidence:
            health = backend.health
            assert health is not None
            special = health.special
            if outcome is not _OK or end >= 500 or special or health.evidence[CONSECUTIVE_FAILURES]:  # rare
                if outcome is _OK and special.get(self) == ANSWERED:
                    del special[self]  # its answer was counted already
                else:
                    health.ended(self, outcome, end, now)
        permits = backend.permits
        if permits is not None and (permits.is_pressed or permits.waiters):
            permits.freed()

    def withdraw(self, now: float) -> None:
        """Undo the lease: a gate turned the request away, or the backend is full.

        Waiters are not woken: nothing was freed, and a waiter that is turned away would wake itself in a loop.
        """
        terms = self._terms
        assert terms is not None
        self._terms = None
        backend = self.backend
        backend.load.active -= 1
        terms.cells[backend.block + _LEASES] -= 1
        if terms.wants_outcomes and backend.load.pool_active is not None:
            backend.load.pool_active.active -= 1
        if backend.health is not None and self in backend.health.special:
            backend.health.ended(self, _ABORTED, 0, now)  # it was a trial
        if backend.permits is not None and backend.permits.is_pressed:
            backend.permits.settle()  # other workers want the permit that was taken for it

    def _teach(self, terms: LeaseTerms, first_byte_s: float, is_well: bool, now: float) -> None:
        if terms.wants_latency:
            self.backend.load.record_latency(first_byte_s, is_well, now)
        else:
            self.backend.load.record_outcome(is_well, now)
