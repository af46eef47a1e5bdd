"""When a client is told that its connection ends: in a quiet moment.

Browsers choose the connection of a request some milliseconds before they open its stream. Chromium fails what it has chosen one
for when the GOAWAY comes in between while others of its streams are open (net::ERR_FAILED from SpdySession::TryCreateStream),
and what waits for the limit of streams (ERR_ABORTED). Neither is sent again. No frame of ours prevents that, but it takes a
burst of requests: so who waits until there is none loses nothing.
"""

from __future__ import annotations

from typing import Final

QUIET_S: Final = 0.2  # without a new request: then none is on its way
LATE_S: Final = 1.0  # after so long without that, the end of a burst will do
MOST_S: Final = 5.0  # after so long, nothing is waited for


class Departure:
    """Of one connection that is to end."""

    __slots__ = ("_began", "_burst_id", "_largest", "_last_id")

    def __init__(self, last_id: int, now: float) -> None:
        """`last_id`: the last stream that the client has opened. `now`: monotonic seconds."""
        self._began = now
        self._last_id = self._burst_id = last_id
        self._largest = 0  # burst so far, in stream numbers

    def is_quiet(self, last_id: int, now: float, *, is_full: bool) -> bool:
        """Whether no request has come since the last look, or for too long some always did. To be asked each QUIET_S.

        `is_full`: the client has as many streams open as it may, so others may wait in it.
        """
        before, self._last_id = self._last_id, last_id
        return (before == last_id and not is_full) or now - self._began >= MOST_S

    def ends_burst(self, last_id: int, now: float) -> bool:
        """Whether the stream that was the only one ends a burst and that will do. To be asked when the client has none open.

        The first answers may be out before the last requests are in; so a burst is as large as the largest one so far.
        """
        size, self._burst_id = last_id - self._burst_id, last_id
        if size < self._largest:
            return False
        self._largest = size
        return now - self._began >= LATE_S
