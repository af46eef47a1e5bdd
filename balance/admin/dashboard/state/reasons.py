"""Why a backend gets no normal share of the requests, and when it may again: in one sentence, and when a timer ends."""

from __future__ import annotations

from typing import NamedTuple

from balance.config.model import HealthCheck
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
    is_open = breaker is BreakerState.OPEN
    match state:
        case State.MAINTENANCE:
            return Reason(f"In maintenance, by an operator{_because(words)}: nothing goes there until it is enabled.")
        case State.DRAINING:
            rest = (
                {True: "; nothing is left there", False: "; what is under way there may end"}[drained]
                if drained is not None
                else ""
            )
            return Reason(f"Drained by an operator{_because(words)}: nothing new goes there until it is enabled{rest}.")
        case State.UNHEALTHY:
            return Reason(f"Its health checks fail{_because(words)}; it is back after {_good_checks(check)}.")
        case State.EJECTED if is_open:
            text = f"Ejected{_because(words)}, and its circuit breaker is open{_because(breaker_words)}; requests will try it"
            return Reason(f"{text} when both are over.", max(ejected_for_s, open_for_s, 0.0))
        case State.EJECTED:
            checked = f", or after {_good_checks(check)}" if check.enabled else ""
            text = f"Ejected{_because(words)}; a request will try it when its time is over{checked}."
            return Reason(text, max(ejected_for_s, 0.0))
        case State.RETURNING if not is_open:
            return Reason(f"On trial after an ejection{_because(words)}; it is back when the request that tries it goes well.")
    if is_open:
        text = f"Its circuit breaker is open{_because(breaker_words)}; requests will try it when its time is over."
        return Reason(text, max(open_for_s, 0.0))
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
    return "one good check" if check.healthy_threshold == 1 else f"{check.healthy_threshold} good checks in a row"
