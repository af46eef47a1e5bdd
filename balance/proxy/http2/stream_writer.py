"""Writes replies to a client as messages of HTTP/2 (RFC 9113 section 8.1); the exchange decides what is replied.

What is of a connection of HTTP/1 is left out: Connection, Keep-Alive, Transfer-Encoding, Upgrade. The end of the content is the
end of the stream, and goes with its last part.
"""

from __future__ import annotations

import asyncio
from email.utils import formatdate
from typing import TYPE_CHECKING, Final, cast

from balance.config.route_model import Buffering
from balance.http1.body import Body
from balance.http1.fields import field_value, remove_named
from balance.http1.framing import Framing
from balance.http1.head import Response
from balance.http2.frames import FRAME_BYTES
from balance.http2.head_encoder import encode_lines, encode_response
from balance.http2.stream import Stream
from balance.model import Why
from balance.proxy.buffer_budget import BufferBudget
from balance.proxy.buffering.reply_buffer import ReplyBuffer
from balance.proxy.http.ends.message_writer import MessageWriter
from balance.proxy.http.error_replies import error_page
from balance.proxy.http.reply_writer import with_own_lines
from balance.proxy.http.routed.settled_request import routing_of
from balance.stages.stage import Reply

if TYPE_CHECKING:
    from balance.proxy.http.exchange.exchange import Exchange
    from balance.proxy.http2.client_connection import ClientConnection

_LENGTH: Final = frozenset((b"content-length",))
_ACCEPT: Final = b"sec-websocket-accept"
_ACCEPTS: Final = frozenset((_ACCEPT,))


class StreamWriter(MessageWriter):
    """The reply side of one stream."""

    __slots__ = (
        "_connection",
        "_drops_trailers",
        "_ends_after_buffer",
        "_stream",
        "_trailers",
        "accept",
        "has_ended",
        "written",
    )

    def __init__(self, connection: ClientConnection, stream: Stream) -> None:
        MessageWriter.__init__(self)
        self.keeps_alive = True
        self._connection = connection
        self._stream = stream
        self._drops_trailers = False
        self._ends_after_buffer = False
        self._trailers = b""  # that follow what is buffered
        self.accept = b""  # of a WebSocket: what the backend has to answer to our key (RFC 6455 section 1.3)
        self.has_ended = False  # the stream's end is written, or held behind its content
        self.written = 0  # bytes of content

    def interim(self, exchange: Exchange, response: Response) -> None:
        """Write a 1xx."""
        self._head(encode_response(response.status, response.forward), ends=False)

    def go_on(self) -> None:
        """Write a 100 of our own (RFC 9110 section 10.1.1)."""
        self._head(encode_response(100, b""), ends=False)

    def hold(self, buffering: Buffering, budget: BufferBudget) -> ReplyBuffer:
        """From now on hold what follows of the reply, until the client has taken it."""
        if self.buffer is None:
            self.buffer = ReplyBuffer(cast(asyncio.Transport, self), buffering, budget)
        return self.buffer

    def begin(
        self, exchange: Exchange, response: Response, framing: Framing, body: bytes | memoryview, content: Body | None
    ) -> int:
        """Write the head and the available part of the body, with the end of the stream if that is all."""
        if self._stream.is_reset:
            return 0
        head = response.forward
        if exchange.settled is not None:
            head += exchange.reply_lines
        head = with_own_lines(exchange, response, head)
        self._drops_trailers = exchange.is_encoded
        is_last = content is None or content.is_done
        trailers = b"" if content is None or not is_last or self._drops_trailers else content.trailers
        if is_last and not body and not trailers:
            if b"application/grpc" in head:  # a message without any, which a length would make another (trailers-only)
                head = remove_named(head, _LENGTH)
            return self._head(encode_response(response.status, head), ends=True)
        size = self._head(encode_response(response.status, head), ends=False)
        return size + self._content(bytes(body), trailers, ends=is_last)

    def more(self, data: bytes, content: Body) -> int:
        """Write more of the body."""
        if self._stream.is_reset or self.has_ended:
            return 0
        is_last = content.is_done
        if not data and not is_last:
            return 0
        trailers = content.trailers if is_last and not self._drops_trailers else b""
        if self.buffer is None:
            return self._content(data, trailers, ends=is_last)
        self.buffer.add(data)
        if is_last:
            self._ends_after_buffer = True
            self._trailers = trailers
        return len(data)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """What was held back in the buffer goes on. Called by that, for which this is a transport."""
        self._content(bytes(data), b"", ends=False)

    def unbuffered(self) -> None:
        """The buffer is empty: nothing is held back any more."""
        if self.buffer is not None:
            self.buffer.release()
            self.buffer = None
        if self._ends_after_buffer:
            self._content(b"", self._trailers, ends=True)

    def end(self) -> None:
        """The reply is complete."""
        if self.buffer is not None:
            self._ends_after_buffer = True
        elif not self.has_ended and not self._stream.is_reset:
            self._content(b"", b"", ends=True)

    def drop(self) -> None:
        """What is held back is for nobody any more."""
        if self.buffer is not None:
            self.buffer.release()
            self.buffer = None

    def switching(self, exchange: Exchange, response: Response) -> int:
        """Write that the backend has switched to WebSocket: for HTTP/2 that is a 200 (RFC 8441 section 5)."""
        if field_value(response.forward, _ACCEPT) != self.accept.decode():
            return self.error(exchange, 502, Why.BAD_RESPONSE, "the backend's Sec-WebSocket-Accept is not that of our key")
        head = response.forward if exchange.settled is None else response.forward + exchange.reply_lines
        head = remove_named(with_own_lines(exchange, response, head), _ACCEPTS)
        return self._head(encode_response(200, head), ends=False)

    def error(self, exchange: Exchange, status: int, why: Why, detail: str, lines: bytes = b"") -> int:
        """Write an error reply of our own, in place of the backend's reply; `lines` are more of its fields."""
        if self._stream.is_reset:
            return 0
        request = exchange.request
        head = request.line + request.fields.forward
        page = error_page(
            exchange.settings, status, why, detail, exchange.request_id, head, exchange.backend, keep_alive=True, lines=lines
        )
        routing = routing_of(exchange)
        if routing is not None:
            head_end = page.index(b"\r\n\r\n") + 2
            page = routing.own_reply(status, page[:head_end]) + page[head_end:]
        return self.page(status, page)

    def own(self, exchange: Exchange, reply: Reply) -> int:
        """Write a reply that a stage has made."""
        status, body = reply.status, reply.body or b""
        lines = b"HTTP/1.1 %d\r\nDate: %b\r\n" % (status, formatdate(usegmt=True).encode()) + reply.lines
        if status == 204 or status == 304:
            body = b""
        elif exchange.grpc is None:  # the status of a call is a head without any content: trailers only
            lines += b"Content-Length: %d\r\n" % len(body)
        routing = routing_of(exchange)
        if routing is not None:
            lines = routing.own_reply(status, lines)
        lines += exchange.settings.own_lines(exchange.request_id, None)
        return self.page(status, lines + b"\r\n" + (b"" if exchange.request.method == b"HEAD" else body))

    def page(self, status: int, page: bytes) -> int:
        """Write a whole reply that was made as HTTP/1."""
        if self._stream.is_reset:
            return 0
        head_end = page.index(b"\r\n\r\n") + 2  # the last field keeps its CRLF, as every other
        head, body = page[:head_end], page[head_end + 2 :]
        size = self._head(encode_response(status, head), ends=not body)
        return size + self._content(body, b"", ends=True) if body else size

    def _head(self, block: bytes, *, ends: bool) -> int:
        if self._stream.is_reset:
            return 0
        self._connection.session.head(self._stream, block, ends=ends)
        self.has_ended = self.has_ended or ends
        self._connection.wake()
        return len(block)

    def _content(self, data: bytes, trailers: bytes, *, ends: bool) -> int:
        stream, session = self._stream, self._connection.session
        if stream.is_reset:
            return 0
        size = len(data)
        self.written += size
        if size > FRAME_BYTES:  # in parts of a frame: of one that is held, what is left would be copied for each frame
            last = (size - 1) // FRAME_BYTES * FRAME_BYTES
            for at in range(0, last, FRAME_BYTES):
                session.content(stream, data[at : at + FRAME_BYTES], ends=False)
            data = data[last:]
        if trailers:
            if data:
                session.content(stream, data, ends=False)
            session.trailers(stream, encode_lines(trailers))
        else:
            session.content(stream, data, ends=ends)
        self.has_ended = self.has_ended or ends
        self._connection.wrote(stream)
        return size
