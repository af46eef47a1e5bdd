"""Tracks the boundaries of WebSocket frames in one direction (RFC 6455 section 5.2), without keeping payloads.

Used to insert a Close frame between two frames or fragments (section 5.4). After a protocol error boundaries are unknown, but
the connection goes on.
"""

from __future__ import annotations

import struct
from typing import Final

CLOSE: Final = 8
GOING_AWAY: Final = 1001  # section 7.4.1: "a server going down"

_MAX_HEAD: Final = 14  # two bytes, eight of length, four of the mask
_INCOMPLETE, _MALFORMED = 0, -1
_KNOWN: Final = frozenset((0, 1, 2, CLOSE, 9, 10))  # continuation, text, binary; close, ping, pong


class FrameTracker:
    """Tracks the bytes of one direction."""

    __slots__ = ("_head", "_is_close", "_is_masked", "_left", "has_closed", "is_out_of_sync")

    def __init__(self, *, is_masked: bool) -> None:
        """`is_masked`: client frames are masked, server frames are not (section 5.1)."""
        self._is_masked = is_masked
        self._head = b""  # an incomplete frame header
        self._left = 0  # remaining bytes of the frame
        self._is_close = False  # the present frame is a Close
        self.has_closed = False  # a complete Close has passed: no frame may follow
        self.is_out_of_sync = False

    @property
    def is_at_boundary(self) -> bool:
        """Whether a frame may be inserted now."""
        return not (self._left or self._head or self.is_out_of_sync or self.has_closed)

    def feed(self, data: bytes) -> None:
        """Process the next bytes."""
        size = len(data)
        at = self._finish_head(data) if self._head else self._left
        while at < size and not self._is_close and not self.is_out_of_sync:
            length = self._measure(data, at)
            if length > 0:
                self._is_close = data[at] & 15 == CLOSE
                at += length
            elif length == _INCOMPLETE:
                self._head = data[at:]
                at = size
            else:
                self.is_out_of_sync = True
        self._left = at - size if at > size else 0
        if self._is_close and not self._left:
            self.has_closed = True

    def bytes_to_boundary(self, data: bytes) -> int:
        """How many bytes of `data`, if it comes next, belong to the present frame; -1 when it does not end in it."""
        end = self._left
        if self._head:
            end = self._measure(self._head + data[:_MAX_HEAD], 0) - len(self._head)
        return end if 0 <= end <= len(data) and not self.is_out_of_sync else -1

    def _finish_head(self, data: bytes) -> int:
        """Complete the frame header with `data`. Returns the end of the frame, which may be beyond `data`."""
        begun = len(self._head)
        head, self._head = self._head + data[:_MAX_HEAD], b""
        length = self._measure(head, 0)
        if length > 0:
            self._is_close = head[0] & 15 == CLOSE
            return length - begun
        if length == _INCOMPLETE:
            self._head = head
        else:
            self.is_out_of_sync = True
        return len(data)

    def _measure(self, data: bytes, at: int) -> int:
        """The length of the frame that begins at `at`, header included; _INCOMPLETE or _MALFORMED."""
        size = len(data) - at
        if size < 2:
            return _INCOMPLETE
        first, length = data[at], data[at + 1]
        opcode, is_masked = first & 15, length >= 128
        length &= 127
        if opcode not in _KNOWN or is_masked is not self._is_masked or (opcode >= CLOSE and (length > 125 or first < 128)):
            return _MALFORMED
        head = 6 if is_masked else 2
        if length == 126:
            if size < 4:
                return _INCOMPLETE
            length = data[at + 2] << 8 | data[at + 3]
            head += 2
            if length < 126:  # "the minimal number of bytes MUST be used"
                return _MALFORMED
        elif length == 127:
            if size < 10:
                return _INCOMPLETE
            length = int.from_bytes(data[at + 2 : at + 10])
            head += 8
            if not 1 << 16 <= length < 1 << 63:
                return _MALFORMED
        return head + length


def close_frame(code: int, mask: bytes = b"") -> bytes:
    """A Close frame; from a client with a `mask` of four unpredictable bytes (section 10.3)."""
    payload = struct.pack("!H", code)
    if not mask:
        return bytes((0x80 | CLOSE, len(payload))) + payload
    return bytes((0x80 | CLOSE, 0x80 | len(payload))) + mask + bytes(a ^ b for a, b in zip(payload, mask, strict=False))
