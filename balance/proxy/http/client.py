"""A client's connection in HTTP mode: finds request heads, runs one exchange at a time in their order, arms the timeouts.

Pipelined requests wait in `_buffer` until the request before is answered, so replies keep their order. Above MAX_WAITING bytes
reading is paused, which bounds what a client can make us hold.
"""

from __future__ import annotations

import asyncio
import enum
import re
from time import monotonic
from typing import Any, Final, cast

from balance.errors import ProtocolError
from balance.holder import Holder
from balance.log_lines.access_record import AccessValues
from balance.model import Why
from balance.proxy.buffering.reply_buffer import ReplyBuffer
from balance.proxy.clients import Clients
from balance.proxy.http.connection_auth import ConnectionAuth
from balance.proxy.http.ends.connected_client import ConnectedClient
from balance.proxy.http.ends.exchange_client import ExchangeClient
from balance.proxy.http.error_replies import options_reply, refusal
from balance.proxy.http.exchange.exchange import Exchange
from balance.proxy.http.reply_writer import ReplyWriter
from balance.proxy.http.request_head import refuse_partial
from balance.proxy.http.upgrade import open_tunnel
from balance.proxy.http.upstream import Upstream
from balance.proxy.listener_settings import ListenerSettings
from balance.proxy.net.polled_transport import AnyTransport
from balance.proxy.net.sockets import end_now, finish_tls, has_left, is_silent, local_host, reset, unsent
from balance.proxy.net.timer_wheel import NEVER
from balance.runtime import counters
from balance.runtime.lease import Lease

MAX_WAITING: Final = 64 * 1024  # bytes of pipelined requests above which reading is paused
FIRST_REQUEST_S: Final = 1.0  # seconds after which a new connection without a request counts as idle
LINGER_S: Final = 5.0  # lingering close: seconds in which the client takes and sends nothing (nginx's lingering_timeout)
LINGER_TOTAL_S: Final = 30.0  # lingering close: seconds in all, for a client that keeps sending (nginx's lingering_time)
BREAK_LOOK_S: Final = 0.05  # BREAKING: seconds between looks whether all that was written is sent
BREAK_SLOW_LOOK_S: Final = 0.5  # BREAKING: the same while nothing is sent

_EMPTY_LINES: Final = re.compile(rb"\A(?:\r\n)+")
_CR: Final = 13


# Bits of the reasons why reading is paused: too many pipelined bytes, the backend cannot take more of a body, or what has come
# of that waits for its turn.
_WAITING: Final = 1
_UPLOAD: Final = 2
_TURN: Final = 4


class ClientState(enum.IntEnum):
    """The state of a client connection."""

    FRESH = 0  # no bytes received yet
    IDLE = 1  # between requests
    HEAD = 2  # a part of a head received
    BUSY = 3  # an exchange owns it
    LINGERING = 4  # last reply sent; bytes received are thrown away
    CLOSING = 5
    BREAKING = 6  # a reset follows when the written bytes are sent
    GONE = 7


# A global is ten times cheaper to look up than an Enum's member.
FRESH: Final = ClientState.FRESH
IDLE: Final = ClientState.IDLE
HEAD: Final = ClientState.HEAD
BUSY: Final = ClientState.BUSY
LINGERING: Final = ClientState.LINGERING
CLOSING: Final = ClientState.CLOSING
BREAKING: Final = ClientState.BREAKING
GONE: Final = ClientState.GONE


class HttpClient(ExchangeClient):
    """One client connection in HTTP mode."""

    __slots__ = ("_block", "_buffer", "_exchange", "_holder", "_paused_for", "_state", "_total_at", "_unsent",
                 "clients", "transport")  # fmt: skip

    transport: AnyTransport  # set by connection_made()

    def __init__(self, holder: Holder[ListenerSettings], clients: Clients | None = None, address: Any = None) -> None:
        """`holder` has its settings. `clients` counts it until it ends. `address`: the peer; None: the transport's."""
        ConnectedClient.__init__(self, address)
        self.settings = holder.held
        self.is_write_paused = False
        self._holder = holder
        self.clients = clients
        self._paused_for = 0
        self._exchange: Exchange | None = None
        self._state = FRESH
        self._buffer = b""
        self._block = b""  # of the last request: what its head ended with
        self._unsent: int | None = None  # bytes at the last look; None: no recent look
        self._total_at = NEVER

    # --- the connection -------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(AnyTransport, transport)
        self.writer = ReplyWriter(self.transport)
        settings = self.settings
        worker = settings.worker
        self.introduce(settings, False, self.transport)
        worker.connections.add(self)
        worker.row.cells[counters.CONNECTIONS] += 1
        self.arm(monotonic(), settings.timeouts.client_header_s or NEVER)

    @property
    def client_address(self) -> str:
        return self.peer

    def _apply_reload(self) -> None:
        """Use the settings of the last reload from this request on."""
        successor = self.settings.successor
        if successor is not None:
            self._holder = successor
            self.settings = successor.held
            self.introduce(self.settings, False)

    def connection_lost(self, exc: Exception | None) -> None:
        self._state = GONE
        worker = self.settings.worker
        worker.connections.discard(self)
        if self.clients is not None:
            self.clients.leave()
        worker.wheel.forget(self)
        self.deadline = NEVER
        self._buffer = b""
        if self.writer.buffer is not None:
            self.writer.buffer.release()
        if self.connection_auth is not None:
            self.connection_auth.close()
        if self._exchange is not None:
            exchange, self._exchange = self._exchange, None
            if exc is not None and not isinstance(exc, OSError):
                exchange.note_crash()  # an exception of data_received() arrives here
            exchange.client_gone()

    def eof_received(self) -> bool:
        # A close and a half-close look the same. As in nginx, both abort the request: saving the backend the work for clients
        # that have left is worth more than serving the few that half-close and still read.
        if self._exchange is not None:
            exchange, self._exchange = self._exchange, None
            exchange.client_gone()
        self._close()
        return False

    def data_received(self, data: bytes) -> None:
        if self._state is BUSY:
            exchange = self._exchange
            assert exchange is not None
            if exchange.upload is not None and not exchange.upload.is_done:
                if self._paused_for & _TURN:
                    self._buffer += data
                    return
                try:
                    data = exchange.body_received(data)
                except ProtocolError as error:
                    exchange.refuse(error)
                    return
                if data and self._exchange is exchange and not exchange.upload.is_done:
                    self._wait_for_turn(data)
                    return
            if data and self._exchange is exchange:
                self._hold_back(data)
            elif data and self.writer.keeps_alive:  # its body was whole, and it was answered at once
                self._buffer = data
                self.settings.worker.loop.call_soon(self._next)
        elif self._state is IDLE or self._state <= HEAD:  # IDLE first: the common case, and cheaper to compare
            if self.is_write_paused:
                self._hold_back(data)
            else:
                self._buffer = self._buffer + data if self._buffer else data
                self._take_head()
        elif self._state is LINGERING:
            self.arm(monotonic(), LINGER_S)  # the client is still sending

    def _wait_for_turn(self, data: bytes) -> None:
        """A body in many small chunks: the rest of what has come is read later, so that nobody else is held up."""
        self._buffer = data
        if self.settings.body_rate and self._exchange is not None:
            self._exchange.pause_body_rate(monotonic())
        self._pause(_TURN)
        if self._paused_for == _TURN:
            self.settings.worker.turns.add(self)

    def take_turn(self) -> None:
        """Read more of the body, if the backend can take it."""
        if self._paused_for != _TURN or self._state is not BUSY:
            return
        data, self._buffer = self._buffer, b""
        self._paused_for = 0
        try:
            self.data_received(data)
        except Exception:  # called by the event loop, so no transport ends the connection
            if self._exchange is not None:
                self._exchange.why = Why.INTERNAL_ERROR
            self.give_up()
            raise
        if not self._paused_for and not self.transport.is_closing():
            self.transport.resume_reading()

    def _hold_back(self, data: bytes) -> None:
        """Buffer pipelined bytes; above MAX_WAITING, pause reading."""
        self._buffer += data
        if len(self._buffer) > MAX_WAITING:
            self._pause(_WAITING)

    def pause_writing(self) -> None:
        self.is_write_paused = True
        self._unsent = unsent(self.transport)
        if self._exchange is not None:
            self._exchange.pause_download()
        elif self.writer.buffer is not None:
            self.arm(monotonic(), self.settings.timeouts.write_s or NEVER)

    def resume_writing(self) -> None:
        self.is_write_paused = False
        if self.writer.buffer is not None and not self._pass_on(self.writer.buffer):
            return
        if self._exchange is not None:
            self._exchange.resume_download()
        else:
            self._next()

    def _pass_on(self, buffer: ReplyBuffer) -> bool:
        """Write more of what is buffered of the reply. Whether the client has all of it."""
        while len(buffer):
            buffer.pass_on()
            if self.is_write_paused:
                return False
        buffer.release()
        self.writer.buffer = None
        self._unsent = None
        now = monotonic()
        if self._state is IDLE:
            self.arm(now, self.settings.keepalive_s)
        elif self._state is LINGERING:
            self._total_at = now + LINGER_TOTAL_S
            self.arm(now, LINGER_S)
        return True

    def pause_reading(self) -> None:
        """Called by the exchange when it cannot take more of the request body."""
        if self.settings.body_rate and self._exchange is not None:
            self._exchange.pause_body_rate(monotonic())
        self._pause(_UPLOAD)

    def resume_reading(self) -> None:
        """Called by the exchange when it can take more of the request body again."""
        self._resume(_UPLOAD)

    def _pause(self, reason: int) -> None:
        if not self._paused_for and not self.transport.is_closing():
            self.transport.pause_reading()
        self._paused_for |= reason

    def _resume(self, reasons: int) -> None:
        if self._paused_for & reasons:
            self._paused_for &= ~reasons
            if self._paused_for == _TURN:
                self.settings.worker.turns.add(self)
            elif not self._paused_for and not self.transport.is_closing():
                self.transport.resume_reading()

    # --- requests ------------------------------------------------------------------------------------

    def _take_head(self) -> None:
        """Start the next request in the buffer if its head is complete."""
        data = self._buffer
        if data[0] == _CR:
            # RFC 9112 section 2.2: empty lines before a request line are skipped.
            data = self._buffer = _EMPTY_LINES.sub(b"", data)
            if not data or data == b"\r":
                return
        settings = self.settings
        again = settings.reader.read_again(data, self._block) if self._block and settings.successor is None else None
        if again is not None:
            request, head, end = again, data, len(data)
            self._buffer = b""
        else:
            end = data.find(b"\r\n\r\n") + 4
            if end < 4:
                self._wait_for_head(data)
                return
            head = data if end == len(data) else data[:end]
            self._buffer = b""
            if settings.successor is not None:
                self._apply_reload()
                settings = self.settings
            try:
                request = settings.reader.read(head)
            except ProtocolError as error:
                self._refuse(error, head)
                return
            self._block = request.fields.block
        if request.is_uncommon:
            if request.ends_here:
                self.writer.keeps_alive = request.keep_alive and not request.fields.framing
                try:
                    reply = options_reply(self.settings, request, head, self.peer, is_trusted=self.is_trusted)
                except ProtocolError as error:
                    self._refuse(error, head)
                    return
                self.transport.write(reply)
                self._buffer = data[end:]
                self.end_reply(monotonic())
                return
            self._bind()
        self._state = BUSY
        self.writer.keeps_alive = request.keep_alive
        exchange = self._exchange = Exchange(self, settings, request, len(head))
        self._total_at = exchange.started + settings.request_s
        try:
            rest = exchange.start(data, end)
        except ProtocolError as error:
            if error.why is not Why.BLOCKED:
                exchange.refuse(error)
                return
            rest = exchange.deny(error, data[end:])
            if not self.writer.keeps_alive:
                return
        if rest:
            self._buffer = rest
            if self._state is IDLE:  # already answered by an error reply of ours
                settings.worker.loop.call_soon(self._next)
            elif self._exchange is exchange and exchange.upload is not None and not exchange.upload.is_done:
                self._wait_for_turn(rest)

    def _wait_for_head(self, data: bytes) -> None:
        """The head is incomplete: refuse it if it cannot become valid, else arm the `client_header` timeout."""
        try:
            refuse_partial(data, self.settings.listener.http.limits)
        except ProtocolError as error:
            self._refuse(error, data)
            return
        if self._state is not HEAD:
            self._state = HEAD
            self.arm(monotonic(), self.settings.timeouts.client_header_s or NEVER)

    def _refuse(self, error: ProtocolError, head: bytes) -> None:
        """Reply with an error to bytes that are not a valid request, and close."""
        header_s, waited_s = self.settings.timeouts.client_header_s, 0.0
        if self._state is HEAD and header_s:  # since its first byte, when the timeout began
            waited_s = max(monotonic() - self.deadline + header_s, 0.0)
        self.transport.write(refusal(self.settings, error, head, self.peer, waited_s))
        self._linger()

    # --- calls from the exchange ------------------------------------------------------------------------

    def end_reply(self, now: float) -> None:
        """The reply is complete: go on to the next request, or close."""
        exchange, self._exchange = self._exchange, None
        if self._state is GONE:
            return
        settings = self.settings
        self._total_at = NEVER
        if not self.writer.keeps_alive:
            self._finish(is_read=exchange is None or exchange.upload is None or exchange.upload.is_done)
            return
        self._state = IDLE
        self._unsent = None
        if self._paused_for:
            self._resume(_UPLOAD)
        self.deadline = deadline = now + settings.keepalive_s  # arm(), inlined
        if deadline < self.looked_at:
            settings.worker.wheel.watch(self, now)
        if self._buffer:
            settings.worker.loop.call_soon(self._next)
        elif settings.is_closing:
            self._close()

    def await_reading(self, now: float) -> None:
        """The rest of a complete reply is buffered: the next event is that the client reads on."""
        if self._state is IDLE:
            self._unsent = unsent(self.transport)
            self.arm(now, self.settings.timeouts.write_s or NEVER)

    def end_error(self) -> None:
        """An error reply of ours is complete: go on to the next request, or linger and close."""
        if self.writer.keeps_alive:
            self.end_reply(monotonic())
        else:
            self._exchange = None
            self._linger()

    def break_off(self, *, is_stuck: bool) -> None:
        """End a reply that cannot be completed, so that it does not look complete.

        Close without its last bytes, or reset if a close would mark its end. A reset discards bytes that are still unsent, so
        it waits for them, unless the client `is_stuck`.
        """
        self._exchange = None
        if not is_stuck and self.writer.buffer is not None and not self.transport.is_closing():
            self.writer.buffer.flush()
        if not is_stuck and not self.writer.ends_at_close:
            self._close()
        elif is_stuck or self.transport.is_closing():
            self._state = CLOSING
            reset(self.transport)
        else:
            self._state = BREAKING
            self._unsent = None
            now = monotonic()
            self._total_at = now + (self.settings.timeouts.write_s or LINGER_S)
            self._break(now)

    def _break(self, now: float) -> None:
        """Reset once the client has all that was written, or has taken nothing for the `write` timeout."""
        before, self._unsent = self._unsent, unsent(self.transport)
        if before is not None and self._unsent < before:
            self._total_at = now + (self.settings.timeouts.write_s or LINGER_S)
        if self._unsent and now < self._total_at:
            self.arm(now, BREAK_SLOW_LOOK_S if self._unsent == before else BREAK_LOOK_S)
        else:
            self._state = CLOSING
            reset(self.transport)

    def claim(self, upstream: Upstream) -> None:
        """Reserve `upstream` for this client: it is authenticated per connection."""
        self._bind().claim(upstream)

    def _bind(self) -> ConnectionAuth:
        """The client authenticates per connection: its next requests go where this one goes."""
        if self.connection_auth is None:
            self.connection_auth = ConnectionAuth(self)
        self.connection_auth.is_binding = True
        return self.connection_auth

    def own(self, upstream: Upstream) -> None:
        """Reserve `upstream` for this client: its PROXY header names it. Its requests are balanced as others are."""
        if self.connection_auth is None:
            self.connection_auth = ConnectionAuth(self)
        self.connection_auth.claim(upstream)

    def proxy_header(self, version: str) -> bytes:
        """The PROXY header that names this connection."""
        return self.proxy_header_on(self.transport, version)

    def become_tunnel(self, upstream: Upstream, lease: Lease, early: bytes, record: AccessValues | None) -> None:
        """After a 101: hand both connections to a tunnel. `early` are the bytes that came from the backend after its head."""
        exchange, self._exchange = self._exchange, None
        assert exchange is not None
        self._state = GONE
        worker = self.settings.worker
        worker.wheel.forget(self)
        self.deadline = NEVER
        worker.connections.discard(self)
        if self.connection_auth is not None:
            self.connection_auth.close()
        waiting, self._buffer = self._buffer, b""
        upload = exchange.upload
        open_tunnel(
            exchange.settings,  # those of the route: its pool may have timeouts of its own
            exchange.request,
            self.transport,
            upstream,
            lease,
            record,
            clients=self.clients,
            client_address=self.peer,
            from_client=waiting if upload is None else upload.unread + waiting,
            from_upstream=early,
            has_body_left=upload is not None and not upload.is_done,
            is_paused=bool(self._paused_for),
            is_full=self.is_write_paused,
        )

    def arm(self, now: float, timeout_s: float) -> None:
        """Have expire() called `timeout_s` after `now`, or when the `request` timeout ends, if earlier."""
        deadline = now + timeout_s
        if deadline > self._total_at:
            deadline = self._total_at
        self.deadline = deadline
        if deadline < self.looked_at:
            self.settings.worker.wheel.watch(self, now)

    def limit_total(self, at: float) -> None:
        """The request's `request` timeout ends at this time, as its route has it. Seconds, monotonic."""
        self._total_at = at

    def has_taken_some(self) -> bool:
        """Whether the client has taken written bytes since the last call; at the first call, whether any are unsent."""
        before, self._unsent = self._unsent, unsent(self.transport)
        return self._unsent > 0 if before is None else self._unsent < before

    def own_host(self) -> bytes:
        """Our own address on this connection, in place of a missing Host."""
        return local_host(self.transport)

    def has_left(self) -> bool:
        """Whether the client has closed or reset; also detected while reading is paused."""
        return has_left(self.transport)

    def expire(self, now: float) -> None:
        """The deadline has passed; an exchange decides for itself."""
        if self._exchange is not None:
            self._exchange.expire(now)
        elif self._state is HEAD and not self.is_write_paused:
            self._refuse(ProtocolError(408, Why.HEADER_TIMEOUT, "the request's head did not come"), self._buffer)
        elif self._state is GONE:
            self.deadline = NEVER
        elif self._state is BREAKING:
            self._break(now)
        elif self.has_taken_some():
            self.arm(now, self.settings.timeouts.write_s or LINGER_S)
        else:
            self._state = CLOSING
            self.transport.abort()

    def give_up(self) -> None:
        """After a bug in our own code, with the state unknown: abort; connection_lost() releases what is held."""
        self.transport.abort()

    # --- the end --------------------------------------------------------------------------------------

    def drain(self, *, is_patient: bool) -> None:
        """Close if no request is under way. `is_patient`: spare a connection that has not sent its first request yet."""
        if self._state > IDLE or self._buffer or (self._state is FRESH and is_patient):
            return
        # Not silent: bytes of a request have arrived that are not read yet.
        if self.writer.buffer is None and is_silent(self.transport):
            end_now(self.transport)
            self._close()

    def idle_since(self, now: float) -> float:
        """Since when it has waited for a request (monotonic seconds); NEVER while busy or in its first FIRST_REQUEST_S."""
        settings = self.settings
        if self._state is IDLE and not self._buffer and self.writer.buffer is None:
            return self.deadline - settings.keepalive_s if settings.keepalive_s != NEVER else 0.0
        if self._state is FRESH and not self._buffer and settings.timeouts.client_header_s:
            since = self.deadline - settings.timeouts.client_header_s
            return since if now - since >= FIRST_REQUEST_S else NEVER
        return NEVER

    def reclaim(self) -> bool:
        """Close it to make room for another client, if it is still idle. Whether it was closed."""
        self.drain(is_patient=False)
        return self._state is CLOSING

    def announce_close(self) -> None:
        """No effect: HTTP/1 can only announce it in a reply, with Connection: close."""

    def cut(self) -> None:
        """The deadline of a drain has passed: end the exchange and abort."""
        if self._exchange is not None:
            self._exchange.cut()
        self.transport.abort()

    def _next(self) -> None:
        """Start the next buffered request, if the connection is free for it."""
        if self._buffer and self._state <= HEAD and not self.is_write_paused and not self.transport.is_closing():
            try:
                self._take_head()
            except Exception:  # called by the event loop, so no transport ends the connection
                if self._exchange is not None:
                    self._exchange.note_crash()
                self.give_up()
                raise
            if len(self._buffer) <= MAX_WAITING:
                self._resume(_WAITING)

    def _finish(self, *, is_read: bool) -> None:
        """Close after the last reply; linger first if unread bytes would turn the close into a reset (RFC 9112 section 9.6).

        `is_read`: the request body was read to its end.
        """
        if self._buffer or self._paused_for or not is_read:
            self._linger()
        else:
            self._close(has_said_all=True)

    def _linger(self) -> None:
        """Half-close, then discard what is received, until nothing moves for LINGER_S; for LINGER_TOTAL_S in all."""
        if self.transport.is_closing():
            return
        self._state = LINGERING
        self._buffer = b""
        now = monotonic()
        self._total_at = now + LINGER_TOTAL_S
        self._resume(_WAITING | _UPLOAD | _TURN)
        if not self.transport.can_write_eof():
            # TLS has no half-close here; its close() lingers itself: after the close_notify it throws away what comes, up to
            # the peer's own or for SHUTDOWN_S.
            self._close()
        elif self.writer.buffer is None:
            self._unsent = unsent(self.transport)  # a FIN counts as a byte
            self.transport.write_eof()
            self.arm(now, LINGER_S)
        else:  # the wait for the client's last bytes begins when it has the reply
            self.writer.buffer.flush()
            self._unsent = unsent(self.transport)  # a FIN counts as a byte
            self.transport.write_eof()
            self._total_at = NEVER
            self.arm(now, self.settings.timeouts.write_s or LINGER_S)

    def _close(self, *, has_said_all: bool = False) -> None:
        """Close when all that was written is sent, or after the `write` timeout without progress.

        `has_said_all`: nothing that the client may still send is worth a wait.
        """
        self._state = CLOSING
        if not self.transport.is_closing():
            if self.writer.buffer is not None:
                self.writer.buffer.flush()
            transport = self.transport
            # Usually all is written, and the kernel sends it after the descriptor is closed: nothing to ask the socket, and no
            # timer, as connection_lost() comes at the next turn. TLS may have to wait for the client's goodbye.
            if has_said_all and not transport.can_write_eof():
                is_over = finish_tls(transport)
            else:
                is_over = not transport.get_write_buffer_size() and transport.can_write_eof()
                transport.close()
            if is_over:
                return
            self._total_at = NEVER
            self._unsent = unsent(transport) if transport.get_write_buffer_size() else None  # else it is looked at in time
            self.arm(monotonic(), self.settings.timeouts.write_s or LINGER_S)
