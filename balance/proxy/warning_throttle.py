"""Warnings that each request could repeat: the first is logged at once, then one per interval, with the number left out."""

from __future__ import annotations

import logging

EVERY_S = 60.0

log = logging.getLogger("balance.worker")


def about(request_id: bytes) -> dict[str, str]:
    """What a record of the log has beside its message: the fields that LineFormatter knows."""
    return {"request_id": request_id.decode("ascii", "replace")} if request_id else {}


class ThrottledWarning:
    """One for each kind of warning and worker; logs at most one per `every_s` seconds."""

    __slots__ = ("_again_at", "_every_s", "_unsaid")

    def __init__(self, every_s: float = EVERY_S) -> None:
        self._every_s = every_s
        self._again_at = 0.0
        self._unsaid = 0

    def say(self, now: float, message: str, request_id: bytes = b"") -> None:
        """Log the message, or count it when the interval is not over. The next one logged has that count. `now`: seconds.

        `request_id` is that of the request which the message speaks of, if it does.
        """
        if now < self._again_at:
            self._unsaid += 1
            return
        more, self._unsaid = self._unsaid, 0
        self._again_at = now + self._every_s
        text = f"{message} ({more} more like it since the last such warning)" if more else message
        log.warning("%s", text, extra=about(request_id))
