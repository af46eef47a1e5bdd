"""The line that each change leaves in the log and among the events: who, from where, what, and what came of it.

Every request to an endpoint that changes something leaves one, refused ones included; whoever is turned away without a token is
told of by a warning now and then, since anybody can cause any number of those.
"""

from __future__ import annotations

import logging

from starlette.requests import Request

from balance.admin.access.client import Client
from balance.admin.events.history import EventLog
from balance.config.overrides.value_format import redact_text

log = logging.getLogger("balance.admin")

ENTRY = "balance.audit"  # in the scope of a request
MAX_CHARS = 1500
WARNING_INTERVAL_S = 10.0


class AuditEntry:
    """Of one request."""

    __slots__ = ("_client", "_events", "is_noted")

    def __init__(self, events: EventLog, client: Client) -> None:
        self._events = events
        self._client = client
        self.is_noted = False

    def note(self, what: str, outcome: str) -> None:
        """Write a line."""
        self.is_noted = True
        who, where = plain(self._client.who), self._client.where
        text = plain(redact_text(f"{what}: {outcome}"))
        log.info("ordered by %s at %s: %s", who, where, text)
        self._events.publish("order", f"ordered by {who} at {where}: {text}", peer=where, who=who)


def note(request: Request, what: str, outcome: str) -> None:
    """Write a line for the change that a request has asked for."""
    entry = request.scope[ENTRY]
    assert isinstance(entry, AuditEntry)
    entry.note(what, outcome)


def plain(text: str) -> str:
    """Text in one line without control characters, which could forge a line or drive a terminal."""
    text = text if len(text) <= MAX_CHARS else f"{text[:MAX_CHARS]}..."
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


class RefusalLog:
    """Warnings about clients that were turned away, one at a time."""

    __slots__ = ("_again_at", "_unsaid")

    def __init__(self) -> None:
        self._again_at = 0.0
        self._unsaid = 0

    def warn(self, message: str, now: float) -> None:
        """Log it, or count it. `now` is monotonic."""
        if now < self._again_at:
            self._unsaid += 1
            return
        more, self._unsaid = self._unsaid, 0
        self._again_at = now + WARNING_INTERVAL_S
        log.warning("%s%s", plain(message), f" ({more} more like it since the last such warning)" if more else "")
