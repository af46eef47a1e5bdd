"""Warnings that each request could repeat: the first is logged at once, then one per interval, with the number left out."""

from __future__ import annotations

import logging
from typing import Final, NamedTuple

EVERY_S: Final = 60.0

log: Final = logging.getLogger("balance.worker")


class RequestIds(NamedTuple):
    """By what a request is found again in logs and traces; empty: it has none."""

    request_id: bytes = b""
    trace_id: bytes = b""


NO_REQUEST: Final = RequestIds()


def about(ids: RequestIds) -> dict[str, str]:
    """What a record of the log has beside its message: the fields that LineFormatter knows."""
    return {name: value.decode("ascii", "replace") for name, value in ids._asdict().items() if value}


class ThrottledWarning:
    """One for each kind of warning and worker; logs at most one per `every_s` seconds."""

    __slots__ = ("_again_at", "_every_s", "_unsaid")

    def __init__(self, every_s: float = EVERY_S) -> None:
        self._every_s = every_s
        self._again_at = 0.0
        self._unsaid = 0

    def say(self, now: float, message: str, ids: RequestIds = NO_REQUEST) -> None:
        """Log the message, or count it when the interval is not over. The next one logged has that count. `now`: seconds.

        `ids` are those of the request which the message speaks of, if it does.
        """
        if now < self._again_at:
            self._unsaid += 1
            return
        more, self._unsaid = self._unsaid, 0
        self._again_at = now + self._every_s
        text = f"{message} ({more} more like it since the last such warning)" if more else message
        log.warning("%s", text, extra=about(ids))
