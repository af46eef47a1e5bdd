"""Frames out of what was read, one at a time; a head in several frames comes as one (RFC 9113 sections 3.4, 4 and 6.10).

Nothing is known here of streams: what is wrong ends the connection.
"""

from __future__ import annotations

from typing import Final

from balance.http2.errors import ENHANCE_YOUR_CALM, FRAME_SIZE_ERROR, PROTOCOL_ERROR, ConnectionFault
from balance.http2.frames import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    FRAME_BYTES,
    HAS_PRIORITY,
    HEAD_BYTES,
    HEADERS,
    PADDED,
    PREFACE,
    RST_STREAM,
    SETTINGS,
)

# What is read of a client at once, by what frames cost us: 50 to 200 us, after which its shell looks at the clock. A request is
# an exchange, and a reset ends one. Backends get more, as their frames are what we have asked for.
FRAMES_AT_ONCE: Final = 32  # by weight
HEADS_AT_ONCE: Final = 2
CONTENTS_AT_ONCE: Final = 16  # small ones
RESETS_AT_ONCE: Final = 8  # and SETTINGS
OTHERS_AT_ONCE: Final = 16
OF_BACKENDS_AT_ONCE: Final = 2048
_HEAD_WEIGHT: Final = FRAMES_AT_ONCE // HEADS_AT_ONCE
_BLOCK_SHIFT: Final = 5  # a head weighs one more for each 32 bytes of its block
_CONTENT_WEIGHT: Final = FRAMES_AT_ONCE // CONTENTS_AT_ONCE
_CONTENT_SHIFT: Final = 11  # and content for each 2 KB
_RESET_WEIGHT: Final = FRAMES_AT_ONCE // RESETS_AT_ONCE
_OTHER_WEIGHT: Final = FRAMES_AT_ONCE // OTHERS_AT_ONCE
CONTINUATIONS: Final = 8  # CVE-2024-27316: for one head
BLOCK_BYTES: Final = 65_536  # of one head, encoded


class FrameReader:
    """Of one connection. `kind`, `flags`, `stream_id`, `payload`: the last frame; the payload of HEADERS is the whole block."""

    __slots__ = (
        "_block",
        "_block_flags",
        "_block_id",
        "_count",
        "_data",
        "_has_preface",
        "_has_settings",
        "_most",
        "_position",
        "flags",
        "has_more",
        "kind",
        "payload",
        "stream_id",
    )  # fmt: skip

    def __init__(self, *, is_server: bool) -> None:
        self.kind = 0
        self.flags = 0
        self.stream_id = 0
        self.payload = b""
        self.has_more = False  # a whole frame waits: more than is read at once has come
        self._data = b""
        self._position = 0  # what is before it was read
        self._most = FRAMES_AT_ONCE if is_server else OF_BACKENDS_AT_ONCE
        self._count = 0  # frames that were read at once, by their weight
        self._has_preface = not is_server
        self._has_settings = False
        self._block: list[bytes] | None = None  # of a head that is not whole
        self._block_id = 0
        self._block_flags = 0

    @property
    def has_backlog(self) -> bool:
        """Whether something whole may wait for the next turn."""
        return len(self._data) - self._position >= HEAD_BYTES + FRAME_BYTES

    @property
    def has_rest(self) -> bool:
        """Whether more has come behind the frame that is being read."""
        return len(self._data) > self._position

    def add(self, data: bytes) -> None:
        """What was read, or nothing: frames are read again."""
        if data:
            self._data = self._data[self._position :] + data if len(self._data) > self._position else data
            self._position = 0
        self._count = 0
        self.has_more = False

    def keep(self, data: bytes) -> None:
        """What was read, for later."""
        self._data = self._data[self._position :] + data
        self._position = 0
        self.has_more = True

    def drop(self) -> None:
        """Nothing is read any more."""
        self.has_more = False
        self._data = b""
        self._position = 0
        self._block = None

    def next(self) -> bool:
        """Whether there is a frame that is read in this turn. ConnectionFault."""
        if not self._has_preface and not self._read_preface():
            return False
        data = self._data
        while True:
            position = self._position
            start = position + HEAD_BYTES
            if len(data) < start:
                break
            size = data[position] << 16 | data[position + 1] << 8 | data[position + 2]
            if size > FRAME_BYTES:
                raise ConnectionFault(FRAME_SIZE_ERROR, f"a frame of {size} bytes")
            end = start + size
            if len(data) < end:
                break
            if self._count >= self._most:
                self.has_more = True
                self.payload = b""
                return False
            kind = data[position + 3]
            flags = data[position + 4]
            stream_id = (
                (data[position + 5] & 0x7F) << 24 | data[position + 6] << 16 | data[position + 7] << 8 | data[position + 8]
            )
            if kind == DATA:
                self._count += _CONTENT_WEIGHT + (size >> _CONTENT_SHIFT)
            elif kind == HEADERS:
                self._count += _HEAD_WEIGHT + (size >> _BLOCK_SHIFT)
            elif kind in (RST_STREAM, SETTINGS):
                self._count += _RESET_WEIGHT
            else:
                self._count += _OTHER_WEIGHT
            self._position = end
            self.kind = kind
            self.flags = flags
            self.stream_id = stream_id
            self.payload = data[start:end]
            if not self._has_settings:
                if kind != SETTINGS or flags & ACK:
                    raise ConnectionFault(PROTOCOL_ERROR, "the first frame is not SETTINGS")
                self._has_settings = True
            if self._block is not None:
                if kind != CONTINUATION or stream_id != self._block_id:
                    raise ConnectionFault(PROTOCOL_ERROR, "a head is broken off by another frame")
                if not self._continue(self._block):
                    continue
            elif kind == HEADERS:
                if not self._begin():
                    continue
            elif kind == CONTINUATION:
                raise ConnectionFault(PROTOCOL_ERROR, "CONTINUATION of nothing")
            return True
        if self._position:
            self._data = data[self._position :]
            self._position = 0
        self.payload = b""  # an idle connection holds none
        return False

    def _read_preface(self) -> bool:
        data = self._data
        if data[: len(PREFACE)] != PREFACE[: len(data)]:
            raise ConnectionFault(PROTOCOL_ERROR, "this is not HTTP/2")
        if len(data) < len(PREFACE):
            return False
        self._has_preface = True
        self._position = len(PREFACE)
        return True

    def _begin(self) -> bool:
        """HEADERS: whether the block is whole."""
        if not self.stream_id:
            raise ConnectionFault(PROTOCOL_ERROR, "HEADERS of no stream")
        flags = self.flags
        if flags & PADDED:
            self.payload = unpadded(self.payload, 5 if flags & HAS_PRIORITY else 0)
        if flags & HAS_PRIORITY:
            if len(self.payload) < 5:
                raise ConnectionFault(FRAME_SIZE_ERROR, "HEADERS that are too short")
            self.payload = self.payload[5:]
        if flags & END_HEADERS:
            return True
        self._block = [self.payload]
        self._block_id = self.stream_id
        self._block_flags = flags
        return False

    def _continue(self, block: list[bytes]) -> bool:
        """CONTINUATION: whether the block is whole."""
        block.append(self.payload)
        is_last = bool(self.flags & END_HEADERS)
        if len(block) > 1 + CONTINUATIONS or (not self.payload and not is_last) or sum(map(len, block)) > BLOCK_BYTES:
            raise ConnectionFault(ENHANCE_YOUR_CALM, "a head in too many frames")
        if not is_last:
            return False
        self.kind = HEADERS
        self.flags = self._block_flags
        self.payload = b"".join(block)
        self._block = None
        return True


def unpadded(payload: bytes, least: int) -> bytes:
    """Without the padding and its length, which leaves `least` bytes at least (RFC 9113 section 6.1). ConnectionFault."""
    if not payload or payload[0] + 1 + least > len(payload):
        raise ConnectionFault(PROTOCOL_ERROR, "more padding than there is payload")
    return payload[1 : len(payload) - payload[0]]
