"""One connection of HTTP/2, as a server or as a client: frames in, calls and frames out (RFC 9113).

No sockets and no clock: `feed` takes what was read and the time, the handler is called, and what is to be written is in `out`.
Everything that a peer can make us keep has a bound: one frame of 16 KB, a block of fields of 64 KB in 9 frames, streams by
their number, content by windows, answers by the control bytes that wait, and work without use by a bucket.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from balance.http2 import frames
from balance.http2.credit import STREAM_BYTES, Credit
from balance.http2.errors import (
    CANCEL,
    ENHANCE_YOUR_CALM,
    FLOW_CONTROL_ERROR,
    FRAME_SIZE_ERROR,
    NO_ERROR,
    PROTOCOL_ERROR,
    REFUSED_STREAM,
    STREAM_CLOSED,
    ConnectionFault,
    StreamFault,
)
from balance.http2.field_decoder import TABLE_BYTES, Field, FieldDecoder
from balance.http2.frames import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    FRAME_BYTES,
    GOAWAY,
    HAS_PRIORITY,
    HEAD_BYTES,
    HEADERS,
    LAST_STREAM_ID,
    PADDED,
    PING,
    PREFACE,
    PRIORITY,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
)
from balance.http2.handler import SessionHandler
from balance.http2.message_fields import NO_LENGTH, malformed, trailer_lines
from balance.http2.offences import Offences
from balance.http2.outflow import Outflow
from balance.http2.request_head import read_request
from balance.http2.response_head import read_response
from balance.http2.stream import Stream

FRAMES_PER_TURN: Final = 256
RESETS_PER_TURN: Final = 16
CONTINUATIONS: Final = 8  # CVE-2024-27316: for one head
BLOCK_BYTES: Final = 65_536  # of one head, encoded
OURS_LATELY_S: Final = 1.0  # frames for a stream that we have reset may still be on their way so long
FREE_CANCEL_S: Final = 1.0  # a reset of a stream that has lived longer is no offence
MOST_REMEMBERED: Final = 256  # streams that we have reset
INTERIM: Final = 100  # interim responses before one
_GOODBYE: Final = b"balance!"  # in the PING whose answer says that the peer has seen our first GOAWAY


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """What a peer may have."""

    streams: int = 100
    fields: int = 100
    head_bytes: int = 65_536
    allows_protocol: bool = False  # extended CONNECT (RFC 8441) is offered


class Session:
    """One connection. `handler` is told; `out.parts` is to be written."""

    __slots__ = (
        "_backlog",
        "_block",
        "_block_ends",
        "_block_frames",
        "_block_id",
        "_decoder",
        "_forgotten",
        "_has_peer_settings",
        "_has_preface",
        "_is_closed",
        "_is_goodbye_sent",
        "_is_leaving",
        "_lately",
        "_next_id",
        "_peer_leaves",
        "_warned",
        "credit",
        "handler",
        "is_server",
        "last_id",
        "limits",
        "offences",
        "out",
        "peer_allows_protocol",
        "peer_streams",
        "streams",
    )  # fmt: skip

    def __init__(self, handler: SessionHandler, limits: SessionLimits, now: float, *, is_server: bool) -> None:
        self.handler = handler
        self.limits = limits
        self.is_server = is_server
        self.out = Outflow()
        self.credit = Credit()
        self.offences = Offences(now)
        self.streams: dict[int, Stream] = {}
        self.last_id = 0  # the highest stream that the peer has opened
        self.peer_streams = 100  # that we may open; what is sure before the peer's settings are there
        self.peer_allows_protocol = False
        self._decoder = FieldDecoder(limits.fields, limits.head_bytes)
        self._backlog = b""
        self._block: list[bytes] | None = None  # of a head that is not whole
        self._block_id = 0
        self._block_ends = False
        self._block_frames = 0
        self._has_preface = not is_server
        self._has_peer_settings = False
        self._lately: dict[int, float] = {}  # streams that we have reset, and when; the oldest first
        self._forgotten = 0  # of those that were no longer remembered the highest
        self._next_id = 1  # as a client
        self._peer_leaves = False
        self._is_leaving = False
        self._is_goodbye_sent = False
        self._is_closed = False
        self._warned = False
        self.out.parts.append(self._opening())

    @property
    def is_closed(self) -> bool:
        """Whether nothing is read any more, because of a fault."""
        return self._is_closed

    @property
    def is_leaving(self) -> bool:
        """Whether no new streams are taken, or can be opened."""
        return self._is_leaving or self._peer_leaves

    @property
    def has_backlog(self) -> bool:
        """Whether something whole may wait for the next turn: nothing more should be read meanwhile."""
        return len(self._backlog) >= HEAD_BYTES + FRAME_BYTES

    def feed(self, data: bytes, now: float) -> bool:
        """What was read. True: there is more work in what has come; feed(b"") in the next turn."""
        if self._is_closed:
            return False
        self._backlog = self._backlog + data if self._backlog else data
        try:
            more = self._read(now)
        except ConnectionFault as fault:
            self._fail(fault)
            return False
        return self.out.flush() or more

    def flush(self) -> bool:
        """Send what waits, in the next turn or when the transport has room; whether there is still more."""
        return not self._is_closed and self.out.flush()

    # --- what the shell says ---------------------------------------------------------------------

    def open(self, block: bytes, now: float, *, ends: bool, is_head_request: bool = False) -> Stream | None:
        """Send a request, as a client. None when the peer takes no more now."""
        if self.is_leaving or self._is_closed or len(self.streams) >= self.peer_streams or self._next_id > LAST_STREAM_ID:
            return None
        stream = Stream(self._next_id, self.out.first_window, STREAM_BYTES, now)
        if is_head_request:
            stream.length = 0
            stream.has_fixed_length = True
        self._next_id += 2
        self.streams[stream.id] = stream
        self.out.head(stream, block, ends=ends)
        return stream

    def head(self, stream: Stream, block: bytes, *, ends: bool) -> None:
        """Send a response's head, or an interim one."""
        if not stream.is_reset:
            self.out.head(stream, block, ends=ends)

    def content(self, stream: Stream, data: bytes, *, ends: bool) -> None:
        """Send content, now or when windows allow it; the shell looks at `stream.held_bytes`."""
        if not stream.is_reset:
            self.out.content(stream, data, ends=ends)

    def trailers(self, stream: Stream, block: bytes) -> None:
        """End a message with trailers."""
        if not stream.is_reset:
            self.out.trailers(stream, block)

    def taken(self, stream: Stream, size: int) -> None:
        """So many bytes of a stream's content have gone on."""
        if update := self.credit.taken(stream, size):
            self.out.parts.append(update)

    def reset(self, stream: Stream, code: int, now: float) -> None:
        """End a stream early; the handler is not told."""
        if not stream.is_reset and not (stream.local_ended and stream.remote_ended):
            self.out.parts.append(frames.rst_stream(stream.id, code))
            self._remember(stream.id, now)
        stream.is_reset = True
        self.out.drop(stream)

    def release(self, stream: Stream, now: float) -> None:
        """Whoever served this stream is done with it: its place is free. What was not ended is reset.

        A response that came before the request's content has: NO_ERROR, so that the client takes it (RFC 9113 section 8.1).
        """
        if not stream.is_done:
            self.reset(stream, NO_ERROR if stream.local_ended and self.is_server else CANCEL, now)
        self.streams.pop(stream.id, None)

    def leave(self) -> None:
        """Take no new streams, without losing one that is on its way: the first of two GOAWAYs (RFC 9113 section 6.8)."""
        if not self._is_leaving and not self._is_closed:
            self._is_leaving = True
            self.out.parts.append(frames.goaway(LAST_STREAM_ID, NO_ERROR) + frames.ping(_GOODBYE, is_ack=False))

    def leave_now(self) -> None:
        """The second one: its answer has come, or does not."""
        self._is_leaving = True
        if not self._is_goodbye_sent and not self._is_closed:
            self._is_goodbye_sent = True
            self.out.parts.append(frames.goaway(self.last_id, NO_ERROR))

    # --- what the peer says ----------------------------------------------------------------------

    def _opening(self) -> bytes:
        limits = self.limits
        if not self.is_server:
            ours = [
                (frames.ENABLE_PUSH, 0),
                (frames.INITIAL_WINDOW_SIZE, STREAM_BYTES),
                (frames.HEADER_TABLE_SIZE, TABLE_BYTES),
            ]
            return PREFACE + frames.settings(ours) + Credit.opening()
        ours = [
            (frames.MAX_CONCURRENT_STREAMS, limits.streams),
            (frames.INITIAL_WINDOW_SIZE, STREAM_BYTES),
            (frames.MAX_HEADER_LIST_SIZE, limits.head_bytes),
            (frames.NO_RFC7540_PRIORITIES, 1),
        ]
        if limits.allows_protocol:
            ours.append((frames.ENABLE_CONNECT_PROTOCOL, 1))
        return frames.settings(ours) + Credit.opening()

    def _read(self, now: float) -> bool:
        data = self._backlog
        position = 0
        end = len(data)
        if not self._has_preface:
            if data[: len(PREFACE)] != PREFACE[:end]:
                raise ConnectionFault(PROTOCOL_ERROR, "this is not HTTP/2")
            if end < len(PREFACE):
                return False
            self._has_preface = True
            position = len(PREFACE)
        count = resets = 0
        more = False
        while end - position >= HEAD_BYTES:
            size = data[position] << 16 | data[position + 1] << 8 | data[position + 2]
            if size > FRAME_BYTES:
                raise ConnectionFault(FRAME_SIZE_ERROR, f"a frame of {size} bytes")
            start = position + HEAD_BYTES
            if end - start < size:
                break
            if count >= FRAMES_PER_TURN or resets >= RESETS_PER_TURN:
                more = True
                break
            kind = data[position + 3]
            count += 1
            resets += kind == RST_STREAM
            stream_id = int.from_bytes(data[position + 5 : start], "big") & LAST_STREAM_ID
            position = start + size
            self._frame(kind, data[position - size - 5], stream_id, data[start:position], now)
            if self._is_closed:
                return False
        self._backlog = data[position:] if position else data
        return more

    def _frame(self, kind: int, flags: int, stream_id: int, payload: bytes, now: float) -> None:
        if not self._has_peer_settings and (kind != SETTINGS or flags & ACK):
            raise ConnectionFault(PROTOCOL_ERROR, "the first frame is not SETTINGS")
        if self._block is not None and (kind != CONTINUATION or stream_id != self._block_id):
            raise ConnectionFault(PROTOCOL_ERROR, "a head is broken off by another frame")
        try:
            if kind == DATA:
                self._on_data(flags, stream_id, payload, now)
            elif kind == HEADERS:
                self._on_headers(flags, stream_id, payload, now)
            elif kind == CONTINUATION:
                self._on_continuation(flags, stream_id, payload, now)
            elif kind == WINDOW_UPDATE:
                self._on_window_update(stream_id, payload, now)
            elif kind == RST_STREAM:
                self._on_rst_stream(stream_id, payload, now)
            elif kind == SETTINGS:
                self._on_settings(flags, stream_id, payload, now)
            elif kind == PING:
                self._on_ping(flags, stream_id, payload, now)
            elif kind == GOAWAY:
                self._on_goaway(stream_id, payload)
            elif kind == PRIORITY:
                self._on_priority(stream_id, payload, now)
            elif kind == PUSH_PROMISE:
                raise ConnectionFault(PROTOCOL_ERROR, "PUSH_PROMISE, which was not allowed")
            else:
                self._offence("unknown frames", now, 0.1)
        except StreamFault as fault:
            self._fail_stream(stream_id, fault, now)

    def _on_data(self, flags: int, stream_id: int, payload: bytes, now: float) -> None:
        size = len(payload)
        stream = self.streams.get(stream_id)
        if stream is None or stream.is_reset:
            self._judge_late(stream_id, now, "DATA")
            self._write(self.credit.came(None, size))
            return
        if stream.remote_ended:
            self._write(self.credit.came(None, size))
            raise StreamFault(STREAM_CLOSED, "DATA behind the end of a message")
        self._write(self.credit.came(stream, size))
        content = payload
        if flags & PADDED:
            content = _unpadded(payload, 0)
            self._write(self.credit.taken(stream, size - len(content)))
        if not stream.has_head:
            self._write(self.credit.taken(stream, len(content)))
            raise malformed("content before a head")
        ends = bool(flags & END_STREAM)
        stream.received += len(content)
        if stream.length != NO_LENGTH and (stream.received > stream.length or (ends and stream.received != stream.length)):
            self._write(self.credit.taken(stream, len(content)))
            raise malformed("more or less content than content-length says")
        if ends:
            stream.remote_ended = True
        elif not content:
            self._offence("empty DATA", now)
            return
        elif size < 256 and self.credit.held > STREAM_BYTES:
            self._offence("small DATA that waits", now, 0.1)
        self.handler.on_content(stream, content, ends=ends)

    def _on_headers(self, flags: int, stream_id: int, payload: bytes, now: float) -> None:
        if not stream_id:
            raise ConnectionFault(PROTOCOL_ERROR, "HEADERS of no stream")
        block = payload
        if flags & PADDED:
            block = _unpadded(payload, 5 if flags & HAS_PRIORITY else 0)
        if flags & HAS_PRIORITY:
            if len(block) < 5:
                raise ConnectionFault(FRAME_SIZE_ERROR, "HEADERS that are too short")
            block = block[5:]
        if flags & END_HEADERS:
            self._on_block(stream_id, block, bool(flags & END_STREAM), now)
            return
        self._block = [block]
        self._block_id = stream_id
        self._block_ends = bool(flags & END_STREAM)
        self._block_frames = 0

    def _on_continuation(self, flags: int, stream_id: int, payload: bytes, now: float) -> None:
        if self._block is None:
            raise ConnectionFault(PROTOCOL_ERROR, "CONTINUATION of nothing")
        self._block_frames += 1
        self._block.append(payload)
        is_last = bool(flags & END_HEADERS)
        if self._block_frames > CONTINUATIONS or (not payload and not is_last) or sum(map(len, self._block)) > BLOCK_BYTES:
            raise ConnectionFault(ENHANCE_YOUR_CALM, "a head in too many frames")
        if is_last:
            block = b"".join(self._block)
            self._block = None
            self._on_block(stream_id, block, self._block_ends, now)

    def _on_block(self, stream_id: int, block: bytes, ends: bool, now: float) -> None:
        """A whole block of fields. It is always decoded: the table is shared with those that follow."""
        stream = self.streams.get(stream_id)
        if stream is None and self.is_server and stream_id > self.last_id:
            if not stream_id & 1:
                raise ConnectionFault(PROTOCOL_ERROR, "a client opens a stream of an even number")
            fields = self._decoder.decode(block)
            if not self._is_goodbye_sent:  # else it is above the number that our last GOAWAY has named
                self.last_id = stream_id
                self._on_new(stream_id, fields, ends, now)
            return
        fields = self._decoder.decode(block)
        if stream is None or stream.is_reset:
            self._judge_late(stream_id, now, "HEADERS")
            return
        if stream.remote_ended:
            raise StreamFault(STREAM_CLOSED, "HEADERS behind the end of a message")
        if self._decoder.is_too_large:
            raise StreamFault(ENHANCE_YOUR_CALM, "too many fields")
        if not self.is_server and not stream.has_head:
            self._on_response(stream, fields, ends)
            return
        if not ends:
            raise malformed("trailers that do not end the message")
        if stream.length != NO_LENGTH and stream.received != stream.length:
            raise malformed("less content than content-length says")
        lines = trailer_lines(fields)
        stream.remote_ended = True
        self.handler.on_trailers(stream, lines)

    def _on_new(self, stream_id: int, fields: list[Field], ends: bool, now: float) -> None:
        """A request."""
        if len(self.streams) >= self.limits.streams:
            self._remember(stream_id, now)
            self._write(frames.rst_stream(stream_id, REFUSED_STREAM))
            self._offence("streams above the limit", now)
            return
        stream = Stream(stream_id, self.out.first_window, STREAM_BYTES, now)
        stream.has_head = True
        stream.remote_ended = ends
        if self._decoder.is_too_large:
            self.streams[stream_id] = stream
            self._offence("heads that are too large", now)
            self.handler.on_too_large(stream, ends=ends)
            return
        head = read_request(fields, ends=ends, allows_protocol=self.limits.allows_protocol)
        stream.length = head.length
        self.streams[stream_id] = stream
        self.handler.on_request(stream, head, ends=ends)

    def _on_response(self, stream: Stream, fields: list[Field], ends: bool) -> None:
        head = read_response(fields, ends=ends)
        if head.is_interim:
            stream.interims += 1
            if stream.interims > INTERIM:
                raise malformed("too many interim responses")
        else:
            stream.has_head = True
            if head.status in (204, 304):
                stream.length = 0
                stream.has_fixed_length = True
            elif not stream.has_fixed_length:
                stream.length = head.length
                if ends and head.length > 0:
                    raise malformed("a content-length, and no content")
            stream.remote_ended = ends
        self.handler.on_response(stream, head, ends=ends)

    def _on_window_update(self, stream_id: int, payload: bytes, now: float) -> None:
        if len(payload) != 4:
            raise ConnectionFault(FRAME_SIZE_ERROR, "a WINDOW_UPDATE of another size than 4")
        more = int.from_bytes(payload, "big") & frames.LARGEST_WINDOW
        if not stream_id:
            if not more:
                raise ConnectionFault(PROTOCOL_ERROR, "a WINDOW_UPDATE by 0")
            self.out.more_window(None, more)
        else:
            stream = self.streams.get(stream_id)
            if stream is None:
                self._judge_idle(stream_id, "WINDOW_UPDATE")
            elif not stream.is_reset:
                if not more:
                    raise StreamFault(PROTOCOL_ERROR, "a WINDOW_UPDATE by 0")
                self.out.more_window(stream, more)
        if more < 1024:
            self._offence("WINDOW_UPDATE by little", now, 0.1)

    def _on_rst_stream(self, stream_id: int, payload: bytes, now: float) -> None:
        if len(payload) != 4:
            raise ConnectionFault(FRAME_SIZE_ERROR, "an RST_STREAM of another size than 4")
        stream = self.streams.get(stream_id)
        if stream is None:
            self._judge_idle(stream_id, "RST_STREAM")
            self._offence("resets", now)
            return
        if self.is_server and now - stream.began_at < FREE_CANCEL_S:
            self._offence("resets", now)
        if stream.is_reset:
            return
        stream.is_reset = True
        self.out.drop(stream)
        self.handler.on_reset(stream, int.from_bytes(payload, "big"), "reset by the peer", is_ours=False)

    def _on_settings(self, flags: int, stream_id: int, payload: bytes, now: float) -> None:
        if stream_id:
            raise ConnectionFault(PROTOCOL_ERROR, "SETTINGS of a stream")
        if flags & ACK:
            if payload:
                raise ConnectionFault(FRAME_SIZE_ERROR, "SETTINGS are acknowledged with something in it")
            return
        if len(payload) % 6:
            raise ConnectionFault(FRAME_SIZE_ERROR, "SETTINGS of a size that they can't have")
        for start in range(0, len(payload), 6):
            identifier = payload[start] << 8 | payload[start + 1]
            self._set(identifier, int.from_bytes(payload[start + 2 : start + 6], "big"))
        if self._has_peer_settings:
            self._offence("SETTINGS", now, 1.0 + len(payload) / 192)
        self._has_peer_settings = True
        self.out.control(frames.SETTINGS_ACK)
        self.handler.on_settings()

    def _set(self, identifier: int, value: int) -> None:
        if identifier == frames.INITIAL_WINDOW_SIZE:
            if value > frames.LARGEST_WINDOW:
                raise ConnectionFault(FLOW_CONTROL_ERROR, "SETTINGS_INITIAL_WINDOW_SIZE is too large")
            self.out.change_first_window(value, self.streams)
        elif identifier == frames.MAX_FRAME_SIZE:
            if not FRAME_BYTES <= value <= frames.LARGEST_FRAME_SIZE:
                raise ConnectionFault(PROTOCOL_ERROR, "SETTINGS_MAX_FRAME_SIZE is out of its range")
        elif identifier == frames.MAX_CONCURRENT_STREAMS:
            self.peer_streams = value
        elif identifier == frames.HEADER_TABLE_SIZE:
            if value < TABLE_BYTES:
                self.out.owes_no_table = True
        elif identifier == frames.ENABLE_PUSH:
            if value > 1 or (value and not self.is_server):
                raise ConnectionFault(PROTOCOL_ERROR, "SETTINGS_ENABLE_PUSH has a value that it can't have")
        elif identifier == frames.ENABLE_CONNECT_PROTOCOL:
            if value > 1 or (self.peer_allows_protocol and not value):
                raise ConnectionFault(PROTOCOL_ERROR, "SETTINGS_ENABLE_CONNECT_PROTOCOL has a value that it can't have")
            self.peer_allows_protocol = bool(value)

    def _on_ping(self, flags: int, stream_id: int, payload: bytes, now: float) -> None:
        if stream_id:
            raise ConnectionFault(PROTOCOL_ERROR, "a PING of a stream")
        if len(payload) != 8:
            raise ConnectionFault(FRAME_SIZE_ERROR, "a PING of another size than 8")
        if not flags & ACK:
            self._offence("PING", now)
            self.out.control(frames.ping(payload, is_ack=True))
        elif payload == _GOODBYE and self._is_leaving:
            self.leave_now()

    def _on_goaway(self, stream_id: int, payload: bytes) -> None:
        if stream_id:
            raise ConnectionFault(PROTOCOL_ERROR, "a GOAWAY of a stream")
        if len(payload) < 8:
            raise ConnectionFault(FRAME_SIZE_ERROR, "a GOAWAY that is too short")
        last_id = int.from_bytes(payload[:4], "big") & LAST_STREAM_ID
        self._peer_leaves = True
        self.handler.on_going_away(int.from_bytes(payload[4:8], "big"), ascii(payload[8:136])[2:-1])
        if not self.is_server:
            for stream in [stream for stream in self.streams.values() if stream.id > last_id and not stream.is_reset]:
                stream.is_reset = True
                self.out.drop(stream)
                self.handler.on_unprocessed(stream)

    def _on_priority(self, stream_id: int, payload: bytes, now: float) -> None:
        """What RFC 7540 had, and nobody has to look at any more (RFC 9113 section 5.3.2)."""
        if not stream_id:
            raise ConnectionFault(PROTOCOL_ERROR, "a PRIORITY of no stream")
        if len(payload) != 5:
            raise StreamFault(FRAME_SIZE_ERROR, "a PRIORITY of another size than 5")
        self._offence("PRIORITY", now, 0.1)

    # --- who is wrong ----------------------------------------------------------------------------

    def _judge_idle(self, stream_id: int, what: str) -> None:
        """A frame of a stream that we do not have: it has ended, or was never opened (RFC 9113 section 5.1)."""
        opened = self.last_id if self.is_server else self._next_id - 1
        if not stream_id or not stream_id & 1 or (stream_id > opened and not self._is_goodbye_sent):
            raise ConnectionFault(PROTOCOL_ERROR, f"{what} of a stream that was never opened")

    def _judge_late(self, stream_id: int, now: float, what: str) -> None:
        """The same, of a frame that none may send behind an end. Those that were on their way when we reset are no offence."""
        self._judge_idle(stream_id, what)
        if self._is_goodbye_sent and stream_id > self.last_id:
            return
        at = self._lately.get(stream_id)
        if at is None and stream_id > self._forgotten:
            if stream_id in self.streams:
                raise StreamFault(STREAM_CLOSED, f"{what} behind a reset")
            raise ConnectionFault(STREAM_CLOSED, f"{what} of a stream that has ended")
        if at is None or now - at > OURS_LATELY_S:
            self._offence(f"{what} behind a reset", now)

    def _remember(self, stream_id: int, now: float) -> None:
        if len(self._lately) >= MOST_REMEMBERED:
            oldest = next(iter(self._lately))
            del self._lately[oldest]
            self._forgotten = max(self._forgotten, oldest)
        self._lately[stream_id] = now

    def _offence(self, what: str, now: float, weight: float = 1.0) -> None:
        if self.offences.note(what, now, weight):
            raise ConnectionFault(ENHANCE_YOUR_CALM, f"too many of {what}")
        if not self._warned and self.offences.is_many:
            self._warned = True
            self.handler.on_many_offences(what)

    def _fail_stream(self, stream_id: int, fault: StreamFault, now: float) -> None:
        """Our reset. CVE-2025-8671: it is an offence of the peer, who made us do it."""
        stream = self.streams.get(stream_id)
        self.out.control(frames.rst_stream(stream_id, fault.code))
        self._remember(stream_id, now)
        if stream is not None and not stream.is_reset:
            stream.is_reset = True
            self.out.drop(stream)
            self.handler.on_reset(stream, fault.code, fault.detail, is_ours=True)
        self._offence("malformed messages", now)

    def _fail(self, fault: ConnectionFault) -> None:
        self._is_closed = True
        self._backlog = b""
        self._block = None
        self.out.parts.append(frames.goaway(self.last_id, fault.code, fault.detail.encode("ascii", "replace")))
        for stream in list(self.streams.values()):
            stream.is_reset = True
            self.out.drop(stream)
        self.handler.on_fault(fault.code, fault.detail)

    def _write(self, update: bytes) -> None:
        if update:
            self.out.parts.append(update)


def _unpadded(payload: bytes, least: int) -> bytes:
    """Without the padding and its length, which leaves `least` bytes at least (RFC 9113 section 6.1)."""
    if not payload or payload[0] + 1 + least > len(payload):
        raise ConnectionFault(PROTOCOL_ERROR, "more padding than there is payload")
    return payload[1 : len(payload) - payload[0]]
