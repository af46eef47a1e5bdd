"""What we send on one connection: frames in the order of their importance, content as windows and the transport allow.

Content waits in its stream; the streams that may send take turns of a frame, the urgent ones first (RFC 9218 section 10). A
stream that has no window takes no room from others: the connection's window is asked for last.
"""

from __future__ import annotations

from typing import Final

from balance.http2.errors import ENHANCE_YOUR_CALM, FLOW_CONTROL_ERROR, ConnectionFault, StreamFault
from balance.http2.frames import DATA, END_STREAM, FIRST_WINDOW, FRAME_BYTES, LARGEST_WINDOW, frame_head, headers
from balance.http2.hpack.field_encoder import NO_TABLE
from balance.http2.stream import Stream

# Answers to PING and SETTINGS that wait for a peer that does not read: CVE-2019-9512, 9515. 1,000 PINGs' worth is 17 KB.
MOST_CONTROL_BYTES: Final = 13_000
MOST_WAITING: Final = 4 << 20  # bytes of content that wait; above it no reply begins, so no new streams are taken
JOINED_BYTES: Final = 4096  # content up to here is copied behind its frame's head: cheaper than to write one part more
TURN_BYTES: Final = 65_536  # of content in one turn of the event loop


class Outflow:
    """`parts` is what the shell writes next; it takes them all, at once."""

    __slots__ = (
        "_control_bytes",
        "_waiting",
        "content_bytes",
        "first_window",
        "frame_bytes",
        "held_bytes",
        "is_blocked",
        "owes_no_table",
        "parts",
        "window",
    )  # fmt: skip

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.window = FIRST_WINDOW  # of the connection
        self.first_window = FIRST_WINDOW  # of a new stream, by the peer's settings
        self.frame_bytes = FRAME_BYTES  # the most content that we put into one frame
        self.held_bytes = 0  # of all streams
        self.content_bytes = 0  # of all streams' content, that were given to the transport
        self.is_blocked = False  # the transport is full: content waits
        self.owes_no_table = False
        self._control_bytes = 0  # written while it was blocked
        self._waiting: list[Stream] = []

    def control(self, frame: bytes) -> None:
        """A frame that goes before all content. ConnectionFault when too many wait for a peer that does not read."""
        self.parts.append(frame)
        if self.is_blocked:
            self._control_bytes += len(frame)
            if self._control_bytes > MOST_CONTROL_BYTES:
                raise ConnectionFault(ENHANCE_YOUR_CALM, "it asks for answers and does not read them")

    def unblock(self) -> None:
        """The transport has room again."""
        self.is_blocked = False
        self._control_bytes = 0

    def head(self, stream: Stream, block: bytes, *, ends: bool) -> None:
        """A head, or an interim one. `block` is of field_encoder."""
        if self.owes_no_table:
            self.owes_no_table = False
            block = NO_TABLE + block
        self.parts.append(headers(stream.id, block, self.frame_bytes, ends=ends))
        if ends:
            stream.local_ended = True

    def content(self, stream: Stream, data: bytes, *, ends: bool) -> None:
        """Content of a stream; it is held as long as it can't be sent."""
        size = len(data)
        if (
            size <= stream.window
            and size <= self.window
            and size <= TURN_BYTES
            and not stream.held
            and not self._waiting
            and not self.is_blocked
        ):
            stream.window -= size
            self.window -= size
            self.content_bytes += size
            if size <= self.frame_bytes:
                if size or ends:
                    self._write_data(stream.id, data, size, ends=ends)
            else:
                self._write_frames(stream.id, data, size, ends=ends)
            stream.local_ended = ends
            return
        if size or (ends and not stream.held):
            stream.held.append(data)
            stream.held_bytes += size
            self.held_bytes += size
        stream.ends_after_held = ends
        if not stream.held:
            return
        self._wait(stream)
        self.flush()

    def trailers(self, stream: Stream, block: bytes) -> None:
        """The end of a stream, behind all of its content."""
        if stream.held:
            stream.held_trailers = block
            return
        self.head(stream, block, ends=True)

    def flush(self) -> bool:
        """Send what may be sent in this turn; whether there is more for the next one. The shell calls it after each feed."""
        left = TURN_BYTES
        while self._waiting and not self.is_blocked and left > 0:
            stream = self._next()
            if stream is None:
                return False
            left -= self._send_one(stream)
        return bool(self._waiting) and not self.is_blocked and left <= 0

    def drop(self, stream: Stream) -> None:
        """Forget what a stream has held: it was reset."""
        self.held_bytes -= stream.held_bytes
        stream.held_bytes = 0
        stream.held.clear()
        stream.held_at = 0
        stream.held_trailers = b""
        if stream.is_waiting:
            stream.is_waiting = False
            self._waiting.remove(stream)

    def more_window(self, stream: Stream | None, more: int) -> None:
        """The peer's WINDOW_UPDATE. ConnectionFault, StreamFault when the window grows beyond what there is (section 6.9.1)."""
        if stream is None:
            if self.window + more > LARGEST_WINDOW:
                raise ConnectionFault(FLOW_CONTROL_ERROR, "the connection's window is too large")
            self.window += more
        else:
            if stream.window + more > LARGEST_WINDOW:
                raise StreamFault(FLOW_CONTROL_ERROR, "a stream's window is too large")
            stream.window += more
            if stream.held:
                self._wait(stream)

    def change_first_window(self, size: int, streams: dict[int, Stream]) -> None:
        """A new SETTINGS_INITIAL_WINDOW_SIZE; windows may become negative (section 6.9.2). ConnectionFault."""
        change = size - self.first_window
        self.first_window = size
        for stream in streams.values():
            stream.window += change
            if stream.window > LARGEST_WINDOW:
                raise ConnectionFault(FLOW_CONTROL_ERROR, "a setting makes a stream's window too large")
            if stream.held:
                self._wait(stream)

    def _write_data(self, stream_id: int, data: bytes, size: int, *, ends: bool) -> None:
        head = frame_head(size, DATA, END_STREAM if ends else 0, stream_id)
        if size <= JOINED_BYTES:
            self.parts.append(head + data)
        else:
            self.parts.append(head)
            self.parts.append(data)

    def _write_frames(self, stream_id: int, data: bytes, size: int, *, ends: bool) -> None:
        most = self.frame_bytes
        for start in range(0, size, most):
            part = data[start : start + most]
            self._write_data(stream_id, part, len(part), ends=ends and start + most >= size)

    def _wait(self, stream: Stream) -> None:
        if not stream.is_waiting and (stream.window > 0 or not stream.held_bytes):
            stream.is_waiting = True
            self._waiting.append(stream)

    def _next(self) -> Stream | None:
        """Whose turn it is: the first of the most urgent ones that can send. None: nobody can."""
        found = None
        for stream in self._waiting:
            can_send = not stream.held_bytes or (self.window > 0 and stream.window > 0)
            if can_send and (found is None or stream.urgency < found.urgency):
                found = stream
        if found is not None:
            self._waiting.remove(found)
            found.is_waiting = False
        return found

    def _send_one(self, stream: Stream) -> int:
        """One frame of a stream that can send; the bytes of its content."""
        room = max(0, min(stream.window, self.window, self.frame_bytes))  # an end without content needs none
        held = stream.held
        first = held[0]
        at = stream.held_at
        if len(first) - at > room:
            data = first[at : at + room]
            stream.held_at = at + room
        else:
            data = first[at:] if at else first
            stream.held_at = 0
            del held[0]
            if held and len(data) < room:
                parts = [data]
                size = len(data)
                while held and size + len(held[0]) <= room:
                    size += len(held[0])
                    parts.append(held.pop(0))
                data = b"".join(parts)
        size = len(data)
        stream.window -= size
        self.window -= size
        self.content_bytes += size
        stream.held_bytes -= size
        self.held_bytes -= size
        ends = stream.ends_after_held and not held
        self._write_data(stream.id, data, size, ends=ends)
        if ends:
            stream.local_ended = True
        elif held:
            self._wait(stream)
        elif stream.held_trailers:
            block = stream.held_trailers
            stream.held_trailers = b""
            self.head(stream, block, ends=True)
        return size + 1  # a frame without content is work, too
