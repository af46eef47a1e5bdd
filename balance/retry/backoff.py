"""How long to wait before a request is sent again: longer each time, within bounds, never all at once."""

from __future__ import annotations

from balance.config.model import Retry


def backoff_s(retry: Retry, waits: int, rand: float) -> float:
    """How long a request that has waited `waits` times waits before its next try. `rand` in [0, 1) places it within the jitter.

    Full jitter is anything from nothing to the whole: requests that failed together are then spread evenly over the time.
    """
    try:
        cap_s = min(retry.backoff_base_s * retry.multiplier**waits, retry.backoff_max_s)
    except OverflowError:
        cap_s = retry.backoff_max_s
    if retry.jitter is None:
        return rand * cap_s
    return cap_s * (1.0 + retry.jitter * (2.0 * rand - 1.0))
