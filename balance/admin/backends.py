"""The JSON of backends: state and reason, circuit breaker, counters, last probe."""

from __future__ import annotations

from typing import Any

from balance.admin.json_reply import iso_time
from balance.admin.metrics.totals import Totals
from balance.admin.state_view import BackendView, StateView
from balance.config.model import PoolConfig
from balance.config.overrides.value_format import redact
from balance.health.circuit_breaker import CAUSE, SINCE_US, STATE, TOTAL_OPENINGS, UNTIL_US, BreakerState, Signal
from balance.health.states import State
from balance.runtime import counters


def backends(view: StateView, now: float, now_us: int) -> dict[str, Any]:
    """The /backends document. `now` is wall clock time, `now_us` monotonic."""
    totals = Totals(view.board.rows)
    return {
        "backends": [
            {"pool": backend_view.pool.name} | backend(backend_view, view, totals, now, now_us)
            for backend_view in view.backends()
        ]
    }


def backend(backend_view: BackendView, view: StateView, totals: Totals, now: float, now_us: int) -> dict[str, Any]:
    """One backend."""
    block = counters.block(backend_view.slot)
    last = view.last_result(backend_view.slot)
    answers, taken_s = totals.times(block + counters.UPSTREAM_TIME, view.board.time_buckets_us)
    active = totals.cell(block + counters.ACTIVE)
    return {
        "name": backend_view.backend.name,
        "address": str(backend_view.backend.address),
        "weight": backend_view.backend.weight,
        "backup": backend_view.backend.backup,
        "max_connections": backend_view.backend.max_connections or None,
        "region": backend_view.backend.region or None,
        "metadata": redact("", dict(backend_view.backend.metadata)),
        "state": state_word(backend_view),
        "why": view.board.reason(backend_view.slot) or None,
        "since": iso_time(backend_view.since) if backend_view.since else None,
        "last_check": {"ok": last.is_ok, "reason": last.reason, "seconds": round(last.duration_s, 6)} if last else None,
        "ejections": view.board.ejection(backend_view.slot).total,
        "breaker": breaker(backend_view, view, now, now_us) if backend_view.pool.breaker.enabled else None,
        "active": active,
        "drained": is_drained(view, active) if backend_view.state.is_operator_set else None,
        "waiting": waiting(backend_view.pool, view, totals),
        "connections": totals.cell(block + counters.OPEN),
        "requests": totals.cell(block + counters.LEASES),
        "copies": totals.cell(block + counters.COPIES),
        "failures": totals.cell(block + counters.FAILURES),
        "blamed": totals.cell(block + counters.BLAMED),
        "retries": totals.cell(block + counters.RETRIES),
        "mean_seconds": round(taken_s / answers[-1][1], 6) if answers[-1][1] else None,
    }


def state_word(backend_view: BackendView) -> str:
    """The state's name; `unchecked` instead of unknown where there are no health checks."""
    return (
        "unchecked"
        if backend_view.state is State.UNKNOWN and not backend_view.pool.health_check.enabled
        else backend_view.state.word
    )


def is_drained(view: StateView, active: int) -> bool:
    """Whether a drained backend has nothing in flight and gets nothing more: every worker has applied the state."""
    us = view.board.states_changed_us
    return not active and all(row[counters.APPLIED_US] >= us for row in view.board.rows if row[counters.PLACE])


def waiting(pool: PoolConfig, view: StateView, totals: Totals) -> int:
    """How many requests are queued for the pool."""
    if not pool.backends:
        return 0
    return totals.cell(counters.block(view.slots[pool.name, pool.backends[0].name]) + counters.WAITING)


def breaker_phase(backend_view: BackendView, view: StateView, now_us: int) -> BreakerState:
    """A breaker's phase as requests see it: OPEN past its time is HALF_OPEN."""
    evidence = view.board.evidence(backend_view.slot)
    phase = BreakerState(evidence[STATE])
    return BreakerState.HALF_OPEN if phase is BreakerState.OPEN and now_us >= evidence[UNTIL_US] else phase


def breaker(backend_view: BackendView, view: StateView, now: float, now_us: int) -> dict[str, Any]:
    """One backend's circuit breaker."""
    evidence = view.board.evidence(backend_view.slot)
    phase, since_us = breaker_phase(backend_view, view, now_us), evidence[SINCE_US]
    document: dict[str, Any] = {
        "state": phase.word,
        "why": Signal(evidence[CAUSE]).text or None,
        "since": iso_time(now - (now_us - since_us) / 1e6) if since_us else None,
        "opened": evidence[TOTAL_OPENINGS],
    }
    if phase is BreakerState.OPEN:
        document["tried_again_in_seconds"] = round((evidence[UNTIL_US] - now_us) / 1e6, 3)
    return document
