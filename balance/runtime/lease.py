"""One use of a backend, and everything that its end means: the counters, the policy, the backend's health, whoever waits.

What a pool wants of its leases is fixed when the pool is built (LeaseTerms), so that one pool's leases all end alike and those
that are under way when a pool is replaced end as they began.
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

_OK: Final = Outcome.OK
_FAILED: Final = Outcome.FAILED
_ABORTED: Final = Outcome.ABORTED
_COUNTED: Final = {Outcome.FAILED: counters.FAILURES, Outcome.ABORTED: counters.ABORTED}
_LEASES: Final = counters.LEASES


class LeaseTerms:
    """What one pool wants of its leases. It leads to no pool: a lease may outlive the one that it is of."""

    __slots__ = ("cells", "is_evidence", "wants_latency", "wants_outcomes")

    def __init__(self, row: counters.Row, needs: Needs = Needs.NOTHING, *, is_evidence: bool = False) -> None:
        """`row` is where this worker counts, `needs` are the policy's; `is_evidence`: the backends' health is seen in them."""
        self.cells = row.cells
        self.is_evidence = is_evidence
        self.wants_latency = Needs.LATENCY in needs
        self.wants_outcomes = self.wants_latency or Needs.OUTCOMES in needs


class Lease:
    """From the choice of a backend to the outcome. Released exactly once."""

    __slots__ = ("_has_answered", "_terms", "backend", "started")

    def __init__(self, backend: Backend, terms: LeaseTerms, now: float) -> None:
        """Counted from here on. `now`: seconds on a monotonic clock."""
        self.backend = backend
        self.started = now
        self._terms: LeaseTerms | None = terms  # None once it is given back
        load = backend.load
        load.active += 1
        terms.cells[backend.block + _LEASES] += 1
        if terms.wants_outcomes:
            self._has_answered = False
            if load.pool_active is not None:
                load.pool_active.active += 1

    def answered(self, now: float, status: int = 0) -> None:
        """The first byte of an answer came, or in TCP mode the connection: how long that took is learned now, and the answer is
        the evidence about the backend's health.

        For what goes on for long afterwards. Else release() says it all.
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
                health.special[self] = ANSWERED  # nearly always; health.answered() in line
            else:
                health.answered(self, status, now)

    def release(self, outcome: Outcome, now: float, first_byte_s: float | None = None, end: int = 0) -> None:
        """Give the backend back. `now` as for acquire(). RuntimeError when it was given back already.

        `first_byte_s` is what the answer's first byte took, without it the time from acquire() to now. `end` is the status of
        the answer that went to the client, or the Why of a failure; 0 where nothing more is known.
        """
        terms = self._terms
        backend = self.backend
        if terms is None:
            raise RuntimeError(f"lease of {backend.name} released twice")
        self._terms = None
        backend.load.active -= 1
        if outcome is not _OK:
            terms.cells[backend.block + _COUNTED[outcome]] += 1
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
            if outcome is not _OK or end >= 500 or special or health.evidence[CONSECUTIVE_FAILURES]:  # seldom
                if outcome is _OK and special.get(self) == ANSWERED:
                    del special[self]  # it said what it had to say
                else:
                    health.ended(self, outcome, end, now)
        permits = backend.permits
        if permits is not None and (permits.is_pressed or permits.waiters):
            permits.freed()

    def withdraw(self, now: float) -> None:
        """As if it had never been: it was turned away, by a gate or because the backend is full.

        Who waits is not woken. Nothing has become free that was not free before: who waits and is turned away would wake itself
        for ever.
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
            backend.health.ended(self, _ABORTED, 0, now)  # it was to be a trial
        if backend.permits is not None and backend.permits.is_pressed:
            backend.permits.settle()  # what was taken for it, others want

    def _teach(self, terms: LeaseTerms, first_byte_s: float, is_well: bool, now: float) -> None:
        if terms.wants_latency:
            self.backend.load.record_latency(first_byte_s, is_well, now)
        else:
            self.backend.load.record_outcome(is_well, now)
