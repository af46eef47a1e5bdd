"""Which streams there have been, and what a frame means for one that we do not have (RFC 9113 section 5.1)."""

from __future__ import annotations

from typing import Final

from balance.http2.errors import PROTOCOL_ERROR, STREAM_CLOSED, ConnectionFault, StreamFault

OURS_LATELY_S: Final = 1.0  # frames for a stream that we have reset may still be on their way so long
MOST_REMEMBERED: Final = 256  # streams that we have reset


class StreamIds:
    """Of one connection. Time is in seconds, monotonic."""

    __slots__ = ("_forgotten", "_is_server", "_lately", "is_final", "last", "next")

    def __init__(self, *, is_server: bool) -> None:
        self._is_server = is_server
        self._lately: dict[int, float] = {}  # streams that we have reset, and when; the oldest first
        self._forgotten = 0  # of those that were no longer remembered the highest
        self.last = 0  # the highest stream that the peer has opened
        self.next = 1  # that we open, as a client
        self.is_final = False  # our last GOAWAY has named `last`: those above are not looked at

    def remember(self, stream_id: int, now: float) -> None:
        """A stream that we have reset."""
        if len(self._lately) >= MOST_REMEMBERED:
            oldest = next(iter(self._lately))
            del self._lately[oldest]
            self._forgotten = max(self._forgotten, oldest)
        self._lately[stream_id] = now

    def judge_idle(self, stream_id: int, what: str) -> None:
        """A frame of a stream that we do not have: it has ended, or was never opened, which is a ConnectionFault."""
        opened = self.last if self._is_server else self.next - 1
        if not stream_id or not stream_id & 1 or (stream_id > opened and not self.is_final):
            raise ConnectionFault(PROTOCOL_ERROR, f"{what} of a stream that was never opened")

    def judge_late(self, stream_id: int, now: float, what: str, *, is_held: bool) -> bool:
        """A frame that none may send behind an end: whether it is an offence. `is_held`: the stream is served.

        One that was on its way when we reset is none. ConnectionFault, StreamFault.
        """
        self.judge_idle(stream_id, what)
        if self.is_final and stream_id > self.last:
            return False
        at = self._lately.get(stream_id)
        if at is None and stream_id > self._forgotten:
            if is_held:
                raise StreamFault(STREAM_CLOSED, f"{what} behind a reset")
            raise ConnectionFault(STREAM_CLOSED, f"{what} of a stream that has ended")
        return at is None or now - at > OURS_LATELY_S
