"""The bucket of what a peer may do that costs us work and it nothing: resets, empty frames, frames that mean nothing.

CVE-2023-44487 (streams that are reset at once), CVE-2025-8671 (streams that we are made to reset), CVE-2019-9512 to 9518. Each
costs a token; tokens come back with time, so a page of sixty streams that is left, or a client that pings each second, never
meets the bound. nghttp2 has 1,000 and 33 a second for resets, 10,000 and 330 a second for the others.
"""

from __future__ import annotations

from typing import Final

TOKENS: Final = 1000.0
PER_SECOND: Final = 50.0
# A backend is no stranger, and what it does often may be our clients' doing: streams that end with both sides' resets at once,
# small messages beside a stream whose client is slow.
BACKEND_TOKENS: Final = 50_000.0
BACKEND_PER_SECOND: Final = 5_000.0
SUSPECT: Final = 0.9  # of the tokens: below it what the connection sends waits for its kind
GRACEFUL: Final = 0.25  # of the tokens: below it the connection is asked to end by itself


class Offences:
    """Of one connection. Time is in seconds, monotonic."""

    __slots__ = ("_last", "_most", "_per_second", "_tokens", "worst")

    def __init__(self, now: float, most: float = TOKENS, per_second: float = PER_SECOND) -> None:
        self._most = most
        self._per_second = per_second
        self._tokens = most
        self._last = now
        self.worst = ""  # what the last one was, in a word for the log

    def note(self, what: str, now: float, weight: float = 1.0) -> bool:
        """Whether this one is one too many: the connection ends now."""
        self._tokens = min(self._most, self._tokens + (now - self._last) * self._per_second) - weight
        self._last = now
        self.worst = what
        return self._tokens < 0.0

    def is_suspect(self, now: float) -> bool:
        """Whether there were enough lately that others should not wait for this connection."""
        return self._tokens + (now - self._last) * self._per_second < self._most * SUSPECT

    @property
    def is_many(self) -> bool:
        """Whether there are so many that the connection should end by itself."""
        return self._tokens < self._most * GRACEFUL
