"""Outlier detection (passive health checks): when a backend is ejected, and for how long.

Client aborts, 4xx and the balancer's own limits do not count, see `failure_statuses`. `states` has the transitions.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from balance.config.model import PassiveChecks
from balance.health.states import State
from balance.health.window import Volume

MAX_EJECTION_S: Final = 300.0  # as in Envoy: ejection_time times the ejections, up to this


def ejection_reason(checks: PassiveChecks, run: int, volume: Volume) -> str:
    """Why the backend should be ejected, "" when it should not. `run`: consecutive failures over all workers."""
    if run >= checks.consecutive_failures:
        return f"{run} failures in a row"
    requests, failures = volume
    if failures and requests >= checks.min_requests and failures >= checks.error_rate_threshold * requests:
        return f"{failures} of {requests} requests failed within {checks.window_s:g}s"
    return ""


def max_ejections(checks: PassiveChecks, count: int) -> int:
    """How many of `count` backends may be ejected at a time, rounded down: 10 % of five is none."""
    return count * checks.max_ejection_percent // 100


def may_eject(checks: PassiveChecks, states: Collection[State]) -> bool:
    """Whether one more backend may be ejected. The last ready one is never ejected, as in nginx. Backends that an operator
    took out are not counted."""
    states = [state for state in states if not state.is_operator_set]
    ejected = sum(state in (State.EJECTED, State.RETURNING) for state in states)
    ready = sum(state.is_ready for state in states)
    return ejected < max_ejections(checks, len(states)) and ready > 1


def ejection_s(checks: PassiveChecks, times: int) -> float:
    """How long the `times`-th ejection lasts."""
    return min(checks.ejection_time_s * times, max(checks.ejection_time_s, MAX_EJECTION_S))


def remaining_ejections(checks: PassiveChecks, times: int, well_s: float) -> int:
    """How many ejections still count after `well_s` seconds without one: one less per ejection_time."""
    return max(0, times - int(well_s / checks.ejection_time_s))
