"""Where WebSocket frames begin and end in one direction of a connection (RFC 6455 section 5.2). Keeps no payload.

Between two frames, also between the fragments of a message, a control frame may be put in (section 5.4): that is all that
this is for. Whatever breaks the rules ends the knowledge, not the connection: then no place is known any more.
"""

from __future__ import annotations

import struct

CLOSE = 8
GOING_AWAY = 1001  # section 7.4.1: "a server going down"

_MAX_HEAD = 14  # two bytes, eight of length, four of the mask
_INCOMPLETE, _MALFORMED = 0, -1
_KNOWN = frozenset((0, 1, 2, CLOSE, 9, 10))  # continuation, text, binary; close, ping, pong


class Frames:
    """Follows the bytes of one direction."""

    __slots__ = ("_closes", "_head", "_is_masked", "_left", "has_closed", "is_lost")

    def __init__(self, *, is_masked: bool) -> None:
        """Section 5.1: a client masks every frame, a server none."""
        self._is_masked = is_masked
        self._head = b""  # of a frame's head, what has come of it
        self._left = 0  # bytes to the end of the frame, when its head is known
        self._closes = False  # that frame is a Close
        self.has_closed = False  # a Close has passed as a whole: nothing may follow it
        self.is_lost = False

    @property
    def is_between(self) -> bool:
        """Whether a frame may be put in here."""
        return not (self._left or self._head or self.is_lost or self.has_closed)

    def passed(self, data: bytes) -> None:
        """These bytes come next."""
        size = len(data)
        at = self._finish_head(data) if self._head else self._left
        while at < size and not self._closes and not self.is_lost:
            length = self._measure(data, at)
            if length > 0:
                self._closes = data[at] & 15 == CLOSE
                at += length
            elif length == _INCOMPLETE:
                self._head = data[at:]
                at = size
            else:
                self.is_lost = True
        self._left = at - size if at > size else 0
        if self._closes and not self._left:
            self.has_closed = True

    def until_boundary(self, data: bytes) -> int:
        """If `data` comes next: how much of it belongs to the frame that has begun. -1 when that does not end in it."""
        end = self._left
        if self._head:
            end = self._measure(self._head + data[:_MAX_HEAD], 0) - len(self._head)
        return end if 0 <= end <= len(data) and not self.is_lost else -1

    def _finish_head(self, data: bytes) -> int:
        """The head that has begun goes on in `data`. Where in it the frame ends, or behind it."""
        begun = len(self._head)
        head, self._head = self._head + data[:_MAX_HEAD], b""
        length = self._measure(head, 0)
        if length > 0:
            self._closes = head[0] & 15 == CLOSE
            return length - begun
        if length == _INCOMPLETE:
            self._head = head
        else:
            self.is_lost = True
        return len(data)

    def _measure(self, data: bytes, at: int) -> int:
        """The whole length of the frame whose head stands there."""
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
    """A Close with that code; from a client with a `mask` of four bytes that nobody can guess (section 10.3)."""
    payload = struct.pack("!H", code)
    if not mask:
        return bytes((0x80 | CLOSE, len(payload))) + payload
    return bytes((0x80 | CLOSE, 0x80 | len(payload))) + mask + bytes(a ^ b for a, b in zip(payload, mask, strict=False))
