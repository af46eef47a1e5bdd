"""One request on a connection of HTTP/2 to a backend: a stream that passes for an upstream of its own.

The exchange gives a request and gets a reply in the form of HTTP/1. Here the request becomes HEADERS and DATA, and what comes
back the text of a reply that the ordinary reader judges, so that there is one reader and one strictness. Content goes on as the
backend's windows allow it, and the backend gets credit for what the client has taken.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Final

from balance.http1.chunked import ChunkedBody
from balance.http2.frames import FRAME_BYTES
from balance.http2.head_encoder import encode_lines, encode_request
from balance.http2.reply_text import LAST_CHUNK, chunk, head_text, last_chunk, needs_chunks
from balance.http2.response_head import ResponseHead
from balance.http2.stream import Stream
from balance.proxy.http.upstream import Upstream
from balance.proxy.listener_settings import ListenerSettings

if TYPE_CHECKING:
    from balance.proxy.http.exchange.exchange import Exchange
    from balance.proxy.http.http2_backends.upstream_connection import UpstreamConnection

HELD_MOST: Final = 65_536  # bytes of a request's body that wait for the backend's windows; with more its client waits
HELD_LEAST: Final = 16_384  # with so many it goes on

_USUAL_HOST: Final = b"\r\nHost: "
_HOST: Final = re.compile(rb"(?i)\r\nhost:[ \t]*([^\r\n]*)")
_USUAL_LENGTH: Final = b"\r\ncontent-length: "
_USUAL_CHUNKS: Final = b"\r\nTransfer-Encoding: chunked\r\n"
_CHUNKS: Final = -1
_FRAMING: Final = re.compile(rb"(?i)\r\n(?:(transfer-encoding):|content-length:[ \t]*([0-9]+))")


class StreamUpstream(Upstream):
    """Made by its connection, for one exchange."""

    __slots__ = ("_body", "_connection", "_has_chunks", "_is_head_request", "_is_over", "_left", "_owed", "_pieces", "_sent_at",
                 "_stream", "_taken_before", "_written", "is_told")  # fmt: skip

    def __init__(self, connection: UpstreamConnection) -> None:
        Upstream.__init__(self, connection.worker, connection.backend)
        self.transport = connection.transport
        self.connect_s = connection.connect_s
        self.is_shared = True
        self.is_told = False  # it waits for the end of a read
        self._connection = connection
        self._stream: Stream | None = None  # from the request to the end
        self._is_over = False
        # The request
        self._body: ChunkedBody | None = None  # where it is chunked
        self._left = 0  # bytes of it to come, with Content-Length
        self._written = 0  # bytes of its content that were given to the session
        self._taken_before = -1  # of them those that had gone out at the last look
        self._sent_at = 0.0
        # The reply
        self._is_head_request = False
        self._has_chunks = False  # its length is not known
        self._pieces: list[bytes] = []  # of it, until the end of a read
        self._owed = 0  # bytes of content for which the backend has got no new credit yet

    # --- the request ---------------------------------------------------------------------------------------

    def send_request(self, exchange: Exchange, head: bytes, body: bytes | memoryview) -> None:
        self.exchange = exchange
        connection = self._connection
        line_end = head.find(b"\r\n")
        method, _, rest = head[:line_end].partition(b" ")
        target_end = rest.rfind(b" ")
        target = rest[:target_end]
        ends = True
        length = 0 if exchange.upload is None else _length(head)
        if length == _CHUNKS:
            self._body = ChunkedBody(decode=True, underscores="pass")
            ends = False
        elif length:
            self._left = length
            ends = False
        block = encode_request(
            method,
            b"http" if self.backend.tls is None else b"https",
            _authority(head),
            target,
            head[line_end + 2 : -2],
            fields=exchange.request.fields,
        )
        self._is_head_request = method == b"HEAD"
        self._sent_at = now = time.monotonic()
        stream = connection.session.open(block, now, ends=ends, is_head_request=self._is_head_request)
        if stream is None:  # it has used up its numbers, or was closed in this turn
            self.worker.loop.call_soon(self._not_opened)
            return
        stream.owner = self
        self._stream = stream
        connection.sent(exchange.settings)
        if not ends:
            self._send(bytes(body), stream)

    def send_body(self, data: bytes) -> bool:
        stream = self._stream
        if stream is None or stream.is_reset or self.transport.is_closing():
            return False
        self._send(data, stream)
        self._connection.schedule()
        return True

    def _send(self, data: bytes, stream: Stream) -> None:
        """More of the body, in its framing of HTTP/1."""
        session = self._connection.session
        body = self._body
        if body is not None:
            data = body.feed(data)
            ends = body.is_done and not body.trailers
        else:
            data = data[: self._left]
            self._left -= len(data)
            ends = not self._left
        size = len(data)
        self._written += size
        if size <= FRAME_BYTES:
            if size or ends:
                session.content(stream, data, ends=ends)
        else:
            for start in range(0, size, FRAME_BYTES):
                session.content(stream, data[start : start + FRAME_BYTES], ends=ends and start + FRAME_BYTES >= size)
        if body is not None and body.is_done and body.trailers:
            session.trailers(stream, encode_lines(body.trailers))
        if stream.held_bytes > HELD_MOST and not self.is_full:
            self.is_full = True
            self._connection.full.append(self)
            if self.exchange is not None:
                self.exchange.pause_upload()

    @property
    def held_bytes(self) -> int:
        """Of the request's body, those that wait for a window."""
        return self._stream.held_bytes if self._stream is not None else 0

    def go_on(self) -> None:
        """What was held has gone out."""
        self.resume_writing()

    def _not_opened(self) -> None:
        if self.exchange is not None:
            self.exchange.upstream_unprocessed()

    # --- the reply -------------------------------------------------------------------------------------------

    def head_came(self, head: ResponseHead, *, ends: bool) -> None:
        """A head, or an interim one."""
        is_head = self._is_head_request
        self._has_chunks = has_chunks = needs_chunks(head, ends=ends, is_head_request=is_head)
        self._pieces.append(head_text(head, ends=ends, is_head_request=is_head, has_chunks=has_chunks))

    def content_came(self, content: bytes, *, ends: bool) -> None:
        """A part of the content; empty only where it ends the reply."""
        size = len(content)
        self._owed += size
        if not self._has_chunks:
            if size:
                self._pieces.append(content)
            return
        if size:
            self._pieces.append(chunk(content))
        if ends:
            self._pieces.append(LAST_CHUNK)

    def trailers_came(self, lines: bytes) -> None:
        """The reply ends with them. They are lost behind a content of known length, where its head has not announced any."""
        if self._has_chunks:
            self._pieces.append(last_chunk(lines))

    def tell(self) -> None:
        """Give the exchange what has come."""
        self.is_told = False
        if self._pieces:
            text = b"".join(self._pieces)
            self._pieces.clear()
            if self.exchange is not None:
                self.exchange.response_received(text)
        if not self.is_paused:
            self._credit()

    def pause(self) -> None:
        """The client can't take more: the backend gets no more credit for this stream."""
        self.is_paused = True

    def resume(self) -> None:
        if self.is_paused:
            self.is_paused = False
            self._credit()

    def _credit(self) -> None:
        if self._owed and self._stream is not None:
            self._connection.session.taken(self._stream, self._owed)
            self._owed = 0
            self._connection.schedule()

    # --- its end -----------------------------------------------------------------------------------------------

    def park(self, now: float, settings: ListenerSettings) -> None:
        """The reply is complete: the connection stays."""
        self._end(now, is_whole=True)

    def discard(self) -> None:
        """Nothing more of it is wanted; the backend is told, and the connection stays."""
        now = time.monotonic()
        if self._stream is not None and not self._stream.has_head and not self._stream.is_reset:
            self._connection.is_unheard(self._sent_at, now)
        self._end(now, is_whole=False)

    def _end(self, now: float, *, is_whole: bool) -> None:
        self.exchange = None
        if self._is_over:
            return
        self._is_over = True
        connection, stream = self._connection, self._stream
        if stream is not None:
            self._credit()
            self._stream = None
            stream.owner = None
            # Many servers send the end of a content of known length in a frame of its own, which may still be on its way.
            if stream.remote_ended or stream.is_reset or not stream.local_ended or not is_whole:
                connection.session.release(stream, now)
        if self.is_full and self in connection.full:
            connection.full.remove(self)
        connection.over(now)

    def has_taken_some(self) -> bool:
        stream = self._stream
        if stream is None:
            return False
        held = stream.held_bytes
        before, self._taken_before = self._taken_before, self._written - held
        has_moved = Upstream.has_taken_some(self)
        if self._connection.used > 1 and (not held or stream.window <= 0):
            has_moved = False  # bytes of others: its own have gone out, or wait for a window of its own
        return has_moved or (held > 0 if before < 0 else self._taken_before > before)

    def is_silent(self) -> bool:
        return True

    def has_read_request(self, exc: Exception | None) -> bool:
        return not self.held_bytes and Upstream.has_read_request(self, exc)


def _length(head: bytes) -> int:
    """The length of a request's body, by its head, which says one thing about it; _CHUNKS, 0 for none."""
    start = head.find(_USUAL_LENGTH)
    if start >= 0:  # as clients of HTTP/2 write it
        start += len(_USUAL_LENGTH)
        digits = head[start : head.find(b"\r", start)]
        if digits.isdigit():
            return int(digits)
    elif head.find(_USUAL_CHUNKS) >= 0:  # as we write it
        return _CHUNKS
    framing = _FRAMING.search(head)
    if framing is None:
        return 0
    return _CHUNKS if framing[1] is not None else int(framing[2])


def _authority(head: bytes) -> bytes:
    """The value of Host, of which a head has one."""
    start = head.find(_USUAL_HOST) + len(_USUAL_HOST)
    if start < len(_USUAL_HOST):
        host = _HOST.search(head)
        return b"" if host is None else host[1]
    return head[start : head.find(b"\r", start)].strip(b" \t")
