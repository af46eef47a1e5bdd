"""SETTINGS (RFC 9113 section 6.5): ours, with which a connection opens, and what the peer's say beside windows."""

from __future__ import annotations

from typing import Final

from balance.http2 import frames
from balance.http2.errors import FLOW_CONTROL_ERROR, FRAME_SIZE_ERROR, PROTOCOL_ERROR, ConnectionFault
from balance.http2.flow.credit import STREAM_BYTES, Credit
from balance.http2.flow.outflow import Outflow
from balance.http2.hpack.field_decoder import TABLE_BYTES
from balance.http2.stream import Stream

_MOST_KNOWN: Final = 64  # as many as there are listeners and pools with limits of their own
_known: Final[dict[tuple[int, int, bool, bool], bytes]] = {}


class PeerSettings:
    """Of one connection."""

    __slots__ = ("_is_server", "allows_protocol", "have_come", "streams")

    def __init__(self, *, is_server: bool) -> None:
        self._is_server = is_server
        self.have_come = False
        self.streams = 100  # that we may open; what is sure before they have come
        self.allows_protocol = False  # extended CONNECT (RFC 8441)

    def read(self, payload: bytes, out: Outflow, streams: dict[int, Stream]) -> None:
        """One frame of them. ConnectionFault."""
        if len(payload) % 6:
            raise ConnectionFault(FRAME_SIZE_ERROR, "SETTINGS of a size that they can't have")
        for start in range(0, len(payload), 6):
            identifier = payload[start] << 8 | payload[start + 1]
            self._set(identifier, int.from_bytes(payload[start + 2 : start + 6], "big"), out, streams)
        self.have_come = True

    def _set(self, identifier: int, value: int, out: Outflow, streams: dict[int, Stream]) -> None:
        if identifier == frames.INITIAL_WINDOW_SIZE:
            if value > frames.LARGEST_WINDOW:
                raise ConnectionFault(FLOW_CONTROL_ERROR, "SETTINGS_INITIAL_WINDOW_SIZE is too large")
            out.change_first_window(value, streams)
        elif identifier == frames.MAX_FRAME_SIZE:
            if not frames.FRAME_BYTES <= value <= frames.LARGEST_FRAME_SIZE:
                raise ConnectionFault(PROTOCOL_ERROR, "SETTINGS_MAX_FRAME_SIZE is out of its range")
        elif identifier == frames.MAX_CONCURRENT_STREAMS:
            self.streams = value
        elif identifier == frames.HEADER_TABLE_SIZE:
            if value < TABLE_BYTES:
                out.owes_no_table = True
        elif identifier == frames.ENABLE_PUSH:
            if value > 1 or (value and not self._is_server):
                raise ConnectionFault(PROTOCOL_ERROR, "SETTINGS_ENABLE_PUSH has a value that it can't have")
        elif identifier == frames.ENABLE_CONNECT_PROTOCOL:
            if value > 1 or (self.allows_protocol and not value):
                raise ConnectionFault(PROTOCOL_ERROR, "SETTINGS_ENABLE_CONNECT_PROTOCOL has a value that it can't have")
            self.allows_protocol = bool(value)


def opening(streams: int, head_bytes: int, allows_protocol: bool, *, is_server: bool) -> bytes:
    """What we say first: the preface as a client, SETTINGS, the connection's window. Made once for all with these limits."""
    key = (streams, head_bytes, allows_protocol, is_server)
    made = _known.get(key)
    if made is None:
        made = _make(streams, head_bytes, allows_protocol, is_server)
        if len(_known) >= _MOST_KNOWN:
            _known.clear()
        _known[key] = made
    return made


def _make(streams: int, head_bytes: int, allows_protocol: bool, is_server: bool) -> bytes:
    if not is_server:
        ours = [
            (frames.ENABLE_PUSH, 0),
            (frames.INITIAL_WINDOW_SIZE, STREAM_BYTES),
            (frames.HEADER_TABLE_SIZE, TABLE_BYTES),
        ]
        return frames.PREFACE + frames.settings(ours) + Credit.opening()
    ours = [
        (frames.MAX_CONCURRENT_STREAMS, streams),
        (frames.INITIAL_WINDOW_SIZE, STREAM_BYTES),
        (frames.MAX_HEADER_LIST_SIZE, head_bytes),
        (frames.NO_RFC7540_PRIORITIES, 1),
    ]
    if allows_protocol:
        ours.append((frames.ENABLE_CONNECT_PROTOCOL, 1))
    return frames.settings(ours) + Credit.opening()
