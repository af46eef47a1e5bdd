"""Bounds what wrong tokens cost: the checks of one client's that fail, and the time that all of them take.

A signature takes 20 to 1,000 us to check, so that whoever sends wrong ones without end could have a worker for himself. Tokens
that were good before are remembered, and cost none. A client without failures has no entry here.
"""

from __future__ import annotations

from typing import Final

BURST: Final = 50.0  # failures of one client at once
PER_SECOND: Final = 10.0  # and from then on
SHARE: Final = 0.25  # of the worker's time, for failures of all clients
SHARE_BURST_S: Final = 0.5
MAX_CLIENTS: Final = 4096


class FailedChecks:
    """Those of one stage. `now` is in seconds, monotonic."""

    __slots__ = ("_at", "_clients", "_left_s")

    def __init__(self) -> None:
        self._clients: dict[bytes, tuple[float, float]] = {}  # what is left, and when
        self._left_s = SHARE_BURST_S
        self._at = 0.0

    def may_check(self, client: bytes, now: float) -> bool:
        """Whether one more may be checked."""
        if self._left_s + max(0.0, now - self._at) * SHARE <= 0.0:
            return False
        known = self._clients.get(client)
        return known is None or known[0] + max(0.0, now - known[1]) * PER_SECOND >= 1.0

    def failed(self, client: bytes, cost_s: float, now: float) -> None:
        """A check has failed, and took so long."""
        self._left_s = min(SHARE_BURST_S, self._left_s + max(0.0, now - self._at) * SHARE) - cost_s
        self._at = max(now, self._at)  # requests that have waited are from before
        left, at = self._clients.pop(client, (BURST, now))
        if len(self._clients) >= MAX_CLIENTS:
            del self._clients[next(iter(self._clients))]
        self._clients[client] = (min(BURST, left + max(0.0, now - at) * PER_SECOND) - 1.0, max(now, at))
