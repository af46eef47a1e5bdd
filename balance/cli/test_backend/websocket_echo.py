"""A WebSocket echo server (RFC 6455), without I/O: bytes in, bytes out.

Frames are echoed one by one with their fragmentation kept, so that memory is bounded by a frame, not by a message.
"""

from __future__ import annotations

import base64
import codecs
import enum
import hashlib
import struct

HANDSHAKE_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # section 1.3
MAX_FRAME = 1024 * 1024  # the default of the websockets library


class Opcode(enum.IntEnum):
    """Section 5.2."""

    CONTINUATION = 0x0
    TEXT = 0x1
    BINARY = 0x2
    CLOSE = 0x8
    PING = 0x9
    PONG = 0xA


class CloseCode(enum.IntEnum):
    """Section 7.4.1."""

    NORMAL = 1000
    PROTOCOL_ERROR = 1002
    NOT_UTF8 = 1007
    TOO_BIG = 1009


class FrameError(Exception):
    """The client violated the protocol; `code` is for the Close frame."""

    def __init__(self, code: CloseCode, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


def accept_key(key: bytes) -> bytes:
    """The answer to Sec-WebSocket-Key (section 4.2.2)."""
    return base64.b64encode(hashlib.sha1(key + HANDSHAKE_GUID, usedforsecurity=False).digest())


def frame(opcode: Opcode, payload: bytes, *, is_final: bool = True) -> bytes:
    """One unmasked frame, as a server sends it."""
    first = opcode | (0x80 if is_final else 0)
    size = len(payload)
    if size < 126:
        return bytes((first, size)) + payload
    if size < 65536:
        return struct.pack("!BBH", first, 126, size) + payload
    return struct.pack("!BBQ", first, 127, size) + payload


class WebSocketEcho:
    """One connection after its handshake. `is_closed` says that the last reply held the close frame."""

    def __init__(self) -> None:
        self.is_closed = False
        self._buffer = bytearray()
        self._message: Opcode | None = None  # what a fragmented message began with
        self._utf8 = codecs.getincrementaldecoder("utf-8")()

    def feed(self, data: bytes) -> bytes:
        """The bytes to send in response."""
        self._buffer += data
        replies = []
        try:
            while not self.is_closed and (reply := self._next_reply()) is not None:
                replies.append(reply)
        except FrameError as error:
            replies.append(frame(Opcode.CLOSE, struct.pack("!H", error.code) + error.detail.encode()))
            self.is_closed = True
        return b"".join(replies)

    def _next_reply(self) -> bytes | None:
        """The reply to the first frame of the buffer; None while that frame is incomplete."""
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        first, second = buffer[0], buffer[1]
        if first & 0x70:
            raise FrameError(CloseCode.PROTOCOL_ERROR, "reserved bits without an extension")
        if not second & 0x80:
            raise FrameError(CloseCode.PROTOCOL_ERROR, "a client's frames must be masked")
        size, mask_at = second & 0x7F, 2
        if size == 126:
            mask_at = 4
        elif size == 127:
            mask_at = 10
        if len(buffer) < mask_at + 4:
            return None
        if mask_at > 2:
            size = int.from_bytes(buffer[2:mask_at], "big")
        if size > MAX_FRAME:
            raise FrameError(CloseCode.TOO_BIG, f"frames are bounded at {MAX_FRAME} bytes")
        end = mask_at + 4 + size
        if len(buffer) < end:
            return None
        payload = unmask(bytes(buffer[mask_at + 4 : end]), bytes(buffer[mask_at : mask_at + 4]))
        del buffer[:end]
        return self._reply(first & 0x0F, bool(first & 0x80), payload)

    def _reply(self, number: int, is_final: bool, payload: bytes) -> bytes:
        try:
            opcode = Opcode(number)
        except ValueError:
            raise FrameError(CloseCode.PROTOCOL_ERROR, f"opcode {number} is not in use") from None
        if opcode < Opcode.CLOSE:
            self._check_data(opcode, is_final, payload)
            return frame(opcode, payload, is_final=is_final)
        if len(payload) > 125 or not is_final:
            raise FrameError(CloseCode.PROTOCOL_ERROR, "control frames are whole and at most 125 bytes")
        if opcode is Opcode.PING:
            return frame(Opcode.PONG, payload)
        if opcode is Opcode.PONG:
            return b""
        if len(payload) == 1:
            raise FrameError(CloseCode.PROTOCOL_ERROR, "half a close code")
        self.is_closed = True
        return frame(Opcode.CLOSE, payload[:2] or struct.pack("!H", CloseCode.NORMAL))

    def _check_data(self, opcode: Opcode, is_final: bool, payload: bytes) -> None:
        """Fragments come in order and one message at a time (section 5.4); text is UTF-8, whole over its fragments."""
        if (opcode is Opcode.CONTINUATION) != (self._message is not None):
            raise FrameError(CloseCode.PROTOCOL_ERROR, "fragments out of order")
        kind = opcode if self._message is None else self._message
        self._message = None if is_final else kind
        if kind is Opcode.TEXT:
            try:
                self._utf8.decode(payload, final=is_final)
            except UnicodeDecodeError:
                raise FrameError(CloseCode.NOT_UTF8, "text that is not UTF-8") from None


def unmask(payload: bytes, mask: bytes) -> bytes:
    """Section 5.3, as one operation on whole numbers: a loop over bytes takes a second per few megabytes."""
    size = len(payload)
    key = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")).to_bytes(size, "big")
