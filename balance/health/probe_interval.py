"""The delay until a backend's next health check: shorter before a state change, longer while it is down, with jitter."""

from __future__ import annotations

from typing import Final

from balance.config.model import HealthCheck
from balance.health.backend_status import BackendStatus
from balance.health.states import State

FAST_S: Final = 1.0  # while results point to a state change (HAProxy's fastinter)
# After an explicit failure (wrong status, refused connection), which is stronger evidence than a timeout. Unlike in Envoy it
# does not bypass the threshold; the next check only comes sooner.
EXPLICIT_S: Final = 0.25
DOWN_FACTOR: Final = 3.0  # while it is down (HAProxy's downinter)
DOWN_S: Final = 15.0
# While no backend of a pool is ready: as after an explicit failure, but at most so many checks per second over the pool.
OUTAGE_CHECKS_PER_S: Final = 40.0


def next_delay_s(
    check: HealthCheck, status: BackendStatus, rand: float, outage: int = 0, *, is_explicit: bool = False
) -> float:
    """The delay until the next check. `rand` in [0, 1) sets the jitter. `outage` is the number of backends in the pool while
    none is ready, else 0; `is_explicit`, whether the last result was an explicit failure.
    """
    interval_s = check.interval_s
    if outage and not status.state.is_operator_set:
        fast_s = EXPLICIT_S if is_explicit else FAST_S
        interval_s = min(interval_s, max(fast_s, outage / OUTAGE_CHECKS_PER_S))
    elif status.streak:
        fast_s = EXPLICIT_S if status.is_explicit else FAST_S
        interval_s = min(interval_s, fast_s)
    elif status.state in (State.UNHEALTHY, State.MAINTENANCE):
        interval_s = max(interval_s, min(DOWN_FACTOR * interval_s, DOWN_S))
    return interval_s * (1 + check.jitter * (2 * rand - 1))


def first_delay_s(check: HealthCheck, index: int, count: int) -> float:
    """The delay of the first check of the `index`-th of `count` backends: spread over at most a second."""
    return min(check.interval_s, FAST_S) * index / max(count, 1)
