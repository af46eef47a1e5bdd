"""A connection of HTTP/2 to a backend: a transport below, a session of `balance.http2` in it, the streams of exchanges above.

What a read has brought is told to the exchanges at its end, so that a small reply is one piece; what is to be sent goes out
once a turn of the event loop. No PINGs are sent: gRPC servers end a connection for them (`too_many_pings`). A peer that
vanished is found by TCP: keep-alive while nothing is under way, TCP_USER_TIMEOUT for what it does not acknowledge.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from typing import TYPE_CHECKING, Final, cast

from balance.http1.response import MAX_FIELDS, MAX_HEAD
from balance.http2.errors import HTTP_1_1_REQUIRED, NO_ERROR, REFUSED_STREAM
from balance.http2.handler import SessionHandler
from balance.http2.response_head import ResponseHead
from balance.http2.session import Session, SessionLimits
from balance.http2.stream import Stream
from balance.proxy.http.http2_backends.stream_upstream import HELD_LEAST, StreamUpstream
from balance.proxy.listener_settings import ListenerSettings
from balance.proxy.net.sockets import is_silent, keep_alive, limit_unacknowledged, read_at_once, read_now
from balance.proxy.worker_context import WorkerContext
from balance.runtime import counters
from balance.runtime.backend import Backend
from balance.runtime.max_connections import UNLIMITED
from balance.tls.backend_context import UpstreamTls
from balance.tls.backend_failure import late_refusal

if TYPE_CHECKING:
    from balance.proxy.http.http2_backends.connection_pool import ConnectionPool

STREAMS: Final = 100  # at once on a connection, whatever more the backend allows, and before it has said how many
UNHEARD_S: Final = 1.0  # a request that ends without an answer, while all was silent for so long, is the connection's last

_LIMITS: Final = SessionLimits(streams=STREAMS, fields=MAX_FIELDS, head_bytes=MAX_HEAD)
_HTTP1: Final = b"HTTP/1."  # with which a backend answers that does not know the preface
_BROKEN_OFF: Final = ConnectionResetError("it ended")  # one object, as compiled classes can't inherit from it


class UpstreamConnection(SessionHandler):
    """Parked in `backend.idle` while no exchange uses it, by the same rules as a connection of HTTP/1 is."""

    __slots__ = ("_goes_on", "_is_counted", "_is_feeding", "_is_http1", "_is_paused", "_is_scheduled", "_most", "_tls",
                 "_told", "backend", "connect_s", "full", "is_lost", "is_spent", "max_idle", "parked_at", "pool", "read_at",
                 "served", "session", "transport", "used", "worker")  # fmt: skip

    def __init__(self, pool: ConnectionPool, worker: WorkerContext, backend: Backend, tls: UpstreamTls | None) -> None:
        self.pool = pool
        self.worker = worker
        self.backend = backend
        self._tls = tls
        self.transport: asyncio.Transport = cast(asyncio.Transport, None)  # until connection_made
        now = time.monotonic()
        self.session: Session = Session(self, _LIMITS, now, is_server=False)
        self.connect_s = now  # the start of the dial; from opened() on its duration
        self.read_at = 0.0  # of the last read; 0: there was none
        self.parked_at = 0.0
        self.used = 0  # exchanges that have a stream, or are about to
        self.served = 0  # requests sent on it
        self.max_idle = 1  # http.keepalive.max_idle_per_backend of the last request
        self.is_spent = False  # takes no more requests
        self.full: list[StreamUpstream] = []  # that can take no more of their requests' bodies
        self._most = pool.streams  # streams at once; lower once it has refused one
        self._told: list[StreamUpstream] = []  # that have something to tell at the end of this read
        self._goes_on = False  # in the next turn of the loop
        self._is_counted = False
        self._is_feeding = False
        self._is_http1 = False  # it answers so
        self._is_paused = False
        self._is_scheduled = False
        self.is_lost = False

    # --- as a protocol of the transport ------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        read_at_once(transport)
        sock = transport.get_extra_info("socket")
        keep_alive(sock)
        limit_unacknowledged(sock)
        self.schedule()

    def opened(self) -> None:
        """The dial has succeeded: count the connection. See Upstream.opened()."""
        if self.is_lost:
            self.worker.descriptors.upstreams -= 1
            return
        self._is_counted = True
        self.connect_s = time.monotonic() - self.connect_s
        self.backend.open_count += 1

    def data_received(self, data: bytes) -> None:
        if not self.read_at:
            self._is_http1 = data[: len(_HTTP1)] == _HTTP1
        self.read_at = time.monotonic()
        self._feed(data)

    def _go_on_later(self) -> None:
        """In the next turn of the loop: not among clients whose bytes are dear, who share a part of each (`net/turns`)."""
        if not self._goes_on:
            self._goes_on = True
            self.worker.loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        """There was more in what was read, or to be sent, than one turn may take."""
        self._goes_on = False
        if self.transport.is_closing():
            return
        try:
            self._feed(b"")
        except Exception:  # called outside a transport callback, which would end the connection
            self.transport.abort()
            raise

    def _feed(self, data: bytes) -> bool:
        """What was read; whether there is more to do in the next turn."""
        self._is_feeding = True
        session = self.session
        try:
            has_more = session.feed(data, time.monotonic())
            told, self._told = self._told, []
            for upstream in told:
                self._tell(upstream)
        finally:
            self._is_feeding = False
        if has_more:
            if session.has_backlog and not self._is_paused:
                self._is_paused = True
                self.transport.pause_reading()
            self._go_on_later()
        elif self._is_paused and not self.transport.is_closing():
            self._is_paused = False
            self.transport.resume_reading()
        self._write()
        self._let_go_on()
        if session.is_closed:
            self.transport.close()
        elif not self.used and session.is_leaving:
            self.close()
        return has_more

    def _tell(self, upstream: StreamUpstream) -> None:
        """One exchange's fault of ours ends no other."""
        exchange = upstream.exchange
        try:
            upstream.tell()
        except Exception as error:
            if exchange is not None:
                exchange.crashed()
            upstream.discard()
            self.worker.loop.call_exception_handler({"message": "a reply over HTTP/2 failed", "exception": error})

    def eof_received(self) -> bool:
        self._feed_the_rest()
        return False  # closes the transport; connection_lost() follows

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_lost = True
        if self.used:
            self._feed_the_rest()
            if isinstance(exc, OSError):
                self._read_the_rest()
        if self._is_counted:
            self.backend.open_count -= 1
            self.worker.descriptors.upstreams -= 1
        self.pool.lose(self)
        self.is_spent = True
        self._leave_park()
        refused = late_refusal(exc) if self._tls is not None and not self.read_at else None
        if refused is not None and self._tls is not None:
            self._tls.forget()
            self.worker.row.cells[self.backend.block + counters.CONNECT_FAILURES] += 1
        for stream in list(self.session.streams.values()):
            upstream = _owner(stream)
            if upstream is None or upstream.exchange is None:
                continue
            upstream.is_lost = True
            if refused is not None:
                upstream.exchange.upstream_refused(refused)
            if upstream.exchange is None:
                continue
            if exc is None or isinstance(exc, OSError):
                upstream.exchange.upstream_ended(exc)
            else:
                upstream.exchange.crashed()

    def _feed_the_rest(self) -> None:
        """What was read and waits for its turn: the last of a connection is often a GOAWAY, behind all replies."""
        while self._feed(b""):
            pass

    def _read_the_rest(self) -> None:
        """Read what arrived before a write failed, as uvloop then stops reading: a GOAWAY says what was not looked at.

        A server that closes with something unread resets the connection (nginx does, at `keepalive_requests`).
        """
        while not self.session.is_closed and (data := read_now(self.transport)):
            if self._feed(data):
                self._feed_the_rest()

    def pause_writing(self) -> None:
        self.session.out.is_blocked = True

    def resume_writing(self) -> None:
        self.session.out.unblock()
        self._flush()

    # --- for streams ---------------------------------------------------------------------------------------

    @property
    def has_room(self) -> bool:
        """Whether it takes another request now."""
        session = self.session
        return (
            not self.is_spent
            and len(session.streams) < self._most
            and len(session.streams) < session.peer_streams
            and not session.is_leaving
            and not session.is_closed
            and not self.transport.is_closing()
        )

    @property
    def load(self) -> int:
        """How many streams it has."""
        return len(self.session.streams)

    def is_fit(self, now: float, *, is_safe: bool) -> bool:
        """Whether a parked one may be used: not parked for too long, and with nothing unread where a request may not be sent
        twice. Any other is.
        """
        if not self.parked_at:
            return True
        return now - self.parked_at <= self.backend.idle_time.limit_s(now) and (is_safe or is_silent(self.transport))

    def use(self) -> StreamUpstream:
        """A stream for an exchange, which is opened when its request is sent: in this turn, or there may be no room."""
        self._leave_park()
        self.used += 1
        return StreamUpstream(self)

    def sent(self, settings: ListenerSettings) -> None:
        """A request was sent."""
        self.served += 1
        self.max_idle = settings.max_idle
        if settings.max_requests != UNLIMITED and self.served >= settings.max_requests:
            self.is_spent = True
        self.schedule()

    def over(self, now: float) -> None:
        """An exchange is done with its stream."""
        self.used -= 1
        if self.served == 1 and self._tls is not None and not self.transport.is_closing():
            made = self.transport.get_extra_info("ssl_object")
            if isinstance(made, ssl.SSLObject):
                self._tls.remember(made)  # with TLS 1.3 a ticket comes after the handshake
        if not self.used:
            self._rest(now)
        if not self.transport.is_closing():
            self.schedule()

    def refused(self) -> None:
        """The backend has refused a stream: it allows fewer than we have."""
        self._most = max(1, min(self._most, len(self.session.streams) - 1))

    def is_unheard(self, since: float, now: float) -> None:
        """A request that was sent at `since` got no answer: if nothing else came either, this connection may be dead."""
        if now - since >= UNHEARD_S and self.read_at < since:
            self.is_spent = True

    def schedule(self) -> None:
        """Write at the end of this turn."""
        if not self._is_scheduled and not self._is_feeding:
            self._is_scheduled = True
            self.worker.loop.call_soon(self._flush)

    def close(self) -> None:
        """Say that no more streams come, and close."""
        self.is_spent = True
        self._leave_park()
        self.pool.lose(self)
        if not self.transport.is_closing():
            self.session.leave_now()
            if self.session.out.is_blocked:
                self.transport.abort()
            else:
                self._write()
                self.transport.close()

    # --- as a parked one -------------------------------------------------------------------------------------

    def discard(self) -> None:
        """Close now and leave the parked list."""
        self.close()

    def rest_if_unused(self) -> None:
        """After the dial: those that it was for may have found room elsewhere."""
        if not self.used and not self.parked_at and not self.is_lost:
            self._rest(time.monotonic())

    def _rest(self, now: float) -> None:
        """No exchange uses it: park, or close."""
        parking = self.backend.idle
        if (
            self.is_spent
            or self.pool.is_retired
            or self.worker.is_draining
            or self.session.is_leaving
            or len(parking) >= self.max_idle
            or self.transport.is_closing()
        ):
            self.close()
        else:
            self.parked_at = now
            parking.append(self)

    def _leave_park(self) -> None:
        if self.parked_at:
            self.parked_at = 0.0
            if self in self.backend.idle:
                self.backend.idle.remove(self)

    # --- out --------------------------------------------------------------------------------------------------

    def _flush(self) -> None:
        self._is_scheduled = False
        if self.transport.is_closing():
            return
        if self.session.flush():
            self._go_on_later()
        self._write()
        self._let_go_on()

    def _write(self) -> None:
        parts = self.session.out.parts
        if parts:
            data = parts[0] if len(parts) == 1 else b"".join(parts)
            parts.clear()
            if not self.transport.is_closing():
                self.transport.write(data)

    def _let_go_on(self) -> None:
        """Those whose bodies were held and have gone out take more."""
        if self.full:
            full, self.full = self.full, []
            for upstream in full:
                if upstream.held_bytes > HELD_LEAST:
                    self.full.append(upstream)
                elif upstream.is_full:
                    upstream.go_on()

    # --- what the session says --------------------------------------------------------------------------------

    def on_response(self, stream: Stream, head: ResponseHead, *, ends: bool) -> None:
        upstream = _owner(stream)
        if upstream is not None:
            upstream.head_came(head, ends=ends)
            self._tell_later(upstream)
        elif ends:
            self._ended(stream)

    def on_content(self, stream: Stream, content: bytes, *, ends: bool) -> None:
        upstream = _owner(stream)
        if upstream is None:
            self.session.taken(stream, len(content))
            if ends:
                self._ended(stream)
            return
        upstream.content_came(content, ends=ends)
        self._tell_later(upstream)

    def on_trailers(self, stream: Stream, lines: bytes) -> None:
        upstream = _owner(stream)
        if upstream is None:
            self._ended(stream)
            return
        upstream.trailers_came(lines)
        self._tell_later(upstream)

    def on_reset(self, stream: Stream, code: int, detail: str, *, is_ours: bool) -> None:
        upstream = _owner(stream)
        if upstream is None:
            self._ended(stream)
            return
        if not is_ours and code == REFUSED_STREAM:
            self.refused()
        upstream.tell()
        exchange = upstream.exchange
        if exchange is None:
            return
        if is_ours:
            exchange.upstream_malformed(detail)
        elif code == REFUSED_STREAM:
            exchange.upstream_unprocessed()
        elif code == HTTP_1_1_REQUIRED and self.backend.protocol == "auto":
            exchange.upstream_unprocessed(needs_http1=True)
        else:
            exchange.upstream_reset(_BROKEN_OFF)

    def on_unprocessed(self, stream: Stream) -> None:
        upstream = _owner(stream)
        if upstream is None:
            self._ended(stream)
            return
        upstream.tell()
        if upstream.exchange is not None:
            upstream.exchange.upstream_unprocessed()

    def on_going_away(self, code: int, detail: str) -> None:
        if code != NO_ERROR:
            self.worker.reply_not_understood(self.backend, f"it ends a connection of HTTP/2 with code {code}: {detail}")
        if self.parked_at:
            now = time.monotonic()
            self.backend.idle_time.closed_after(now - self.parked_at, now)
            self._leave_park()
        self.pool.lose(self)

    def on_settings(self) -> None:
        self._most = self.pool.allows(self.session.peer_streams)

    def on_many_offences(self, what: str) -> None:
        self.is_spent = True

    def on_fault(self, code: int, detail: str) -> None:
        if self._is_http1:
            detail = "it answers as HTTP/1"
            self.worker.reply_not_understood(self.backend, f"{detail}, and its protocol here is {self.backend.protocol}")
        else:
            self.worker.reply_not_understood(self.backend, f"its HTTP/2 is not understood: {detail}")
        self.pool.lose(self)
        for stream in list(self.session.streams.values()):
            upstream = _owner(stream)
            if upstream is not None:
                upstream.tell()
                if upstream.exchange is not None:
                    upstream.exchange.upstream_malformed(detail)

    def _tell_later(self, upstream: StreamUpstream) -> None:
        if not upstream.is_told:
            upstream.is_told = True
            self._told.append(upstream)

    def _ended(self, stream: Stream) -> None:
        """The end of a stream that nobody waits for: its reply was complete before."""
        self.session.release(stream, time.monotonic())


def _owner(stream: Stream) -> StreamUpstream | None:
    """Whoever waits for its reply."""
    return cast(StreamUpstream, stream.owner) if stream.owner is not None else None
