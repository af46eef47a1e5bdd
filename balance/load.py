"""The load of one backend as balancing algorithms see it: active requests, latency, failure rate.

Without sockets or clocks: the time is an argument, in seconds. All averages decay with the time constant DECAY_S.
"""

from __future__ import annotations

from math import exp, inf
from typing import Final

DECAY_S: Final = 10.0  # as in Finagle, linkerd and tower
DEFAULT_LATENCY_S: Final = 1.0  # assumed latency of a backend without any (tower's default)
PENALTY: Final = 20.0  # latency of a failure, in typical latencies; e^3, so that it has decayed after three times DECAY_S
FAILURE_RATE_SAMPLES: Final = 8  # the failure rate is an average over about so many requests; few: each worker has its own
ELSEWHERE_SAMPLES: Final = 16  # samples in the moving average of other workers' leases: about three seconds
MIN_DEBT: Final = 0.5  # leases; a smaller debt counts as none, since it would decide every tie in an idle pool
FORGOTTEN_DEBT: Final = 0.01  # leases; a smaller debt is set to 0


class PoolActive:
    """The active leases of a pool, shared by its loads. A policy that needs the sum gives one to each of its loads."""

    __slots__ = ("active",)

    def __init__(self, active: int = 0) -> None:
        self.active = active


class Load:
    """The load of one backend in one worker. A concrete class, since policies read its attributes on every request.

    `debt` is additional load after failures. A backend that fails at once has few requests in flight and would look least
    loaded, so each failure adds its present failure rate to the debt: almost nothing for a single failure, one lease when all
    fail. The debt decays with DECAY_S.
    """

    __slots__ = (
        "_cost_at",
        "_cost_s",
        "_debt_at",
        "_failure_rate",
        "_latency_at",
        "_outcome_at",
        "_typical_s",
        "active",
        "active_elsewhere",
        "debt",
        "handicap",
        "identity",
        "pool_active",
        "weight",
    )  # fmt: skip

    def __init__(self, weight: int = 1, active: int = 0, elsewhere: float = 0, identity: bytes = b"") -> None:
        self.weight = weight
        self.active = active  # leases held by this worker, from the choice of the backend on
        self.active_elsewhere = elsewhere  # leases held by the other workers, see sample_elsewhere()
        self.identity = identity  # what hash tables are built from: the same in every worker and after every restart
        self.handicap = 1.0  # a factor on the cost, above 1 makes the backend less attractive
        self.pool_active: PoolActive | None = None
        self.debt = 0.0  # at its last change; current_debt() has the decayed value
        self._debt_at = 0.0
        self._failure_rate = 0.0  # fraction of recent requests that failed
        self._outcome_at = 0.0
        self._cost_s = 0.0  # peak EWMA; 0 without history
        self._cost_at = 0.0
        self._latency_at = -inf  # the time of the last response
        self._typical_s = 0.0  # average latency of successful requests, not decayed; the base of a penalty

    def sample_elsewhere(self, held: int) -> None:
        """Add a sample of the other workers' leases to the moving average.

        An average, because all workers see the same sample: they would all choose the backend that was least loaded a moment
        ago, which with 16 busy workers makes p99 five times as long as without any exchange.
        """
        self.active_elsewhere += (held - self.active_elsewhere) / ELSEWHERE_SAMPLES

    def record_outcome(self, is_good: bool, now: float) -> None:
        """Record the end of a request, for policies that use leases but no latency."""
        if is_good and not self._failure_rate:
            self._outcome_at = now  # the usual case
            return
        kept = exp((self._outcome_at - now) / DECAY_S) if now > self._outcome_at else 1.0
        self._outcome_at = now
        self._failure_rate += ((0.0 if is_good else 1.0) - self._failure_rate) * max(1.0 - kept, 1.0 / FAILURE_RATE_SAMPLES)
        if not is_good:
            self.debt = self._decayed_debt(now) + self._failure_rate
            self._debt_at = now
        elif self._failure_rate < 0.001:
            self._failure_rate = 0.0

    def record_latency(self, latency_s: float, is_good: bool, now: float) -> None:
        """Record the end of a request with its latency: from the choice of the backend to the first byte of the response.

        A failure counts as PENALTY times the typical latency, so that a backend that fails fast does not look fast.
        """
        self.record_outcome(is_good, now)
        if is_good:
            self._typical_s += (latency_s - self._typical_s) / 16 if self._typical_s else latency_s
        else:
            latency_s = max(latency_s, PENALTY * self._typical_s or DEFAULT_LATENCY_S)
        # Peak EWMA (Finagle): rises at once, falls with DECAY_S.
        if latency_s > self._cost_s:
            self._cost_s = latency_s
        else:
            kept = exp((self._cost_at - now) / DECAY_S) if now > self._cost_at else 1.0
            self._cost_s = self._cost_s * kept + latency_s * (1.0 - kept)
        self._cost_at = self._latency_at = now

    def current_debt(self, now: float) -> float:
        """The decayed debt in leases, 0 below MIN_DEBT."""
        left = self._decayed_debt(now)
        if left < FORGOTTEN_DEBT:
            self.debt = 0.0
        return left if left >= MIN_DEBT else 0.0

    def _decayed_debt(self, now: float) -> float:
        return self.debt * exp((self._debt_at - now) / DECAY_S) if now > self._debt_at else self.debt

    def failure_rate(self, now: float) -> float:
        """The fraction of recent requests that failed, 0 to 1; decays without requests."""
        if not self._failure_rate:
            return 0.0
        return self._failure_rate * exp((self._outcome_at - now) / DECAY_S) if now > self._outcome_at else self._failure_rate

    def expected_cost_s(self, now: float) -> float:
        """The expected cost of one more request in seconds: latency times the requests in flight, including it.

        Each call also decays the latency (Finagle), so that an unused backend gets cheaper until it is tried again. While that
        trial is in flight the latency counts as at least DEFAULT_LATENCY_S, so that others wait for its result.
        """
        cost_s = self._cost_s
        if now > self._cost_at:
            cost_s = self._cost_s = cost_s * exp((self._cost_at - now) / DECAY_S)
            self._cost_at = now
        pending = self.active
        if pending and now - self._latency_at > DECAY_S and cost_s < DEFAULT_LATENCY_S:
            cost_s = DEFAULT_LATENCY_S
        if self.debt:
            return cost_s * (pending + 1.0 + self.current_debt(now))
        return cost_s * (pending + 1.0)

    def __repr__(self) -> str:
        return f"Load(weight={self.weight}, active={self.active}, elsewhere={self.active_elsewhere})"
