"""When a backend is probed next: faster while a change is in the making, slower while it is down, never all at once."""

from __future__ import annotations

from balance.config.model import HealthCheck
from balance.health.backend_status import BackendStatus
from balance.health.states import State

FAST_S = 1.0  # while a change is in the making (HAProxy's fastinter)
# After a plain no: a wrong status, a refused connection. It is stronger evidence than silence, which may be the network's, yet
# it does not shorten the count that the user asked for (as in Envoy, where it decides alone): it is only counted sooner.
EXPLICIT_S = 0.25
DOWN_FACTOR = 3.0  # while it stays down (HAProxy's downinter)
DOWN_S = 15.0
# While nobody of a pool is ready, each check may be the one that ends an outage: as after a plain no, and so many a second
# at most over the whole pool.
OUTAGE_CHECKS_PER_S = 40.0


def next_delay_s(
    check: HealthCheck, standing: BackendStatus, rand: float, outage: int = 0, *, is_explicit: bool = False
) -> float:
    """How long to wait before the next probe. `rand` in [0, 1) places it within the jitter. `outage` is how many backends the
    pool has while none of them is ready, else 0; `is_explicit`, whether the last answer was a plain no.
    """
    interval_s = check.interval_s
    if outage and not standing.state.is_ordered:
        fast_s = EXPLICIT_S if is_explicit else FAST_S
        interval_s = min(interval_s, max(fast_s, outage / OUTAGE_CHECKS_PER_S))
    elif standing.streak:
        fast_s = EXPLICIT_S if standing.is_explicit else FAST_S
        interval_s = min(interval_s, fast_s)
    elif standing.state in (State.UNHEALTHY, State.MAINTENANCE):
        interval_s = max(interval_s, min(DOWN_FACTOR * interval_s, DOWN_S))
    return interval_s * (1 + check.jitter * (2 * rand - 1))


def first_delay_s(check: HealthCheck, index: int, count: int) -> float:
    """When the `index`-th of `count` backends is probed first: spread out, yet all within a second."""
    return min(check.interval_s, FAST_S) * index / max(count, 1)
