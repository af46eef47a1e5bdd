"""Why a backend gets no normal share of the requests, and when it may again: in one sentence, and when a timer ends."""

from __future__ import annotations

from typing import NamedTuple

from balance.config.model import HealthCheck
from balance.config.schema.units import format_duration
from balance.health.circuit_breaker import BreakerState
from balance.health.states import State


class Reason(NamedTuple):
    """`back_in_s`: how long until a timer ends; None where none runs."""

    text: str
    back_in_s: float | None = None


def backend_reason(
    state: State,
    words: str,
    check: HealthCheck,
    *,
    weight: int,
    ejected_for_s: float = 0.0,
    breaker: BreakerState = BreakerState.CLOSED,
    breaker_words: str = "",
    open_for_s: float = 0.0,
    drained: bool | None = None,
    is_idle_backup: bool = False,
) -> Reason | None:
    """None for a backend that gets its share. `words` are those behind its state, `breaker_words` behind the breaker's."""
    match state:
        case State.MAINTENANCE:
            return Reason("In maintenance, by an operator: nothing goes there until it is enabled.")
        case State.DRAINING:
            rest = {True: "nothing is left there", False: "what is under way there may end"}.get(bool(drained), "")
            return Reason(f"Drained by an operator: nothing new goes there until it is enabled; {rest}.")
        case State.UNHEALTHY:
            return Reason(f"Its health checks fail{_because(words)}; it is back after {_good_checks(check)}.")
        case State.EJECTED:
            checked = f", or after {_good_checks(check)}" if check.enabled else ""
            return Reason(
                f"Ejected{_because(words)}; a request will try it when its time is over{checked}.", max(ejected_for_s, 0.0)
            )
        case State.RETURNING:
            return Reason(
                f"On trial after an ejection{_because(words)}; it is back when the request that tries it goes well.", None
            )
    if breaker is BreakerState.OPEN:
        return Reason(
            f"Its circuit breaker is open{_because(breaker_words)}; requests will try it when its time is over.",
            max(open_for_s, 0.0),
        )
    if breaker is BreakerState.HALF_OPEN:
        return Reason(
            f"Its circuit breaker is half-open{_because(breaker_words)}; it closes when requests that try it go well."
        )
    if not weight:
        return Reason("Its weight is 0: sessions stay, nothing new goes there until it has one.")
    if is_idle_backup:
        return Reason("A backup: it gets requests when no other backend of its pool is ready.")
    return None


def _because(words: str) -> str:
    return f" ({words})" if words else ""


def _good_checks(check: HealthCheck) -> str:
    if check.healthy_threshold == 1:
        return f"one good check (one each {format_duration(check.interval_s)})"
    return f"{check.healthy_threshold} good checks in a row (one each {format_duration(check.interval_s)})"
