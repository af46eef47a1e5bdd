"""Crash back-off: how long a slot waits before it restarts a child that keeps dying soon after its start.

The delay doubles with each short-lived child, from FIRST_BACKOFF_S up to MAX_BACKOFF_S, and is reset by a child that lived for
STABLE_UPTIME_S. The first restart is immediate: connections are already queued in the slot's listening sockets. Counted per
slot; `ChildSlot.schedule_restart` turns the delay into a time, and the supervisor's loop restarts what is due.
"""

from __future__ import annotations

STABLE_UPTIME_S = 10.0  # a child that lived this long resets the back-off
FIRST_BACKOFF_S = 0.1
MAX_BACKOFF_S = 10.0


class CrashBackoff:
    """The back-off of one slot."""

    __slots__ = ("_backoff_s",)

    def __init__(self) -> None:
        self._backoff_s = 0.0

    def next_delay_s(self, uptime_s: float) -> float:
        """Record that a child died after `uptime_s`; returns how long to wait before the next one is started."""
        self._backoff_s = next_backoff_s(self._backoff_s, uptime_s)
        return 0.0 if self._backoff_s <= FIRST_BACKOFF_S else self._backoff_s


def next_backoff_s(backoff_s: float, uptime_s: float) -> float:
    """The back-off after one more child: zero when it was stable, otherwise twice the one before, within the bounds."""
    if uptime_s >= STABLE_UPTIME_S:
        return 0.0
    return min(max(2 * backoff_s, FIRST_BACKOFF_S), MAX_BACKOFF_S)
