"""A tunnel that is a WebSocket: bytes are relayed as they come, and a drain sends a Close frame to both peers.

Only frame boundaries are tracked. At the next boundary of each direction, announce_close() inserts a Close 1001 (going away,
RFC 6455 section 7.4.1) and relays nothing after it; the peer's own Close, or its end, then closes its connection. A peer whose
frame does not end by the deadline of the drain is cut, as in any other tunnel.
"""

from __future__ import annotations

import os

from balance.http1.websocket_frames import GOING_AWAY, FrameTracker, close_frame
from balance.model import Why
from balance.proxy.net.sockets import reset
from balance.proxy.net.timer_wheel import TimerWheel
from balance.proxy.tcp.relay import Relay, RelayEnd, RelayObserver
from balance.proxy.tunnel.tunnel import TunnelEnd
from balance.proxy.worker_context import Drainable


class WebSocketEnd(TunnelEnd):
    """One end, with the position in its frames."""

    __slots__ = ("closing", "frames", "is_stopped")

    def __init__(self, connections: set[Drainable] | None) -> None:
        TunnelEnd.__init__(self, connections)
        self.frames = FrameTracker(is_masked=connections is not None)
        self.closing: WebSocketRelay | None = None  # set by announce_close()
        self.is_stopped = False  # its bytes are no longer relayed

    def data_received(self, data: bytes) -> None:
        if self.closing is None:
            self.frames.feed(data)
            RelayEnd.data_received(self, data)
        else:
            self.bytes_received += len(data)
            self.closing.received(self, data)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.closing is None:
            TunnelEnd.connection_lost(self, exc)
        else:  # not forget(): the drain waits for both ends, so that the backend can send its Close
            RelayEnd.connection_lost(self, exc)

    def announce_close(self) -> None:
        """The deadline of a drain is near: send Close to both peers."""
        if self.closing is None and isinstance(self.relay, WebSocketRelay):
            self.relay.announce_close()


class WebSocketRelay(Relay):
    """The relay between two WebSocketEnds."""

    __slots__ = ("_ends", "_is_closing")

    def __init__(
        self,
        client: WebSocketEnd,
        upstream: WebSocketEnd,
        wheel: TimerWheel,
        idle_s: float,
        half_closed_s: float,
        account: RelayObserver,
        now: float,
    ) -> None:
        self._ends = (client, upstream)
        self._is_closing = False
        for end in self._ends:
            for data in end.early or ():
                end.frames.feed(data)
        Relay.__init__(self, client, upstream, wheel, idle_s, half_closed_s, account, now)

    def announce_close(self) -> None:
        """Send Close to each peer at the next frame boundary of what it receives."""
        if self._why is not None or (self.client.saw_eof and self.upstream.saw_eof):
            return  # it is ending already
        self._is_closing = True
        self._why = Why.DRAINING
        for end in self._ends:
            end.closing = self
        for end in self._ends:
            if end.saw_eof or end.frames.has_closed or end.frames.is_at_boundary:
                self._stop(end, b"")

    def received(self, end: WebSocketEnd, data: bytes) -> None:
        """Bytes received from `end` after announce_close()."""
        if end.is_stopped:
            end.frames.feed(data)
        elif (size := end.frames.bytes_to_boundary(data)) >= 0:
            rest = data[:size]
            end.frames.feed(rest)
            self._stop(end, rest)
            end.frames.feed(data[size:])
        else:
            end.frames.feed(data)
            self._write(self._other_of(end), data)
        self._close_when_done(end)

    def half_closed(self, end: RelayEnd) -> None:
        """After announce_close() the end of `end` counts as its Close."""
        if self._is_closing:
            self._close_when_done(self._ends[end is self.upstream])
        else:
            Relay.half_closed(self, end)

    def lost(self, end: RelayEnd, exc: Exception | None) -> None:
        """After announce_close() each end closes by itself; the other is reset when the frame sent to it stays incomplete."""
        other = self._other(end)
        if not self._is_closing or other.is_lost:
            Relay.lost(self, end, exc)
        elif not self._ends[end is self.upstream].is_stopped:
            reset(other.transport)

    def _stop(self, end: WebSocketEnd, rest: bytes) -> None:
        """Relay the `rest` of the current frame of `end`, then Close unless `end` has sent its own, and nothing after it."""
        other = self._other_of(end)
        end.is_stopped = True
        if not (end.saw_eof or end.frames.has_closed):
            rest += close_frame(GOING_AWAY, os.urandom(4) if end is self._ends[0] else b"")
        self._write(other, rest)
        other.other = None  # a full write buffer of `other` no longer pauses `end`
        end.resume()
        self._close_when_done(other)

    def _write(self, end: WebSocketEnd, data: bytes) -> None:
        if data and not end.transport.is_closing():
            end.transport.write(data)

    def _other_of(self, end: WebSocketEnd) -> WebSocketEnd:
        return self._ends[end is self.client]

    def _close_when_done(self, end: WebSocketEnd) -> None:
        """Close `end` when it has sent Close or its end, and the direction to it is stopped."""
        if self._other_of(end).is_stopped and (end.frames.has_closed or end.saw_eof):
            end.transport.close()

    def _end(self) -> None:
        Relay._end(self)
        self._ends[0].forget()
        for end in self._ends:
            end.relay = end.closing = None  # each holds the other
