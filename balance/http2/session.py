"""One connection of HTTP/2, as a server or as a client: frames in, calls and frames out (RFC 9113).

No sockets and no clock: `feed` takes what was read and the time, the handler is called, and what is to be written is in `out`.
Everything that a peer can make us keep has a bound: one frame of 16 KB, a block of fields of 64 KB in 9 frames, streams by
their number, content by windows, answers by the control bytes that wait, and work without use by a bucket.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from balance.http2 import frames
from balance.http2.errors import (
    CANCEL,
    ENHANCE_YOUR_CALM,
    FRAME_SIZE_ERROR,
    NO_ERROR,
    PROTOCOL_ERROR,
    REFUSED_STREAM,
    STREAM_CLOSED,
    ConnectionFault,
    StreamFault,
)
from balance.http2.flow.credit import CONNECTION_BYTES, MOST_HELD, STREAM_BYTES, Credit
from balance.http2.flow.outflow import MOST_WAITING, Outflow
from balance.http2.frame_reader import FrameReader, unpadded
from balance.http2.frames import (
    ACK,
    DATA,
    END_STREAM,
    GOAWAY,
    HEADERS,
    LAST_STREAM_ID,
    PADDED,
    PING,
    PRIORITY,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
)
from balance.http2.handler import SessionHandler
from balance.http2.hpack.field import Field
from balance.http2.hpack.field_decoder import FieldDecoder
from balance.http2.message_fields import NO_LENGTH, malformed, trailer_lines
from balance.http2.offences import BACKEND_PER_SECOND, BACKEND_TOKENS, Offences
from balance.http2.request_head import read_request
from balance.http2.response_head import read_response
from balance.http2.settings import PeerSettings, opening
from balance.http2.stream import Stream
from balance.http2.stream_ids import StreamIds

FREE_CANCEL_S: Final = 1.0  # a reset of a stream that has lived longer is no offence
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
        "_decoder",
        "_ids",
        "_is_closed",
        "_is_leaving",
        "_peer_leaves",
        "_peer_settings",
        "_reader",
        "_warned",
        "credit",
        "handler",
        "is_server",
        "limits",
        "offences",
        "out",
        "streams",
    )  # fmt: skip

    def __init__(self, handler: SessionHandler, limits: SessionLimits, now: float, *, is_server: bool) -> None:
        self.handler = handler
        self.limits = limits
        self.is_server = is_server
        self.out = Outflow()
        self.credit = Credit(MOST_HELD if is_server else limits.streams * STREAM_BYTES + CONNECTION_BYTES)
        self.offences = Offences(now) if is_server else Offences(now, BACKEND_TOKENS, BACKEND_PER_SECOND)
        self.streams: dict[int, Stream] = {}
        self._decoder = FieldDecoder(limits.fields, limits.head_bytes)
        self._reader = FrameReader(is_server=is_server)
        self._peer_settings = PeerSettings(is_server=is_server)
        self._ids = StreamIds(is_server=is_server)
        self._peer_leaves = False
        self._is_leaving = False
        self._is_closed = False
        self._warned = False
        self.out.parts.append(opening(limits.streams, limits.head_bytes, limits.allows_protocol, is_server=is_server))

    @property
    def is_closed(self) -> bool:
        """Whether nothing is read any more, because of a fault."""
        return self._is_closed

    @property
    def is_leaving(self) -> bool:
        """Whether no new streams are taken, or can be opened: as a client none once their numbers are used up."""
        return self._is_leaving or self._peer_leaves or self._ids.next > LAST_STREAM_ID

    @property
    def has_backlog(self) -> bool:
        """Whether something whole may wait for the next turn: nothing more should be read meanwhile."""
        return self._reader.has_backlog

    @property
    def has_input(self) -> bool:
        """Whether whole frames wait for the next turn: feed(b"")."""
        return self._reader.has_more

    @property
    def has_rest(self) -> bool:
        """Whether more has come behind the frame that the handler is told of."""
        return self._reader.has_rest

    @property
    def has_settings(self) -> bool:
        """Whether the peer's preface is whole, with its settings."""
        return self._peer_settings.have_come

    @property
    def is_final(self) -> bool:
        """Whether the peer was told the last stream that is served: the connection ends with those that it has."""
        return self._ids.is_final

    @property
    def last_id(self) -> int:
        """The highest stream that the peer has opened."""
        return self._ids.last

    @property
    def peer_streams(self) -> int:
        """Streams that the peer allows us at once; 100 before its settings have come."""
        return self._peer_settings.streams

    @property
    def peer_allows_protocol(self) -> bool:
        """Whether the peer takes extended CONNECT (RFC 8441)."""
        return self._peer_settings.allows_protocol

    def keep(self, data: bytes) -> None:
        """What was read and is to be looked at later, by feed(b"")."""
        if not self._is_closed:
            self._reader.keep(data)

    def feed(self, data: bytes, now: float) -> bool:
        """What was read. True: there is more work in what has come; feed(b"") in the next turn."""
        if self._is_closed:
            return False
        reader = self._reader
        reader.add(data)
        try:
            while reader.next():
                self._frame(reader.kind, reader.flags, reader.stream_id, reader.payload, now)
        except ConnectionFault as fault:
            self._fail(fault)
            return False
        return self.out.flush() or reader.has_more

    def flush(self) -> bool:
        """Send what waits, in the next turn or when the transport has room; whether there is still more."""
        return not self._is_closed and self.out.flush()

    # --- what the shell says ---------------------------------------------------------------------

    def open(self, block: bytes, now: float, *, ends: bool, is_head_request: bool = False) -> Stream | None:
        """Send a request, as a client. None when the peer takes no more now."""
        if self.is_leaving or self._is_closed or len(self.streams) >= self.peer_streams:
            return None
        stream = Stream(self._ids.next, self.out.first_window, STREAM_BYTES, now)
        if is_head_request:
            stream.length = 0
            stream.has_fixed_length = True
        self._ids.next += 2
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
            self._ids.remember(stream.id, now)
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
        if not self._ids.is_final and not self._is_closed:
            self._ids.is_final = True
            self.out.parts.append(frames.goaway(self._ids.last, NO_ERROR))

    def refuse(self, code: int, detail: str) -> None:
        """End the connection, for a reason that is not in its frames."""
        if not self._is_closed:
            self._fail(ConnectionFault(code, detail))

    # --- what the peer says ----------------------------------------------------------------------

    def _frame(self, kind: int, flags: int, stream_id: int, payload: bytes, now: float) -> None:
        try:
            if kind == DATA:
                self._on_data(flags, stream_id, payload, now)
            elif kind == HEADERS:
                self._on_block(stream_id, payload, bool(flags & END_STREAM), now)
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
            content = unpadded(payload, 0)
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

    def _on_block(self, stream_id: int, block: bytes, ends: bool, now: float) -> None:
        """A whole block of fields. It is always decoded: the table is shared with those that follow."""
        stream = self.streams.get(stream_id)
        if stream is None and self.is_server and stream_id > self._ids.last:
            if not stream_id & 1:
                raise ConnectionFault(PROTOCOL_ERROR, "a client opens a stream of an even number")
            fields = self._decoder.decode_head(block)
            if not self._ids.is_final:  # else it is above the number that our last GOAWAY has named
                self._ids.last = stream_id
                self._on_new(stream_id, fields, ends, now)
            return
        is_head = stream is not None and not stream.has_head and not self.is_server
        fields = self._decoder.decode_head(block) if is_head else self._decoder.decode(block)
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
            self._ids.remember(stream_id, now)
            self._write(frames.rst_stream(stream_id, REFUSED_STREAM))
            self._offence("streams above the limit", now)
            return
        if self.out.held_bytes > MOST_WAITING:  # nothing of it was looked at: clients try it again (RFC 9113 section 8.7)
            self._ids.remember(stream_id, now)
            self._write(frames.rst_stream(stream_id, REFUSED_STREAM))
            self._offence("streams while no replies are taken", now, 0.1)
            return
        stream = Stream(stream_id, self.out.first_window, STREAM_BYTES, now)
        stream.has_head = True
        stream.remote_ended = ends
        if self._decoder.is_too_large:
            self.streams[stream_id] = stream
            self._offence("heads that are too large", now)
            self.handler.on_too_large(stream, ends=ends)
            return
        head = read_request(fields, self._decoder, ends=ends, allows_protocol=self.limits.allows_protocol)
        stream.length = head.length
        self.streams[stream_id] = stream
        self.handler.on_request(stream, head, ends=ends)

    def _on_response(self, stream: Stream, fields: list[Field], ends: bool) -> None:
        head = read_response(fields, self._decoder, ends=ends)
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
                self._ids.judge_idle(stream_id, "WINDOW_UPDATE")
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
            self._ids.judge_idle(stream_id, "RST_STREAM")
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
        are_more = self._peer_settings.have_come
        self._peer_settings.read(payload, self.out, self.streams)
        if are_more:
            self._offence("SETTINGS", now, 1.0 + len(payload) / 192)
        self.out.control(frames.SETTINGS_ACK)
        self.handler.on_settings()

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

    def _judge_late(self, stream_id: int, now: float, what: str) -> None:
        """A frame that none may send behind an end. Those that were on their way when we reset are no offence."""
        if self._ids.judge_late(stream_id, now, what, is_held=stream_id in self.streams):
            self._offence(f"{what} behind a reset", now)

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
        self._ids.remember(stream_id, now)
        if stream is not None and not stream.is_reset:
            stream.is_reset = True
            self.out.drop(stream)
            self.handler.on_reset(stream, fault.code, fault.detail, is_ours=True)
        elif stream is None and self.is_server:
            self.handler.on_malformed(fault.detail)
        self._offence("malformed messages", now)

    def _fail(self, fault: ConnectionFault) -> None:
        self._is_closed = True
        self._reader.drop()
        self.out.parts.append(frames.goaway(self._ids.last, fault.code, fault.detail.encode("ascii", "replace")))
        for stream in list(self.streams.values()):
            stream.is_reset = True
            self.out.drop(stream)
        self.handler.on_fault(fault.code, fault.detail)

    def _write(self, update: bytes) -> None:
        if update:
            self.out.parts.append(update)
