"""A stream as a transport: what a tunnel reads from and writes into after a WebSocket was agreed upon (RFC 8441 section 5).

END_STREAM is the half-close, RST_STREAM(CANCEL) the reset. connection_lost() is never called from within one of the tunnel's
calls.
"""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING, Any, cast

from balance.http2.errors import CANCEL
from balance.http2.stream import Stream
from balance.proxy.net.polled_transport import Receiver

if TYPE_CHECKING:
    from balance.proxy.http2.client_connection import ClientConnection
    from balance.proxy.http2.client_stream import ClientStream


class StreamTransport:
    """Of one stream, for asyncio.Transport's users."""

    __slots__ = ("_connection", "_ends", "_has_ended", "_is_closing", "_is_lost", "_is_paused", "_owner", "_protocol",
                 "_stream", "_unread")  # fmt: skip

    def __init__(self, connection: ClientConnection, stream: Stream, owner: ClientStream) -> None:
        self._connection = connection
        self._stream = stream
        self._owner: ClientStream | None = owner
        self._protocol: Receiver | None = None
        self._unread: list[bytes] = []
        self._ends = False  # the client's direction has ended, behind what is unread
        self._has_ended = False  # the protocol knows
        self._is_paused = False
        self._is_closing = False
        self._is_lost = False

    def as_transport(self) -> asyncio.Transport:
        return cast(asyncio.Transport, self)

    # --- asyncio.Transport ------------------------------------------------------------------------------

    def set_protocol(self, protocol: Receiver) -> None:
        self._protocol = protocol

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def is_closing(self) -> bool:
        return self._is_closing

    def get_write_buffer_size(self) -> int:
        return self._stream.held_bytes

    def can_write_eof(self) -> bool:
        return True

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if data and not self._is_closing and not self._stream.is_reset:
            self._connection.session.content(self._stream, bytes(data), ends=False)
            self._connection.wrote(self._stream)

    def writelines(self, parts: Any) -> None:
        self.write(b"".join(parts))

    def write_eof(self) -> None:
        stream = self._stream
        if not stream.local_ended and not stream.ends_after_held and not stream.is_reset:
            self._connection.session.content(stream, b"", ends=True)
            self._connection.wrote(stream)

    def pause_reading(self) -> None:
        self._is_paused = True

    def resume_reading(self) -> None:
        self._is_paused = False
        if self._unread or (self._ends and not self._has_ended):
            self._connection.settings.worker.loop.call_soon(self._read_on)

    def close(self) -> None:
        """Close when all is sent. No more is read."""
        if not self._is_closing:
            self.write_eof()
            self._is_closing = True
            if self._owner is not None:
                self._connection.blocked.add(self._owner)
            self._connection.settings.worker.loop.call_soon(self._look)

    def abort(self) -> None:
        """Close now."""
        self._is_closing = True
        if self._owner is not None:
            now = monotonic()
            self._connection.session.reset(self._stream, CANCEL, now)
            self._owner.tunnel_ended(now)

    # --- calls from the stream --------------------------------------------------------------------------

    def received(self, data: bytes, *, ends: bool) -> None:
        """What the client says."""
        if ends:
            self._ends = True
        if self._is_paused or self._unread:
            if data:
                self._unread.append(data)
            return
        self._pass_on(data)

    def _read_on(self) -> None:
        if not self._is_paused and not self._is_lost:
            unread, self._unread = b"".join(self._unread), []
            self._pass_on(unread)

    def _pass_on(self, data: bytes) -> None:
        protocol = self._protocol
        if data:
            if protocol is not None and not self._is_closing:
                protocol.data_received(data)
            self._connection.session.taken(self._stream, len(data))
            self._connection.wake()
        if self._ends and not self._has_ended and not self._is_closing and not self._is_paused:
            self._has_ended = True
            if protocol is not None and not protocol.eof_received():
                self.close()

    def pause_writing(self) -> None:
        if self._protocol is not None:
            self._protocol.pause_writing()

    def resume_writing(self) -> None:
        if self._protocol is not None and not self._is_closing:
            self._protocol.resume_writing()

    def _look(self) -> None:
        self.look(monotonic())

    def look(self, now: float) -> None:
        """All may be sent."""
        if self._is_closing and self._owner is not None and (self._stream.local_ended or self._stream.is_reset):
            self._owner.tunnel_ended(now)

    def lost(self, now: float) -> None:
        """The stream is over."""
        self._is_closing = True
        self._owner = None
        left = sum(map(len, self._unread))
        self._unread = []
        if left:
            self._connection.session.taken(self._stream, left)
        if not self._is_lost:
            self._is_lost = True
            self._connection.settings.worker.loop.call_soon(self._tell)

    def _tell(self) -> None:
        protocol, self._protocol = self._protocol, None
        if protocol is not None:
            protocol.connection_lost(None)
