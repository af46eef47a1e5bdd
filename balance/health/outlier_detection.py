"""Passive checks: whether traffic shows that a backend is unwell, whether it may be ejected, and for how long.

An abort by the client, a 4xx and our own limits are no evidence (blame). What is decided here moves the table of `states`.
"""

from __future__ import annotations

from collections.abc import Collection

from balance.config.model import PassiveChecks
from balance.health.states import State
from balance.health.window import Volume

MAX_EJECTION_S = 300.0  # as in Envoy: ejection_time times the ejections, up to this


def why_outlier(checks: PassiveChecks, run: int, volume: Volume) -> str:
    """Why it should be ejected, empty when it should not. `run`: failures in a row, over all workers."""
    if run >= checks.consecutive_failures:
        return f"{run} failures in a row"
    requests, failures = volume
    if failures and requests >= checks.min_requests and failures >= checks.error_rate_threshold * requests:
        return f"{failures} of {requests} requests failed within {checks.window_s:g}s"
    return ""


def allowance(checks: PassiveChecks, count: int) -> int:
    """How many of so many backends may be ejected at a time: never more than the percentage, so 10 % of five is nobody."""
    return count * checks.max_ejection_percent // 100


def may_eject(checks: PassiveChecks, states: Collection[State]) -> bool:
    """Whether one more of these may be ejected. The last one that is ready stays, as in nginx: it is better than nobody.
    Those an operator has taken out are no part of it."""
    states = [state for state in states if not state.is_ordered]
    ejected = sum(state in (State.EJECTED, State.RETURNING) for state in states)
    ready = sum(state.is_ready for state in states)
    return ejected < allowance(checks, len(states)) and ready > 1


def ejection_s(checks: PassiveChecks, times: int) -> float:
    """How long the so-many-th ejection lasts."""
    return min(checks.ejection_time_s * times, max(checks.ejection_time_s, MAX_EJECTION_S))


def remembered(checks: PassiveChecks, times: int, well_s: float) -> int:
    """How many ejections still count after it has been well for so long: one is forgotten each ejection_time."""
    return max(0, times - int(well_s / checks.ejection_time_s))
