"""Writes replies to a client as HTTP/1 (RFC 9112); the exchange decides what is replied.

Decides on the Connection field and on the framing of the body. The methods that write a reply return the number of bytes
written, 0 when the connection is closing.
"""

from __future__ import annotations

from email.utils import formatdate
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from balance.config.route_model import Buffering
from balance.http1.body import Body
from balance.http1.fields import remove_named
from balance.http1.framing import BY_CHUNKS, BY_LENGTH, NO_BODY, Framing
from balance.http1.head import Response
from balance.model import Why
from balance.proxy.buffer_budget import BufferBudget
from balance.proxy.buffering.reply_buffer import ReplyBuffer
from balance.proxy.http.ends.message_writer import JOIN_LIMIT, MessageWriter
from balance.proxy.http.error_replies import error_page
from balance.proxy.http.routed.settled_request import routing_of
from balance.proxy.net import system_calls
from balance.proxy.net.polled_transport import AnyTransport, PolledTransport
from balance.stages.stage import Reply

if TYPE_CHECKING:
    from balance.proxy.http.exchange.exchange import Exchange

# Whether head and body are joined where they are sent from. In Python that would be a call more, and the same joins.
_JOINS_LATE: Final[bool] = system_calls.IS_NATIVE

_REQUEST_ID: Final = b"X-Request-Id: "
# The end of a head. The first CRLF is that of its last line.
_PLAIN: Final = b"\r\n\r\n"
_CLOSE: Final = b"\r\nConnection: close\r\n\r\n"
_KEEP_ALIVE: Final = b"\r\nConnection: keep-alive\r\n\r\n"  # HTTP/1.0 closes without it

_CHUNKED: Final = b"Transfer-Encoding: chunked\r\n"
_OURS_TO_SAY: Final = frozenset((b"x-backend",))


class ReplyWriter(MessageWriter):
    """The reply side of one client connection."""

    __slots__ = ("_transport",)

    def __init__(self, transport: AnyTransport) -> None:
        MessageWriter.__init__(self)
        self._transport: AnyTransport = transport

    def interim(self, exchange: Exchange, response: Response) -> None:
        """Write a 1xx; not to an HTTP/1.0 client (RFC 9110 section 15.2)."""
        if exchange.request.minor and not self._transport.is_closing():
            self._transport.write(response.forward + b"\r\n")

    def go_on(self) -> None:
        """Write a 100 of our own (RFC 9110 section 10.1.1)."""
        if not self._transport.is_closing():
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def hold(self, buffering: Buffering, budget: BufferBudget) -> ReplyBuffer:
        """From now on hold what follows of the reply, until the client has taken it."""
        if self.buffer is None:
            self.buffer = ReplyBuffer(self._transport, buffering, budget)
        return self.buffer

    def begin(
        self, exchange: Exchange, response: Response, framing: Framing, body: bytes | memoryview, content: Body | None
    ) -> int:
        """Write the head and the available part of the body (all of it, if complete) in one system call."""
        settings, upload, minor = exchange.settings, exchange.upload, exchange.request.minor
        head, end = response.forward, _PLAIN
        if exchange.settled is not None:
            head += exchange.reply_lines
        if framing is not BY_LENGTH and framing is not NO_BODY:
            if framing is BY_CHUNKS and minor:
                head += _CHUNKED
            else:
                self.ends_at_close = True
                self.keeps_alive = False
        if not self.keeps_alive or exchange.client.settings.is_closing or (upload is not None and not upload.is_done):
            self.keeps_alive = False
            end = _CLOSE
        elif not minor:
            end = _KEEP_ALIVE
        transport = self._transport
        if transport.is_closing():
            return 0
        request_id = exchange.request_id
        if settings.sends_only_id and request_id and not response.has_request_id:  # the common case, in one join
            if len(body) <= JOIN_LIMIT:
                out = b"".join((head, _REQUEST_ID, request_id, end, body))
                transport.write(out)
                return len(out)
            head = b"".join((head, _REQUEST_ID, request_id, end))
        else:
            head = with_own_lines(exchange, response, head) + end[2:]
        if len(body) <= JOIN_LIMIT:
            transport.write(head + body)
        else:
            transport.writelines((head, body))
        return len(head) + len(body)

    def whole(self, exchange: Exchange, response: Response, data: bytes, start: int) -> int:
        """See MessageWriter. Compiled, most replies go out of the bytes that came in, without an object of any."""
        settings, upload, request_id = exchange.settings, exchange.upload, exchange.request_id
        size = len(data) - start
        if (
            size > JOIN_LIMIT
            or not (settings.sends_only_id and request_id)
            or response.has_request_id
            or exchange.settled is not None
        ):
            return MessageWriter.whole(self, exchange, response, data, start)
        end = _PLAIN
        if not self.keeps_alive or exchange.client.settings.is_closing or (upload is not None and not upload.is_done):
            self.keeps_alive = False
            end = _CLOSE
        elif not exchange.request.minor:
            end = _KEEP_ALIVE
        transport = self._transport
        if transport.is_closing():
            return 0
        head = response.forward
        if _JOINS_LATE and isinstance(transport, PolledTransport):
            transport.write_joined((head, _REQUEST_ID, request_id, end), data, start)
            return len(head) + len(_REQUEST_ID) + len(request_id) + len(end) + size
        out = b"".join((head, _REQUEST_ID, request_id, end, data[start:]))
        transport.write(out)
        return len(out)

    def more(self, data: bytes, content: Body) -> int:
        """Write more of the body."""
        if not data or self._transport.is_closing():
            return 0
        if self.buffer is None:
            self._transport.write(data)
        else:
            self.buffer.add(data)
        return len(data)

    def switching(self, exchange: Exchange, response: Response) -> int:
        """Write a 101 (RFC 9110 section 7.8)."""
        if self._transport.is_closing():
            return 0
        head = response.forward if exchange.settled is None else response.forward + exchange.reply_lines
        head = with_own_lines(exchange, response, head)
        head += b"Connection: Upgrade\r\nUpgrade: " + response.upgrade + b"\r\n\r\n"
        self._transport.write(head)
        return len(head)

    def error(self, exchange: Exchange, status: int, why: Why, detail: str, lines: bytes = b"") -> int:
        """Write an error reply of our own, in place of the backend's reply; `lines` are more of its fields."""
        request, settings, upload = exchange.request, exchange.settings, exchange.upload
        self.keeps_alive = (
            self.keeps_alive
            and request.minor == 1
            and (upload is None or upload.is_done)
            and not exchange.client.settings.is_closing
        )  # fmt: skip
        if self._transport.is_closing():
            return 0
        head = request.line + request.fields.forward
        page = error_page(
            settings, status, why, detail, exchange.request_id, head, exchange.backend, keep_alive=self.keeps_alive, lines=lines
        )
        routing = routing_of(exchange)
        if routing is not None:
            head_end = page.index(b"\r\n\r\n") + 2
            page = routing.own_reply(status, page[:head_end]) + page[head_end:]
        self._transport.write(page)
        return len(page)

    def own(self, exchange: Exchange, reply: Reply) -> int:
        """Write a reply that a stage has made."""
        request, upload = exchange.request, exchange.upload
        self.keeps_alive = (
            self.keeps_alive and (upload is None or upload.is_done) and not exchange.client.settings.is_closing
        )  # fmt: skip
        if self._transport.is_closing():
            return 0
        status, body = reply.status, reply.body or b""
        lines = f"HTTP/1.1 {status} {phrase(status)}\r\nDate: {formatdate(usegmt=True)}\r\n".encode() + reply.lines
        if status != 204 and status != 304:
            lines += b"Content-Length: %d\r\n" % len(body)
        else:
            body = b""
        routing = routing_of(exchange)
        if routing is not None:
            lines = routing.own_reply(status, lines)
        lines += exchange.settings.own_lines(exchange.request_id, None)
        if not self.keeps_alive:
            lines += b"Connection: close\r\n"
        elif not request.minor:
            lines += b"Connection: keep-alive\r\n"
        out = lines + b"\r\n" + (b"" if request.method == b"HEAD" else body)
        self._transport.write(out)
        return len(out)


def phrase(status: int) -> str:
    """The reason phrase of a status; empty for one that is not registered."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


def with_own_lines(exchange: Exchange, response: Response, head: bytes) -> bytes:
    """`head` with the lines that we add: X-Request-Id unless the reply has one, and X-Backend in place of the backend's own."""
    settings = exchange.settings
    if settings.sends_backend:
        head = remove_named(head, _OURS_TO_SAY)
    return head + settings.own_lines(b"" if response.has_request_id else exchange.request_id, exchange.backend)
