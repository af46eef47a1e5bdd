"""When to ask again: when the TTL of the records has passed, within bounds; after failures, or nobody, with growing pauses."""

from __future__ import annotations

from typing import Final

MIN_PAUSE_S: Final = 5.0  # however short a TTL is: with 0, which many clusters' DNS gives, it would be a storm of questions
JITTER: Final = 0.1  # instances that were started together don't ask together for ever


def refresh_pause_s(ttl_s: float | None, refresh_s: float, rand: float) -> float:
    """The pause after a good answer. `refresh_s` is the most, even where it is less than MIN_PAUSE_S. `rand` is in [0, 1)."""
    pause = refresh_s if ttl_s is None else min(max(float(ttl_s), MIN_PAUSE_S), refresh_s)
    return max(pause * (1.0 - JITTER * rand), min(pause, MIN_PAUSE_S))


def retry_pause_s(count: int, refresh_s: float, rand: float) -> float:
    """The pause after so many failures in a row, or answers of nobody, of which this is one. Such answers have no TTL."""
    pause = min(MIN_PAUSE_S * 2.0 ** min(count - 1, 16), refresh_s)
    return pause * (1.0 - JITTER * rand)
