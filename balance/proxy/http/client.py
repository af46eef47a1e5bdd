"""A client's connection in HTTP mode: finds the heads, keeps their order, arms the timeouts. One exchange at a time.

Requests that follow in the same bytes (pipelining) wait in `_buffer` until the one before is answered, and reading stops when
too many do: answers keep their order, and a client can't make us hold more than a head and a bit.
"""

from __future__ import annotations

import asyncio
import enum
import re
from collections.abc import Callable
from time import monotonic
from typing import Any, cast

from balance.errors import ProtocolError
from balance.http1.forwarding.forwarded_headers import introduction
from balance.http1.request import unending_method
from balance.model import Why
from balance.proxy.access_log import AccessRecord
from balance.proxy.clients import Clients
from balance.proxy.http.connection_auth import TiedExchange
from balance.proxy.http.error_replies import Refusals
from balance.proxy.http.exchange import Exchange
from balance.proxy.http.session_cookie import StickyExchange
from balance.proxy.http.tunnel import Tunnel, TunnelEnd
from balance.proxy.http.upstream import Upstream
from balance.proxy.http.websocket import WebSocketEnd, WebSocketRelay
from balance.proxy.listener_settings import ListenerSettings
from balance.proxy.net.sockets import end_now, has_left, is_silent, keep_alive, local_host, other_address, reset, unsent
from balance.proxy.net.timer_wheel import NEVER
from balance.proxy.tcp.relay import Relay
from balance.runtime import counters
from balance.runtime.backend import Parked
from balance.runtime.lease import Lease

MAX_TIED = 4  # backends that a client is authenticated at over one connection
MAX_WAITING = 64 * 1024  # bytes of requests that wait for their turn
FIRST_REQUEST_S = 1.0  # how long a connection that was just made may still bring its first request before it is idle
LINGER_S = 5.0  # how long an answer that ends the connection may take to be read (nginx's lingering_timeout)
LINGER_TOTAL_S = 30.0  # and of a client that goes on sending (its lingering_time)
BREAK_LOOK_S, BREAK_SLOW_LOOK_S = 0.05, 0.5  # how often it is looked whether the kernel has got rid of all that was written

_START = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]")
_EMPTY_LINES = re.compile(rb"\A(?:\r\n)+")


# Why reading is paused: more requests wait than may, or the backend can't take more of a body.
_WAITING, _UPLOAD = 1, 2


class At(enum.IntEnum):
    """Where a connection is, when no exchange owns it."""

    FRESH = 0  # nothing has come yet
    IDLE = 1  # between requests
    HEAD = 2  # in a head
    BUSY = 3  # an exchange owns it
    LINGERING = 4  # answered for the last time; what still comes is thrown away
    CLOSING = 5
    BREAKING = 6  # what was written goes out, and then a reset
    GONE = 7


FRESH, IDLE, HEAD, BUSY, LINGERING, CLOSING, BREAKING, GONE = (
    At  # a global is ten times cheaper to look up than an Enum's member
)


class HttpClient(Refusals, asyncio.Protocol):
    """See the module."""

    __slots__ = ("_address", "_at", "_exchange", "_kind", "_paused_for", "_total_at", "_unsent", "after_host", "before_host",
                 "clients", "is_write_paused", "tied")  # fmt: skip

    def __init__(self, settings: ListenerSettings, clients: Clients | None = None, address: Any = None) -> None:
        """It has a place among `clients`, and gives it back at its end. `address` is where it comes from, if that is known."""
        super().__init__()
        self.settings = settings
        self.clients = clients
        self._address = address
        self.transport = cast(asyncio.Transport, None)  # until connection_made
        self.peer = ""
        self.before_host = self.after_host = b""
        self.is_trusted = False
        self.is_write_paused = False
        self.tied: list[Parked] = []  # connections that nobody else may use, while they are parked
        self._kind: type[Exchange] = Exchange
        self._paused_for = 0
        self._exchange: Exchange | None = None
        self._at = FRESH
        self._buffer = b""
        self._unsent: int | None = None  # when last asked, if it was not too long ago
        self._total_at = NEVER

    # --- the connection -------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        settings = self.settings
        worker = settings.worker
        name = transport.get_extra_info("peername") if self._address is None else self._address
        self.peer = name[0] if type(name) is tuple and len(name) == 2 else other_address(name)
        self._introduce()
        worker.connections.add(self)
        worker.row.cells[counters.CONNECTIONS] += 1
        self.arm(monotonic(), settings.timeouts.client_header_s or NEVER)

    def _introduce(self) -> None:
        """What a backend is told of this client, with every request."""
        settings, peer = self.settings, self.peer
        self.before_host, self.after_host = introduction(
            settings.forwarded, peer, settings.port, settings.scheme, via=settings.via
        )
        self.is_trusted = settings.trusted is not None and settings.trusted.has(peer)
        if not self.tied:
            self._kind = Exchange if settings.cookie is None else StickyExchange

    def _go_over(self) -> None:
        """There was a reload: from this request on, its settings."""
        self.settings = self.settings.successor or self.settings
        self._introduce()

    def connection_lost(self, exc: Exception | None) -> None:
        self._at = GONE
        worker = self.settings.worker
        worker.connections.discard(self)
        if self.clients is not None:
            self.clients.leave()
        worker.wheel.forget(self)
        self.deadline = NEVER
        self._buffer = b""
        if self.tied:
            self._untie()
        if self._exchange is not None:
            exchange, self._exchange = self._exchange, None
            if exc is not None and not isinstance(exc, OSError):
                exchange.why = Why.INTERNAL_ERROR  # what data_received() raises ends here
            exchange.client_gone()

    def eof_received(self) -> bool:
        # A client that closes looks the same as one that only ends its own direction. Like nginx we take it for gone: its work
        # at the backend is worth more than the few that half-close a request and still read.
        if self._exchange is not None:
            exchange, self._exchange = self._exchange, None
            exchange.client_gone()
        self._close()
        return False

    def data_received(self, data: bytes) -> None:
        if self._at is BUSY:
            exchange = self._exchange
            assert exchange is not None
            if exchange.upload is not None and not exchange.upload.is_done:
                try:
                    data = exchange.body_received(data)
                except ProtocolError as error:
                    exchange.refuse(error)
                    return
            if data:
                self._wait(data)
        elif self._at <= HEAD:
            if self.is_write_paused:
                self._wait(data)
            else:
                self._buffer = self._buffer + data if self._buffer else data
                self._take_head()
        elif self._at is LINGERING:
            self.arm(monotonic(), LINGER_S)  # it is still busy with what it sends

    def _wait(self, data: bytes) -> None:
        """Keep what must wait for its turn; when it is much, the client must wait with the rest."""
        self._buffer += data
        if len(self._buffer) > MAX_WAITING:
            self._pause(_WAITING)

    def pause_writing(self) -> None:
        self.is_write_paused = True
        self._unsent = unsent(self.transport)
        if self._exchange is not None:
            self._exchange.pause_download()

    def resume_writing(self) -> None:
        self.is_write_paused = False
        if self._exchange is not None:
            self._exchange.resume_download()
        else:
            self._next()

    def pause_reading(self) -> None:
        """The exchange can't take more of the body."""
        self._pause(_UPLOAD)

    def resume_reading(self) -> None:
        """It can again."""
        self._resume(_UPLOAD)

    def _pause(self, reason: int) -> None:
        if not self._paused_for and not self.transport.is_closing():
            self.transport.pause_reading()
        self._paused_for |= reason

    def _resume(self, reasons: int) -> None:
        if self._paused_for & reasons:
            self._paused_for &= ~reasons
            if not self._paused_for and not self.transport.is_closing():
                self.transport.resume_reading()

    # --- requests ------------------------------------------------------------------------------------

    def _take_head(self) -> None:
        """Begin the next request of the buffer, if its head is complete."""
        data = self._buffer
        if data.startswith(b"\r"):
            # RFC 9112 section 2.2: empty lines before a request line are skipped.
            data = self._buffer = _EMPTY_LINES.sub(b"", data)
            if not data or data == b"\r":
                return
        end = data.find(b"\r\n\r\n") + 4
        if end < 4:
            self._wait_for_head(data)
            return
        head, rest = (data, b"") if end == len(data) else (data[:end], data[end:])
        self._buffer = b""
        if self.settings.successor is not None:
            self._go_over()
        try:
            request = self.settings.reader.read(head)
        except ProtocolError as error:
            self._refuse(error, head)
            return
        if request.is_rare:
            if request.ends_here:
                self._answer_options(request, head, rest)
                return
            self._kind = TiedExchange
        self._at = BUSY
        settings = self.settings
        exchange = self._exchange = self._kind(self, settings, request, len(head))
        self._total_at = exchange.started + settings.request_s
        try:
            rest = exchange.start(rest)
        except ProtocolError as error:
            exchange.refuse(error)
            return
        if rest:
            self._buffer = rest
            if self._at is IDLE:  # answered already, by ourselves
                settings.worker.loop.call_soon(self._next)

    def _wait_for_head(self, data: bytes) -> None:
        """The head is not complete. Refuse at once what can't become one."""
        limits = self.settings.listener.http.limits
        line_end = data.find(b"\r\n")
        if not _START.match(data):
            self._refuse(ProtocolError(400, Why.BAD_REQUEST, "this is not HTTP"), data)
        elif (error := unending_method(data)) is not None:
            self._refuse(error, data)
        elif line_end < 0 and len(data) > limits.line_bytes:
            detail = f"a request line of more than {limits.line_bytes} bytes"
            self._refuse(ProtocolError(414, Why.URI_TOO_LONG, detail), data)
        elif len(data) > limits.head_bytes:
            detail = f"a head of more than {limits.head_bytes} bytes"
            self._refuse(ProtocolError(431, Why.HEADER_TOO_LARGE, detail), data)
        elif data.count(b"\n") != data.count(b"\r\n"):
            self._refuse(ProtocolError(400, Why.BAD_REQUEST, "a bare LF in the head"), data)
        elif self._at is not HEAD:
            self._at = HEAD
            self.arm(monotonic(), self.settings.timeouts.client_header_s or NEVER)

    # --- what an exchange asks of its client ------------------------------------------------------------

    def exchange_ended(self, now: float, *, keep_alive: bool) -> None:
        """The answer is complete: on to the next request, or to the end."""
        exchange, self._exchange = self._exchange, None
        if self._at is GONE:
            return
        settings = self.settings
        self._total_at = NEVER
        if not keep_alive:
            self._finish(is_read=exchange is None or exchange.upload is None or exchange.upload.is_done)
            return
        self._at = IDLE
        self._unsent = None
        if self._paused_for:
            self._resume(_UPLOAD)
        self.deadline = deadline = now + settings.keepalive_s  # arm() in line
        if deadline < self.looked_at:
            settings.worker.wheel.watch(self, now)
        if self._buffer:
            settings.worker.loop.call_soon(self._next)
        elif settings.is_closing:
            self._close()

    def error_page(self, status: int, why: Why, detail: str, *, keep_alive: bool) -> bytes:
        """What the running exchange answers in the backend's place; nothing when nobody is there to read it."""
        exchange = self._exchange
        assert exchange is not None
        if self.transport.is_closing():
            return b""
        head = exchange.request.line + exchange.request.fields.forward
        return self._error_page(status, why, detail, exchange.request_id, head, exchange.backend, keep_alive=keep_alive)

    def answer(self, page: bytes, *, keep_alive: bool) -> None:
        """The running exchange has ended in this."""
        if page:
            self.transport.write(page)
        if keep_alive:
            self.exchange_ended(monotonic(), keep_alive=True)
        else:
            self._exchange = None
            self._linger()

    def break_off(self, *, with_reset: bool, at_once: bool) -> None:
        """A reply that can't be completed must not look complete: close without its last bytes, or reset where only a
        close would end it. A reset destroys what is still on its way, so it comes after that, unless it must be `at_once`."""
        self._exchange = None
        if not with_reset:
            self._close()
        elif at_once or self.transport.is_closing():
            self._at = CLOSING
            reset(self.transport)
        else:
            self._at = BREAKING
            self._unsent = None
            now = monotonic()
            self._total_at = now + (self.settings.timeouts.write_s or LINGER_S)
            self._break(now)

    def _break(self, now: float) -> None:
        """Reset as soon as the client has all that was written, or takes no more of it."""
        before, self._unsent = self._unsent, unsent(self.transport)
        if before is not None and self._unsent < before:
            self._total_at = now + (self.settings.timeouts.write_s or LINGER_S)
        if self._unsent and now < self._total_at:
            self.arm(now, BREAK_SLOW_LOOK_S if self._unsent == before else BREAK_LOOK_S)
        else:
            self._at = CLOSING
            reset(self.transport)

    def tie(self, upstream: Upstream) -> None:
        """That connection is authenticated for this client, or about to be: nobody else may ever use it."""
        self._kind = TiedExchange
        if upstream.owner is None:
            upstream.owner, upstream.home = self, self.tied
            while len(self.tied) >= MAX_TIED:
                self.tied[0].discard()

    def tie_ended(self) -> None:
        """So the client's own connection is not what the client takes it for: it ends as it would without us."""
        self.drain(is_patient=False)

    def _untie(self) -> None:
        for upstream in list(self.tied):
            upstream.discard()

    def become_tunnel(self, upstream: Upstream, lease: Lease, early: bytes, story: AccessRecord | None) -> None:
        """After a 101: hand both connections to a Relay. `early` came from the backend with its 101; `story` is what the
        access log has been told of the request, if there is one."""
        worker, settings = self.settings.worker, self.settings
        exchange, self._exchange = self._exchange, None
        assert exchange is not None
        self._at = GONE
        worker.wheel.forget(self)
        self.deadline = NEVER
        worker.connections.discard(self)
        self._untie()
        waiting, self._buffer = self._buffer, b""
        upload = exchange.upload
        if upload is not None:
            waiting = upload.held + waiting
        mine, theirs = self.transport, upstream.transport
        keep_alive(theirs.get_extra_info("socket"))
        # What was offered alone is what was agreed on. Frames can't be told from what is left of a body.
        is_websocket = exchange.request.fields.upgrade.lower() == b"websocket" and (upload is None or upload.is_done)
        end: type[TunnelEnd] = WebSocketEnd if is_websocket else TunnelEnd
        relay: Callable[..., Relay] = WebSocketRelay if is_websocket else Relay
        client_end, upstream_end = end(worker.connections), end(None)
        client_end.clients = self.clients
        client_end.take_over(mine, waiting, is_paused=bool(self._paused_for), is_full=self.is_write_paused)
        upstream_end.take_over(theirs, early, is_paused=upstream.is_paused, is_full=upstream.is_full)
        timeouts, account = settings.timeouts, Tunnel(worker, lease, story)
        relay(client_end, upstream_end, worker.wheel, timeouts.tunnel_s, timeouts.half_closed_s, account, monotonic())

    def arm(self, now: float, timeout_s: float) -> None:
        """Be asked to expire() in `timeout_s` from `now`, and no later than the whole request may take."""
        deadline = now + timeout_s
        if deadline > self._total_at:
            deadline = self._total_at
        self.deadline = deadline
        if deadline < self.looked_at:
            self.settings.worker.wheel.watch(self, now)

    def has_taken_some(self) -> bool:
        """Whether the client took any of what waits for it since last asked; the first time, whether any waits."""
        before, self._unsent = self._unsent, unsent(self.transport)
        return self._unsent > 0 if before is None else self._unsent < before

    def own_host(self) -> bytes:
        """Where the client has reached us, for a Host that it left out."""
        return local_host(self.transport)

    def has_left(self) -> bool:
        """Whether the client has gone while nobody was reading."""
        return has_left(self.transport)

    def expire(self, now: float) -> None:
        """Whoever should have spoken by now has not."""
        if self._exchange is not None:
            self._exchange.expire(now)
        elif self._at is HEAD and not self.is_write_paused:
            self._refuse(ProtocolError(408, Why.HEADER_TIMEOUT, "the request's head did not come"), self._buffer)
        elif self._at is GONE:
            self.deadline = NEVER
        elif self._at is BREAKING:
            self._break(now)
        elif self.has_taken_some():
            self.arm(now, self.settings.timeouts.write_s or LINGER_S)
        else:
            self._at = CLOSING
            self.transport.abort()

    def give_up(self) -> None:
        """A bug in our own code, after which nobody knows where we are: connection_lost() gives back what is held."""
        self.transport.abort()

    # --- the end --------------------------------------------------------------------------------------

    def drain(self, *, is_patient: bool) -> None:
        """Close if nothing is going on. While `is_patient`, one that has not asked for anything yet may still do so."""
        if self._at > IDLE or self._buffer or (self._at is FRESH and is_patient):
            return
        if is_silent(self.transport):  # else a request has come that is only not read yet
            end_now(self.transport)
            self._close()

    def idle_since(self, now: float) -> float:
        """Since when it has waited for a request, NEVER while anything is going on. One that is new is busy for a moment."""
        settings = self.settings
        if self._at is IDLE and not self._buffer:
            return self.deadline - settings.keepalive_s if settings.keepalive_s != NEVER else 0.0
        if self._at is FRESH and not self._buffer and settings.timeouts.client_header_s:
            since = self.deadline - settings.timeouts.client_header_s
            return since if now - since >= FIRST_REQUEST_S else NEVER
        return NEVER

    def reclaim(self) -> bool:
        """Close it for another client's sake, if it is idle still. Whether it was."""
        self.drain(is_patient=False)
        return self._at is CLOSING

    def farewell(self) -> None:
        """A reply says Connection: close, and its end is the word."""

    def cut(self) -> None:
        """The deadline of a drain."""
        if self._exchange is not None:
            self._exchange.cut()
        self.transport.abort()

    def _next(self) -> None:
        """Go on with what waits, if it is its turn."""
        if self._buffer and self._at <= HEAD and not self.is_write_paused and not self.transport.is_closing():
            try:
                self._take_head()
            except Exception:  # here no transport is watching
                if self._exchange is not None:
                    self._exchange.why = Why.INTERNAL_ERROR
                self.give_up()
                raise
            if len(self._buffer) <= MAX_WAITING:
                self._resume(_WAITING)

    def _finish(self, *, is_read: bool) -> None:
        """The last answer is on its way. Where unread bytes would turn the close into a reset, let it be read first
        (RFC 9112 section 9.6)."""
        if self._buffer or self._paused_for or not is_read:
            self._linger()
        else:
            self._close()

    def _linger(self) -> None:
        """End our direction, and read what still comes for a while without looking at it."""
        if self.transport.is_closing():
            return
        self._at = LINGERING
        self._buffer = b""
        now = monotonic()
        self._total_at = now + LINGER_TOTAL_S
        self._resume(_WAITING | _UPLOAD)
        self.transport.write_eof()
        self._unsent = unsent(self.transport)
        self.arm(now, LINGER_S)

    def _close(self) -> None:
        """Close when what was written has gone out, or after `write` without progress."""
        self._at = CLOSING
        if not self.transport.is_closing():
            self.transport.close()
            self._total_at = NEVER
            self._unsent = unsent(self.transport)
            self.arm(monotonic(), self.settings.timeouts.write_s or LINGER_S)
