"""Exponential backoff with jitter."""

from __future__ import annotations

from balance.config.model import Retry


def backoff_s(retry: Retry, waits: int, rand: float) -> float:
    """The delay before the next try of a request that has waited `waits` times. `rand` in [0, 1) sets the jitter.

    Full jitter: between 0 and the whole delay, so that requests that failed together are spread evenly.
    """
    try:
        cap_s = min(retry.backoff_base_s * retry.multiplier**waits, retry.backoff_max_s)
    except OverflowError:
        cap_s = retry.backoff_max_s
    if retry.jitter is None:
        return rand * cap_s
    return cap_s * (1.0 + retry.jitter * (2.0 * rand - 1.0))
