"""When a set of keys is fetched again: by what its reply says (RFC 9111), within bounds; after failures with growing pauses."""

from __future__ import annotations

import re
from typing import Final

MIN_LIFE_S: Final = 30.0  # however short a reply wants to live: a `max-age=0` would be a fetch without end
RETRY_BASE_S: Final = 1.0
RETRY_MAX_S: Final = 60.0
_MAX_AGE: Final = re.compile(r"(?:^|[,\s])(?:max-age|s-maxage)\s*=\s*\"?([0-9]{1,9})(?=[\",;\s]|$)", re.IGNORECASE)
_NEVER: Final = re.compile(r"(?:^|[,\s])no-(?:store|cache)(?=[,;=\s]|$)", re.IGNORECASE)


def life_s(cache_control: str, age: str, refresh_s: float) -> float:
    """How long a reply with these fields is fresh; at most `refresh_s`, at least MIN_LIFE_S (or that, if it is shorter)."""
    least = min(MIN_LIFE_S, refresh_s)
    if _NEVER.search(cache_control):
        return least
    said = [int(seconds) for seconds in _MAX_AGE.findall(cache_control)]
    if not said:
        return refresh_s
    spent = int(age) if age.isascii() and age.isdigit() and len(age) < 10 else 0
    return min(max(float(min(said) - spent), least), refresh_s)


def refresh_after_s(life: float, rand: float) -> float:
    """When to fetch a good set again: before it ends, and not all instances at once. `rand` is in [0, 1)."""
    return life * (0.8 + 0.2 * rand)


def retry_after_s(failures: int, refresh_s: float, rand: float) -> float:
    """The pause after so many failures in a row, of which this is one: doubling, with full jitter above its half."""
    most = min(RETRY_MAX_S, max(refresh_s, RETRY_BASE_S))
    pause = min(RETRY_BASE_S * 2.0 ** min(failures - 1, 16), most)
    return pause * (0.5 + 0.5 * rand)
