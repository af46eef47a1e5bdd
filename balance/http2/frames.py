"""The frames of HTTP/2 (RFC 9113 sections 4 and 6): their heads, and how those that we send are written."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

DATA: Final = 0x0
HEADERS: Final = 0x1
PRIORITY: Final = 0x2
RST_STREAM: Final = 0x3
SETTINGS: Final = 0x4
PUSH_PROMISE: Final = 0x5
PING: Final = 0x6
GOAWAY: Final = 0x7
WINDOW_UPDATE: Final = 0x8
CONTINUATION: Final = 0x9

END_STREAM: Final = 0x1  # of DATA and HEADERS
ACK: Final = 0x1  # of SETTINGS and PING
END_HEADERS: Final = 0x4
PADDED: Final = 0x8
HAS_PRIORITY: Final = 0x20

# The identifiers of settings (section 6.5.2; RFC 8441 section 3; RFC 9218 section 2.1).
HEADER_TABLE_SIZE: Final = 0x1
ENABLE_PUSH: Final = 0x2
MAX_CONCURRENT_STREAMS: Final = 0x3
INITIAL_WINDOW_SIZE: Final = 0x4
MAX_FRAME_SIZE: Final = 0x5
MAX_HEADER_LIST_SIZE: Final = 0x6
ENABLE_CONNECT_PROTOCOL: Final = 0x8
NO_RFC7540_PRIORITIES: Final = 0x9

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEAD_BYTES: Final = 9
FRAME_BYTES: Final = 16_384  # the least that a peer takes, and the most that we do
LARGEST_FRAME_SIZE: Final = (1 << 24) - 1
FIRST_WINDOW: Final = 65_535  # of a connection, and of streams where SETTINGS say nothing
LARGEST_WINDOW: Final = (1 << 31) - 1
LAST_STREAM_ID: Final = (1 << 31) - 1


def frame_head(size: int, kind: int, flags: int, stream_id: int) -> bytes:
    """What stands before a payload of `size` bytes."""
    # In two parts, each of which is a small number.
    return (size << 16 | kind << 8 | flags).to_bytes(5, "big") + stream_id.to_bytes(4, "big")


def frame(kind: int, flags: int, stream_id: int, payload: bytes) -> bytes:
    """A whole frame; the payload is at most what the peer takes."""
    return frame_head(len(payload), kind, flags, stream_id) + payload


def settings(values: Iterable[tuple[int, int]]) -> bytes:
    payload = b"".join([identifier.to_bytes(2, "big") + value.to_bytes(4, "big") for identifier, value in values])
    return frame(SETTINGS, 0, 0, payload)


SETTINGS_ACK: Final = frame(SETTINGS, ACK, 0, b"")


def ping(opaque: bytes, *, is_ack: bool) -> bytes:
    return frame(PING, ACK if is_ack else 0, 0, opaque)


def goaway(last_id: int, code: int, detail: bytes = b"") -> bytes:
    return frame(GOAWAY, 0, 0, last_id.to_bytes(4, "big") + code.to_bytes(4, "big") + detail)


def rst_stream(stream_id: int, code: int) -> bytes:
    return frame(RST_STREAM, 0, stream_id, code.to_bytes(4, "big"))


def window_update(stream_id: int, more: int) -> bytes:
    return frame(WINDOW_UPDATE, 0, stream_id, more.to_bytes(4, "big"))


def headers(stream_id: int, block: bytes, size: int, *, ends: bool) -> bytes:
    """HEADERS, and CONTINUATION where a block is longer than a frame of `size` bytes may be."""
    flags = END_STREAM if ends else 0
    if len(block) <= size:
        return frame(HEADERS, flags | END_HEADERS, stream_id, block)
    parts = [frame(HEADERS, flags, stream_id, block[:size])]
    for start in range(size, len(block), size):
        is_last = start + size >= len(block)
        parts.append(frame(CONTINUATION, END_HEADERS if is_last else 0, stream_id, block[start : start + size]))
    return b"".join(parts)
