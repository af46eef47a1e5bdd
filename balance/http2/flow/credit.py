"""What peers may send to us (RFC 9113 section 5.2), so that a stuck upload holds little and starves nobody.

A stream has 64 KB under way, and gets new credit when the other side's transport has taken what came. The connection gets its
credit at once while it holds no more than it may; else one stream that is not taken would stop all the others. From a client it
holds little. A connection to a backend is shared by clients who have nothing to do with each other: it may hold the streams of
all of them, so that those who read slowly stop nobody else. Padding, and what comes on streams that were reset, is credited as
well: a connection that lost it would slow down and stop.
"""

from __future__ import annotations

from typing import Final

from balance.http2.errors import FLOW_CONTROL_ERROR, ConnectionFault, StreamFault
from balance.http2.frames import FIRST_WINDOW, window_update
from balance.http2.stream import Stream

STREAM_BYTES: Final = 65_536
CONNECTION_BYTES: Final = 1_048_576
MOST_HELD: Final = 1_600_000  # bytes that a client's connection may hold, and its window is still opened at once
_LEAST_UPDATE: Final = 32_768  # smaller credit waits for more


class Credit:
    """Of one connection. What is to be sent is returned as frames, empty for none."""

    __slots__ = ("_credit", "_debt", "held", "most_held")

    def __init__(self, most_held: int = MOST_HELD) -> None:
        self.most_held = most_held  # bytes; from there on the connection's window is opened no further
        self.held = 0  # bytes that came, and that nobody has taken yet
        self._credit = CONNECTION_BYTES
        self._debt = 0

    @staticmethod
    def opening() -> bytes:
        """What follows our SETTINGS: the connection's window, which they can't change."""
        return window_update(0, CONNECTION_BYTES - FIRST_WINDOW)

    def came(self, stream: Stream | None, size: int) -> bytes:
        """DATA of this size with its padding has come. ConnectionFault, StreamFault: more than was allowed."""
        self._credit -= size
        if self._credit < 0:
            raise ConnectionFault(FLOW_CONTROL_ERROR, "more content than the connection's window allows")
        self._debt += size
        if stream is None:
            return self._connection_update()
        stream.credit -= size
        if stream.credit < 0:
            raise StreamFault(FLOW_CONTROL_ERROR, "more content than the stream's window allows")
        self.held += size
        return self._connection_update() if self.held < self.most_held else b""

    def taken(self, stream: Stream, size: int) -> bytes:
        """Of a stream's DATA so many bytes are gone on; padding at once."""
        self.held -= size
        update = self._connection_update() if self.held < self.most_held else b""
        if stream.remote_ended or stream.is_reset:
            return update
        stream.debt += size
        if stream.debt < _LEAST_UPDATE:
            return update
        more = window_update(stream.id, stream.debt)
        stream.credit += stream.debt
        stream.debt = 0
        return update + more

    def _connection_update(self) -> bytes:
        if self._debt < _LEAST_UPDATE:
            return b""
        update = window_update(0, self._debt)
        self._credit += self._debt
        self._debt = 0
        return update
