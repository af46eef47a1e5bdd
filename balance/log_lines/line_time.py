"""The time of a line, in the two notations that logs have. The second is written once for all lines of it."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from math import floor, trunc
from typing import Final

_AFTER_SECOND: Final = tuple(f".{ms:03d}Z" for ms in range(1000))


class IsoTime:
    """RFC 3339 (ISO 8601), in UTC with milliseconds."""

    __slots__ = ("_second", "_text")

    def __init__(self) -> None:
        self._second = -1.0
        self._text = ""

    def text(self, now: float) -> str:
        """`now` is in seconds since the epoch."""
        after = now - self._second
        if not 0.0 <= after < 1.0:
            self._second = float(floor(now))
            after = now - self._second
            self._text = datetime.fromtimestamp(self._second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        return self._text + _AFTER_SECOND[trunc(after * 1000.0)]


@lru_cache(2)
def apache_time(second: int) -> str:
    """As in Apache's logs, in local time."""
    return datetime.fromtimestamp(second).astimezone().strftime("%d/%b/%Y:%H:%M:%S %z")
