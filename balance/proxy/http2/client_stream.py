"""One stream of a client: the client of an exchange (RFC 9113 section 5).

Its request becomes the text of an HTTP/1.1 head, which the listener's reader reads as any other: one reader, one strictness. A
body without a length goes on in chunks. The stream has its place among those that its client may have until the exchange has
ended, not until it was reset: so resets buy no concurrency (CVE-2023-44487).
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Final

from balance.errors import ProtocolError
from balance.grpc.content_type import NOT_GRPC, kind_of
from balance.grpc.own_reply import error_lines
from balance.http2.errors import CANCEL, HTTP_1_1_REQUIRED, INTERNAL_ERROR
from balance.http2.flow.outflow import MOST_WAITING
from balance.http2.message_fields import NO_LENGTH
from balance.http2.request_head import RequestHead
from balance.http2.stream import Stream
from balance.log_lines.access_record import AccessValues
from balance.model import Why
from balance.proxy.http.ends.connected_client import ConnectedClient
from balance.proxy.http.ends.exchange_client import ExchangeClient
from balance.proxy.http.error_replies import options_reply, refusal
from balance.proxy.http.exchange.exchange import Exchange
from balance.proxy.http.grpc.field_lookup import CONTENT_TYPE, value_of
from balance.proxy.http.upgrade import open_tunnel
from balance.proxy.http.upstream import Upstream
from balance.proxy.http2.request_text import accept_of, handshake_key, handshake_text, request_text, urgency
from balance.proxy.http2.stream_transport import StreamTransport
from balance.proxy.http2.stream_writer import StreamWriter
from balance.proxy.net.sockets import has_left, local_host
from balance.proxy.net.timer_wheel import NEVER
from balance.runtime.lease import Lease

if TYPE_CHECKING:
    from balance.proxy.http2.client_connection import ClientConnection

# Bytes of a stream that wait for its client, above which its backend is not read on, and up to which it is again.
HIGH: Final = 64 * 1024
LOW: Final = 16 * 1024
# The same of a whole connection, for those that hold something. One that holds nothing goes on, as its client may wait for it
# alone: to MOST_WAITING, and one whose client takes what comes of it to twice that.
MOST_HELD: Final = 1024 * 1024
LEAST_PROGRESS: Final = 1024  # bytes; see client_connection
WRITE_S: Final = 5.0  # for what is left of a reply, where there is no `write` timeout
# For a client that sends on though it was answered, until its stream is reset (RFC 9113 section 8.1). Reset with the answer's
# end, curl to 7.88 at least would not show the answer.
LINGER_S: Final = 0.5

_POST: Final = b"POST"


class ClientStream(ExchangeClient):
    """The client's end of one exchange."""

    __slots__ = ("_ends", "_exchange", "_is_chunked", "_is_due", "_is_lingering", "_is_paused", "_is_sending",
                 "_is_websocket", "_own_progress", "_progress", "_stream", "_total_at", "_trailers", "_tunnel", "_unread",
                 "_untaken", "_waits_for_own", "connection", "stream_writer")  # fmt: skip

    def __init__(self, connection: ClientConnection, stream: Stream) -> None:
        ConnectedClient.__init__(self)
        self.settings = connection.settings
        self.is_write_paused = False
        self.connection = connection
        self.be_as(connection.client)
        self.writer = self.stream_writer = StreamWriter(connection, stream)
        self._stream = stream
        self._exchange: Exchange | None = None
        self._tunnel: StreamTransport | None = None
        self._total_at = NEVER
        self._is_chunked = False  # the request's body goes on in chunks
        self._is_websocket = False
        self._is_paused = False  # the exchange takes no more of the body now
        self._is_due = False  # what was held back is read in a turn
        self._is_lingering = False  # the client has all of its reply, and may send on
        self._is_sending = False  # the exchange has ended, and the client has not taken all of its reply
        self._unread: list[bytes] = []  # content that came while it was paused; the stream's window bounds it
        self._untaken = 0  # bytes of content for which the client has no credit yet
        self._ends = False  # the message has ended, behind what is unread
        self._trailers = b""
        self._progress = 0  # bytes of content that the client had taken of all streams when it was looked at last
        self._own_progress = 0  # of this one
        self._waits_for_own = False  # it waited for its own window then

    # --- the request ------------------------------------------------------------------------------------

    def start(self, head: RequestHead, *, ends: bool) -> None:
        """The request's head has come."""
        self._stream.urgency = urgency(head.priority)
        if head.protocol:
            if head.protocol.lower() != b"websocket":
                self._refuse(ProtocolError(501, Why.NOT_IMPLEMENTED, "only websocket is served by extended CONNECT"), b"")
                return
            key = handshake_key()
            self.stream_writer.accept = accept_of(key)
            self._is_websocket = True
            self._ends = ends
            text = handshake_text(head, key)
        else:
            self._is_chunked = not ends and head.length == NO_LENGTH
            text = request_text(head, ends=ends)
        settings = self.settings
        if head.method == _POST:
            self.is_judged = True  # it may be a call of gRPC
        try:
            request = settings.reader.read(text)
            request.minor = 2
            if request.ends_here:
                page = options_reply(settings, request, text, self.peer, is_trusted=self.is_trusted)
                self.stream_writer.page(204, page)
                self._end(monotonic())
                return
        except ProtocolError as error:
            self._refuse(error, text)
            return
        if request.fields.has_connection_auth:
            # NTLM and Negotiate authenticate a connection of HTTP/1.1, which HTTP/2 has none of. Clients ask again over that.
            unfit = ProtocolError(421, Why.MISDIRECTED, "this kind of authentication needs HTTP/1.1")
            refusal(settings, unfit, text, self.peer, 0.0)
            self._break_off(HTTP_1_1_REQUIRED)
            return
        exchange = self._exchange = Exchange(self, settings, request, len(text))
        self._total_at = exchange.started + settings.request_s
        try:
            exchange.start(text, len(text))
        except ProtocolError as error:
            exchange.refuse(error)

    def refuse_head(self) -> None:
        """The request's head passes the bounds."""
        limits = self.settings.listener.http.limits
        detail = f"a head of more than {limits.fields} fields or {limits.head_bytes} bytes"
        self._refuse(ProtocolError(431, Why.HEADER_TOO_LARGE, detail), b"")

    def _refuse(self, error: ProtocolError, text: bytes) -> None:
        """Reply with an error to what is no request that can be served. `text` is its head, for the log."""
        text = text.replace(b" HTTP/1.1\r\n", b" HTTP/2.0\r\n", 1)
        page = refusal(self.settings, error, text, self.peer, 0.0)
        kind = kind_of(value_of(text, CONTENT_TYPE)) if text.startswith(_POST) else NOT_GRPC
        if kind == NOT_GRPC:
            self.stream_writer.page(error.status, page)
        else:
            self.stream_writer.page(200, b"HTTP/1.1 200\r\n%b\r\n" % error_lines(kind, error.status, error.why, error.detail))
        self._end(monotonic())

    def received(self, content: bytes, trailers: bytes, *, ends: bool) -> None:
        """More of the request's body, or its end."""
        if self._tunnel is not None:
            self._tunnel.received(content, ends=ends)
            return
        size = len(content)
        if self._exchange is None:  # it was answered early: there is no room for more than it had
            self._untaken += size
            if ends and self._is_lingering:
                self._done(monotonic())
            return
        self._untaken += size
        if self._is_paused or self._is_due or self._is_websocket:
            if content:
                self._unread.append(content)
            self._ends, self._trailers = ends, trailers
            return
        self._feed(content, trailers, ends=ends)

    def gather(self, content: bytes) -> bool:
        """A little of the request's body, with more of the connection behind it. True: read_on() is to be called then."""
        if self._tunnel is not None or self._exchange is None or self._is_paused or self._is_due or self._is_websocket:
            self.received(content, b"", ends=False)
            return False
        self._untaken += len(content)
        self._unread.append(content)
        self._is_due = True
        return True

    def _feed(self, content: bytes, trailers: bytes, *, ends: bool) -> None:
        """Give the exchange more of the body."""
        exchange = self._exchange
        if exchange is not None and exchange.upload is not None and not exchange.upload.is_done:
            data = content
            if self._is_chunked:
                data = b"%x\r\n%b\r\n" % (len(content), content) if content else b""
                if ends:
                    data += b"0\r\n%b\r\n" % trailers
            try:
                while data and self._exchange is exchange and not exchange.upload.is_done:
                    data = exchange.body_received(data)  # the rest of many trailers
            except ProtocolError as error:
                exchange.refuse(error)
        if not self._is_paused:
            self._take()

    def _take(self) -> None:
        """What came of the body has gone on: the client may send as much again."""
        size, self._untaken = self._untaken, 0
        if size:
            self.connection.session.taken(self._stream, size)
            self.connection.wake()

    def pause_reading(self) -> None:
        if self.settings.body_rate and self._exchange is not None:
            self._exchange.pause_body_rate(monotonic())
        self._is_paused = True

    def resume_reading(self) -> None:
        if self._is_paused:
            self._is_paused = False
            if not self._is_due and self._tunnel is None:
                self._is_due = True
                self.settings.worker.loop.call_soon(self.read_on)

    def read_on(self) -> None:
        """Give the exchange what came while it could not take it, or was gathered."""
        self._is_due = False
        if self._is_paused or self._exchange is None or self._tunnel is not None or self._is_websocket:
            return
        unread, self._unread = self._unread, []
        ends, self._ends = self._ends, False
        try:
            self._feed(b"".join(unread), self._trailers, ends=ends)
        except Exception:  # called by the event loop
            if self._exchange is not None:
                self._exchange.why = Why.INTERNAL_ERROR
            self.give_up()
            raise

    # --- calls from the exchange ------------------------------------------------------------------------

    def end_reply(self, now: float) -> None:
        self._exchange = None
        self._end(now)

    def await_reading(self, now: float) -> None:
        """Nothing more: _end() waits for the client already."""

    def end_error(self) -> None:
        self._exchange = None
        self._end(monotonic())

    def break_off(self, *, is_stuck: bool) -> None:
        self._exchange = None
        self._break_off(CANCEL if is_stuck else INTERNAL_ERROR)

    def _break_off(self, code: int) -> None:
        now = monotonic()
        self.connection.session.reset(self._stream, code, now)
        self._done(now)

    def claim(self, upstream: Upstream) -> None:
        """It is authenticated for its last client, who can't be told apart from the others here: this request is its last."""
        upstream.served = self.settings.max_requests

    def own(self, upstream: Upstream) -> None:
        self.connection_auth = self.connection.own(upstream)

    def proxy_header(self, version: str) -> bytes:
        return self.connection.proxy_header(version)

    def arm(self, now: float, timeout_s: float) -> None:
        deadline = now + timeout_s
        if deadline > self._total_at:
            deadline = self._total_at
        self.deadline = deadline
        connection = self.connection
        if deadline < connection.client.deadline:
            connection.look_by(deadline, now)

    def limit_total(self, at: float) -> None:
        self._total_at = at

    def has_taken_some(self) -> bool:
        """Whether the client has taken LEAST_PROGRESS bytes since the last call: of this stream, while it waits for its own
        window, else of the connection. An event is no progress: a window may be opened by a byte a minute.
        """
        own, of_all, has_waited_for_own = self._own_progress, self._progress, self._waits_for_own
        self._look_at_progress()
        if not self._waits_for_own:
            return self._progress - of_all >= LEAST_PROGRESS
        # One that had a window at the last look may have used it up just now. To look like that again and again, its client
        # has to take a kilobyte at each second look.
        return not has_waited_for_own or self._own_progress - own >= LEAST_PROGRESS

    def _look_at_progress(self) -> None:
        """Both are noted each time, as what a stream has taken can't be compared with what its connection has."""
        stream = self._stream
        self._waits_for_own = stream.window <= 0
        self._own_progress = self.stream_writer.written - stream.held_bytes
        self._progress = self.connection.taken_bytes

    def own_host(self) -> bytes:
        return local_host(self.connection.transport)

    def has_left(self) -> bool:
        return has_left(self.connection.transport)

    def become_tunnel(self, upstream: Upstream, lease: Lease, early: bytes, record: AccessValues | None) -> None:
        """The backend speaks WebSocket from now on."""
        exchange, self._exchange = self._exchange, None
        assert exchange is not None
        connection = self.connection
        self.deadline = self._total_at = NEVER
        self._is_websocket = False
        tunnel = self._tunnel = StreamTransport(connection, self._stream, self)
        waiting, self._unread = self._unread, []
        open_tunnel(
            exchange.settings,
            exchange.request,
            tunnel.as_transport(),
            upstream,
            lease,
            record,
            clients=None,  # the connection is counted
            client_address=self.peer,
            from_client=b"".join(waiting),
            from_upstream=early,
            has_body_left=False,
            is_paused=False,
            is_full=self.is_write_paused,
        )
        self._take()
        if self.stream_writer.has_ended:  # the backend has answered to another key
            tunnel.abort()
        elif self._ends:
            tunnel.received(b"", ends=True)

    # --- calls from the connection ----------------------------------------------------------------------

    def wrote(self) -> None:
        """There may be more than the client takes now."""
        stream = self._stream
        held = stream.held_bytes
        if held:
            connection = self.connection
            connection.blocked.add(self)
            if not self.is_write_paused and (held > HIGH or connection.session.out.held_bytes > MOST_HELD):
                self._pause()

    def hold(self) -> None:
        """The connection holds too much already: the backend is not read on, or not at all yet. While a request is still being
        sent, it is not: its client does something, and is not to be found too slow.
        """
        exchange = self._exchange
        if self.is_write_paused or self._tunnel is not None or exchange is None or exchange.upstream is None:
            return
        if exchange.upload is not None and not exchange.upload.is_done:
            return
        if not self._may_go_on(self._stream.held_bytes):
            self.connection.blocked.add(self)
            self._pause()

    def _pause(self) -> None:
        self.is_write_paused = True
        self._look_at_progress()
        if self._tunnel is not None:
            self._tunnel.pause_writing()
        elif self._exchange is not None:
            self._exchange.pause_download()

    def _may_go_on(self, held: int) -> bool:
        """Whether the connection has room for more of this stream, which holds so much."""
        of_all = self.connection.session.out.held_bytes
        if held:
            return of_all <= MOST_HELD
        is_taken = self._tunnel is not None or self.stream_writer.written > 0
        return of_all <= (2 * MOST_WAITING if is_taken else MOST_WAITING)

    def look(self, now: float) -> None:
        """Windows may have opened, or bytes have been sent."""
        stream, writer = self._stream, self.stream_writer
        held = stream.held_bytes
        if self.is_write_paused and held <= LOW and self._may_go_on(held):
            self.is_write_paused = False
            if writer.buffer is not None and not self._pass_on():
                return
            if self._tunnel is not None:
                self._tunnel.resume_writing()
            elif self._exchange is not None:
                self._exchange.resume_download()
        if self._is_sending and stream.local_ended:
            self._linger(now)
        elif not stream.held_bytes and not self.is_write_paused and not self._is_sending:
            self.connection.blocked.discard(self)
        if self._tunnel is not None:
            self._tunnel.look(now)

    def _pass_on(self) -> bool:
        """Write more of what is buffered of the reply. Whether all of it is on its way."""
        writer = self.stream_writer
        buffer = writer.buffer
        while buffer is not None and len(buffer):
            buffer.pass_on()
            if self.is_write_paused:
                return False
        writer.unbuffered()
        return True

    def reset(self, detail: str, *, is_ours: bool) -> None:
        """The client has reset the stream, or we have, as its message is malformed."""
        now = monotonic()
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            if is_ours:
                exchange.refuse(ProtocolError(400, Why.BAD_REQUEST, detail))
            else:
                exchange.client_gone()
        self._done(now)

    def gone(self, now: float, *, is_bug: bool) -> None:
        """The connection has ended."""
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            if is_bug:
                exchange.note_crash()
            exchange.client_gone()
        self._stream.is_reset = True
        self._done(now)

    def cut(self) -> None:
        """The deadline of a drain has passed."""
        if self._exchange is not None:
            self._exchange.cut()
        elif self._is_lingering:
            self._done(monotonic())
        elif self._tunnel is None:
            self._break_off(CANCEL)

    def expire(self, now: float) -> None:
        """The deadline has passed; an exchange decides for itself."""
        if self._exchange is not None:
            self._exchange.expire(now)
        elif self._is_lingering:
            self._done(now)
        elif self._is_sending and self.has_taken_some():
            self.arm(now, self.settings.timeouts.write_s or WRITE_S)
        else:
            self.deadline = NEVER
            if self._tunnel is None:
                self._break_off(CANCEL)

    def give_up(self) -> None:
        """After a bug in our own code, or when the client has left: nothing of it goes on."""
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.client_gone()
        self._break_off(INTERNAL_ERROR)

    # --- the end ----------------------------------------------------------------------------------------

    def _end(self, now: float) -> None:
        """The reply is complete: the stream is over when the client has it."""
        self._total_at = NEVER
        stream = self._stream
        self.stream_writer.end()
        if stream.local_ended or stream.is_reset:
            self._linger(now)
        else:
            self._is_sending = True
            self._look_at_progress()
            self.connection.blocked.add(self)
            self.arm(now, self.settings.timeouts.write_s or WRITE_S)

    def _linger(self, now: float) -> None:
        """The client has all of its reply."""
        if self._stream.is_done:
            self._done(now)
        else:
            self._is_sending = False
            self._is_lingering = True
            self.connection.blocked.discard(self)
            self.arm(now, LINGER_S)

    def tunnel_ended(self, now: float) -> None:
        """The tunnel is over."""
        self._done(now)

    def _done(self, now: float) -> None:
        """The stream's place is free."""
        connection, stream = self.connection, self._stream
        if stream.owner is None:
            return
        stream.owner = None
        self._is_sending = False
        self.deadline = NEVER
        if connection.blocked:
            connection.blocked.discard(self)
        if self.stream_writer.buffer is not None:
            self.stream_writer.drop()
        if self._unread:
            self._unread = []
        if self._tunnel is not None:
            self._tunnel.lost(now)
        connection.session.release(stream, now)
        if self._untaken:  # of the connection's window: one that is reset has none, and curl would begin to fill it
            connection.session.taken(stream, self._untaken)
            self._untaken = 0
        connection.stream_ended(now)
