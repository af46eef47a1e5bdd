"""A client's connection of HTTP/2: the shell around a Session, which has the protocol. One feed a read, one write a turn.

What streams write in one turn of the event loop goes out together, at its end. Who sends more frames at once than a turn takes
is read on in a later turn. The connection ends in two steps, so that no request is lost (RFC 9113 section 6.8): in a quiet
moment a GOAWAY that refuses nothing and a PING; at its answer, or after GOODBYE_S, the GOAWAY with the last stream that is
served; and when the streams are done, the close.
"""

from __future__ import annotations

import asyncio
import enum
import logging
from time import monotonic
from typing import Any, Final

from balance.errors import ProtocolError
from balance.holder import Holder
from balance.http2.errors import ENHANCE_YOUR_CALM, INADEQUATE_SECURITY
from balance.http2.flow.outflow import MOST_WAITING
from balance.http2.handler import SessionHandler
from balance.http2.offences import Offences
from balance.http2.request_head import RequestHead
from balance.http2.session import Session, SessionLimits
from balance.http2.stream import Stream
from balance.model import Why
from balance.proxy.clients import Clients
from balance.proxy.http.connection_auth import ConnectionAuth
from balance.proxy.http.ends.connected_client import ConnectedClient
from balance.proxy.http.error_replies import refusal
from balance.proxy.http.upstream import Upstream
from balance.proxy.http2.client_stream import ClientStream
from balance.proxy.http2.departure import QUIET_S, Departure
from balance.proxy.listener_settings import ListenerSettings
from balance.proxy.net.polled_transport import PolledTransport
from balance.proxy.net.sockets import end_now, is_silent, unsent
from balance.proxy.net.timer_wheel import NEVER
from balance.proxy.tls.tls_transport import TlsTransport
from balance.runtime import counters

log: Final = logging.getLogger("balance.worker")

FIRST_REQUEST_S: Final = 1.0  # seconds after which a new connection without a request counts as idle
GOODBYE_S: Final = 1.0  # for the answer that says that the client has seen our first GOAWAY
LINGER_S: Final = 2.0  # after the last byte, for the client to close, which it does when it has read the GOAWAY
WRITE_S: Final = 5.0  # for what is unsent at a close, where there is no `write` timeout
# Bytes that the transport holds, above which the client is not read from. Content waits in its streams long before; what is
# beyond are heads and resets, each of which frees its stream's place. Who uploads before he reads stays far below.
MOST_UNSENT: Final = 262_144
LEAST_PROGRESS: Final = 1024  # bytes; a client that takes fewer at a time than this, forever, holds what waits for it
BACK: Final = 0.05  # of the bucket for floods comes back each second
# Seconds for which a client is read on at once, where more has come than is read at once, and nobody waits for a turn.
AT_ONCE_S: Final = 0.0001
MOST_FRESH: Final = 4  # requests that are to begin; then they do
SMALL: Final = 1024  # bytes of content, below which it is gathered while more has come: each is a write to a backend
GATHER_S: Final = 0.001  # the longest that it waits; each write is a packet, and a million of those hold the kernel up, too
JITTER: Final = 0.1  # of `max_connection_age`, so that connections that were made together do not end together
AEAD: Final = ("GCM", "CCM", "CHACHA20")  # parts of the names of suites (RFC 9113 section 9.2.2)


class ConnectionState(enum.IntEnum):
    """The state of a client's connection of HTTP/2."""

    OPEN = 0
    LINGERING = 1  # all is said; what is received is thrown away
    CLOSING = 2
    GONE = 3


OPEN: Final = ConnectionState.OPEN
LINGERING: Final = ConnectionState.LINGERING
CLOSING: Final = ConnectionState.CLOSING
GONE: Final = ConnectionState.GONE


class ConnectionClient(ConnectedClient):
    """Who is at the other end, for the streams, and when they and their connection are looked at again: the earliest of their
    deadlines, or before. One in the wheel for all of them, as most streams live shorter than it takes to be put there and taken
    out.
    """

    __slots__ = ("connection",)

    def __init__(self, connection: ClientConnection, address: Any) -> None:
        ConnectedClient.__init__(self, address)
        self.connection: ClientConnection | None = connection  # until it is gone

    def expire(self, now: float) -> None:
        self.deadline = NEVER
        if self.connection is not None:
            self.connection.expire(now)

    def give_up(self) -> None:
        if self.connection is not None:
            self.connection.give_up()


_NOBODY: Final = SessionHandler()  # in the place of a connection that is gone


class ClientConnection(SessionHandler):
    """One connection. Its streams are the clients of exchanges."""

    __slots__ = ("_age_at", "_by", "_cut_at", "_departure", "_fresh", "_gathering", "_gathers_until", "_holder",
                 "_idle_since", "_is_due", "_is_feeding", "_is_held", "_is_over", "_is_paused", "_said_goodbye", "_state",
                 "_taken", "_written", "blocked", "client", "clients", "session", "settings", "transport")  # fmt: skip

    transport: asyncio.Transport  # set by connection_made()
    session: Session  # likewise

    def __init__(
        self, holder: Holder[ListenerSettings], clients: Clients | None = None, address: Any = None, by: float = NEVER
    ) -> None:
        """`holder` has its settings. `clients` counts it until it ends. `address`: the peer; None: the transport's.

        `by`: when the preface has to be there, seconds, monotonic; NEVER: the `client_header` timeout from now on.
        """
        self.settings = holder.held
        self._holder = holder
        self.clients = clients
        self._state = OPEN
        self._is_feeding = False
        self._fresh: list[tuple[Stream, RequestHead, bool]] = []  # requests that are to begin
        self._gathers_until = 0.0
        self._gathering: list[ClientStream] = []  # those that have small content which is to go on
        self._is_due = False  # a turn will come
        self._is_over = False  # a fault has ended it
        self._is_paused = False  # it is not read from: more has come than was read in its turn, or it is held
        self._is_held = False  # it does not read: what it asks for next waits until it does
        self._departure: Departure | None = None  # from when it is to end on
        self._said_goodbye = False
        self._idle_since = monotonic()
        self._age_at = NEVER  # when it is old: it ends in two steps then
        self._cut_at = NEVER  # when that has taken too long
        self._written = 0  # bytes
        self._taken = 0  # bytes of them at the last look
        self.blocked: set[ClientStream] = set()  # streams that wait for room
        self.client = ConnectionClient(self, address)
        self._by = by  # the connection's own deadline

    # --- the connection -------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]  # it is a full Transport
        settings = self.settings
        worker = settings.worker
        self.client.introduce(settings, True, transport)
        worker.connections.add(self)
        worker.row.cells[counters.CONNECTIONS] += 1
        now = monotonic()
        http = settings.listener.http
        streams, most = http.http2.max_concurrent_streams, http.http2.flood_limit
        limits = SessionLimits(streams, http.limits.fields, http.limits.head_bytes, http.websocket)
        self.session = Session(self, limits, now, is_server=True)
        self.session.offences = Offences(now, most, most * BACK)
        if http.http2.max_connection_age_s:
            self._age_at = now + lifetime_s(http.http2.max_connection_age_s, worker.rand())
        self._wait_until(min(self._by, now + (settings.timeouts.client_header_s or NEVER)), now)
        cipher = transport.get_extra_info("cipher")
        if cipher is not None and cipher[1] == "TLSv1.2" and not any(part in cipher[0] for part in AEAD):
            self.session.refuse(INADEQUATE_SECURITY, "HTTP/2 is not spoken with this cipher suite")
        self.wake()

    @property
    def client_address(self) -> str:
        return self.client.peer

    def connection_lost(self, exc: Exception | None) -> None:
        self._state = GONE
        settings = self.settings
        worker = settings.worker
        worker.connections.discard(self)
        if self.clients is not None:
            self.clients.leave()
        is_bug = exc is not None and not isinstance(exc, OSError)
        self._end_streams(is_bug=is_bug)
        worker.wheel.forget(self.client)
        self.client.deadline = NEVER
        if self.client.connection_auth is not None:
            self.client.connection_auth.close()
        self.client.connection = None  # each holds the other: else they would wait for the garbage collector
        self.session.handler = _NOBODY

    def _end_streams(self, *, is_bug: bool = False) -> None:
        """The client is not there any more, or is not served any more."""
        now = monotonic()
        for stream in list(self.session.streams.values()):
            owner = stream.owner
            if isinstance(owner, ClientStream):
                owner.gone(now, is_bug=is_bug)
            else:
                self.session.release(stream, now)

    def eof_received(self) -> bool:
        if self._state is OPEN:  # as with HTTP/1, an end aborts what is under way
            self._end_streams()
            self._close_now()
        return False

    def data_received(self, data: bytes) -> None:
        if self._state is not OPEN:
            if self._state is LINGERING:  # whoever floods does not stop at our GOAWAY
                self._read_later()
            return
        now = monotonic()
        session = self.session
        if session.has_input or (session.offences.worst and session.offences.is_suspect(now)):
            session.keep(data)
            self._read_later()
            return
        self._read(data, now)

    def _read_later(self) -> None:
        """In the turns of those who make work, which have some time of each turn of the event loop together."""
        self._pause()
        self.settings.worker.turns.add(self)

    def _pause(self) -> None:
        if not self._is_paused and not self.transport.is_closing():
            self._is_paused = True
            self.transport.pause_reading()
            if isinstance(self.transport, (PolledTransport, TlsTransport)):
                self.transport.read_little()  # what comes waits, and 256 KB of it take half a millisecond to read

    def _read(self, data: bytes, now: float) -> None:
        session = self.session
        self._is_feeding = True
        has_more = session.feed(data, now)
        if session.has_input and not self.settings.worker.turns:
            end = now + AT_ONCE_S
            while session.has_input and len(self._fresh) < MOST_FRESH and monotonic() < end:
                has_more = session.feed(b"", now)
        if self._fresh and (not session.has_input or len(self._fresh) >= MOST_FRESH):
            self._start_fresh()
        if self._gathering:
            is_over = not session.has_input or self._state is not OPEN or session.out.is_blocked
            if is_over or now >= self._gathers_until:
                self._pass_on_gathered()
        self._is_feeding = False
        self._end_turn(has_more, now)

    def _pass_on_gathered(self) -> None:
        gathering, self._gathering = self._gathering, []
        for owner in gathering:
            owner.read_on()

    def spliced(self, size: int) -> None:
        """See Receiver. Not called: no bytes of HTTP pass by unread."""

    def pause_writing(self) -> None:
        self.session.out.is_blocked = True

    def resume_writing(self) -> None:
        self.session.out.unblock()
        if self._is_held:
            self._is_held = False
            self.settings.worker.turns.add(self)
        self.wake()

    # --- turns ----------------------------------------------------------------------------------------

    def wake(self) -> None:
        """Something is to be written: at the end of this turn."""
        if not self._is_due and not self._is_feeding and self._state is OPEN:
            self._is_due = True
            self.settings.worker.loop.call_soon(self._turn)

    def _turn(self) -> None:
        self._is_due = False
        if self._state is OPEN:
            try:
                self._end_turn(self.session.flush(), monotonic())
            except Exception:  # called by the event loop, so no transport ends the connection
                self.give_up()
                raise

    def take_turn(self) -> None:
        """Read more of what has come."""
        if self._state is OPEN and self._is_paused and not self._is_held:
            try:
                self._read(b"", monotonic())
            except Exception:
                self.give_up()
                raise
        elif self._state is LINGERING and self._is_paused:
            self._is_paused = False
            self.transport.resume_reading()

    def _end_turn(self, has_more: bool, now: float) -> None:
        """Go on with those that have room now, write, and see whether there is more to do."""
        if self.blocked:
            self._is_feeding = True
            for stream in list(self.blocked):
                stream.look(now)
            self._is_feeding = False
        self._write()
        if self._state is not OPEN:
            return
        session = self.session
        if not session.streams and (self._is_over or session.is_final or (session.is_leaving and not self._said_goodbye)):
            self._close(now)
            return
        if session.out.is_blocked and (self._is_held or self.transport.get_write_buffer_size() > MOST_UNSENT):
            self._is_held = True
            self._pause()
            return
        if has_more or session.out.parts:
            if session.has_input:
                self._read_later()
            else:
                self.wake()
        if self._is_paused and not session.has_input and not self.transport.is_closing():
            self._is_paused = False
            self.transport.resume_reading()

    def _write(self) -> None:
        out = self.session.out
        parts = out.parts
        if parts:
            out.parts = []
            if not self.transport.is_closing():
                data = parts[0] if len(parts) == 1 else b"".join(parts)
                self._written += len(data)
                self.transport.write(data)

    # --- calls from the session -----------------------------------------------------------------------

    def on_request(self, stream: Stream, head: RequestHead, *, ends: bool) -> None:
        self._fresh.append((stream, head, ends))

    def _start_fresh(self) -> None:
        """What was asked for begins when what has come behind it is read: who resets at once makes no work."""
        fresh, self._fresh = self._fresh, []
        for stream, head, ends in fresh:
            if not stream.is_reset:
                self._begin(stream).start(head, ends=ends)

    def on_too_large(self, stream: Stream, *, ends: bool) -> None:
        self._begin(stream).refuse_head()

    def _begin(self, stream: Stream) -> ClientStream:
        successor = self.settings.successor
        if successor is not None:  # use the settings of the last reload from this request on
            self._holder = successor
            self.settings = successor.held
            self.client.introduce(self.settings, True)
        settings = self.settings
        if self._departure is None:
            self._by = NEVER
            if settings.is_closing:
                self._depart(monotonic())
            elif self._age_at != NEVER:
                self._wait_until(self._age_at, monotonic())
        made = ClientStream(self, stream)
        stream.owner = made
        return made

    def on_malformed(self, detail: str) -> None:
        """A request that can't be read, and was reset: it is counted and logged as one that is answered 400."""
        refusal(self.settings, ProtocolError(400, Why.BAD_REQUEST, detail), b"", self.client.peer, 0.0)

    def on_content(self, stream: Stream, content: bytes, *, ends: bool) -> None:
        if self._fresh:
            self._start_fresh()
        owner = stream.owner
        if isinstance(owner, ClientStream):
            if not ends and len(content) < SMALL and self.session.has_rest:
                if owner.gather(content):
                    if not self._gathering:
                        self._gathers_until = monotonic() + GATHER_S
                    self._gathering.append(owner)
            else:
                owner.received(content, b"", ends=ends)
        else:  # it was answered when its head was looked at, just now
            self.session.taken(stream, len(content))

    def on_trailers(self, stream: Stream, lines: bytes) -> None:
        if self._fresh:
            self._start_fresh()
        owner = stream.owner
        if isinstance(owner, ClientStream):
            owner.received(b"", lines, ends=True)

    def on_reset(self, stream: Stream, code: int, detail: str, *, is_ours: bool) -> None:
        owner = stream.owner
        if isinstance(owner, ClientStream):
            owner.reset(detail, is_ours=is_ours)
            return
        if is_ours:
            self.on_malformed(detail)
        self._fresh = [each for each in self._fresh if each[0] is not stream]
        now = monotonic()
        self.session.release(stream, now)
        self.stream_ended(now)

    def on_settings(self) -> None:
        """The preface is whole."""
        if not self.session.last_id:
            self._wait(monotonic())

    def on_going_away(self, code: int, detail: str) -> None:
        """The client goes when its streams are done."""

    def on_many_offences(self, what: str) -> None:
        self._say_goodbye(monotonic())

    def on_fault(self, code: int, detail: str) -> None:
        self._is_over = True
        settings = self.settings
        worker = settings.worker
        is_flood = code == ENHANCE_YOUR_CALM
        worker.row.cells[counters.WHY + (Why.HTTP2_FLOOD if is_flood else Why.HTTP2_ERROR)] += 1
        kind = detail if is_flood else "error"  # there are a dozen words for floods, and others without end
        worker.http2_ended(
            kind, f"listener {settings.listener.name}: the HTTP/2 connection of {self.client.peer} is ended: {detail}"
        )
        self._end_streams()

    # --- calls from the streams -----------------------------------------------------------------------

    def stream_ended(self, now: float) -> None:
        """A stream is over: its place is free."""
        if self.settings.is_closing and self._departure is None and self._state is OPEN:
            self._depart(now)
        if not self.session.streams:
            self._wait(now)
        self.wake()

    def _wait(self, now: float) -> None:
        """For the next request."""
        self._idle_since = now
        if self._departure is None:
            if self._state is OPEN:
                self._wait_until(min(now + self.settings.keepalive_s, self._age_at), now)
        elif self._state is OPEN and self._departure.ends_burst(self.session.last_id, now):
            self._say_goodbye(now)

    def _wait_until(self, by: float, now: float) -> None:
        """The connection's own deadline is this one."""
        self._by = by
        if by < self.client.deadline:
            self.look_by(by, now)

    def look_by(self, by: float, now: float) -> None:
        """Look at all deadlines then, which is earlier than was known."""
        client = self.client
        client.deadline = by
        if by < client.looked_at:
            self.settings.worker.wheel.watch(client, now)

    def wrote(self, stream: Stream) -> None:
        """Content of this one is written, or held until its client takes it."""
        owner = stream.owner
        if isinstance(owner, ClientStream):
            owner.wrote()
        if self.session.out.held_bytes > MOST_WAITING:  # before the other backends' replies are read
            for owner in self._owners():
                owner.hold()
        self.wake()

    @property
    def taken_bytes(self) -> int:
        """Bytes of content that the client has acknowledged, of all streams, less what else is on its way. Answers to its
        PINGs are none: it could ask for some forever.
        """
        return self.session.out.content_bytes - unsent(self.transport)

    def _has_progressed(self) -> bool:
        """Whether the client has taken LEAST_PROGRESS bytes since the last call, of all that was written before the close."""
        before, self._taken = self._taken, self._written - unsent(self.transport)
        return self._taken - before >= LEAST_PROGRESS

    def own(self, upstream: Upstream) -> ConnectionAuth:
        """Reserve `upstream`: its PROXY header names this client."""
        if self.client.connection_auth is None:
            self.client.connection_auth = ConnectionAuth(self)
        self.client.connection_auth.claim(upstream)
        return self.client.connection_auth

    def proxy_header(self, version: str) -> bytes:
        """The PROXY header that names this connection."""
        return self.client.proxy_header_on(self.transport, version)

    # --- the end --------------------------------------------------------------------------------------

    def expire(self, now: float) -> None:
        """Some deadline may have passed."""
        if self._by <= now:
            self._by = NEVER
            self._expire(now)
        owners = self._owners()
        for owner in owners:
            if owner.deadline <= now:
                try:
                    owner.expire(now)
                except Exception as error:  # the others go on
                    log.exception("a timeout crashed: %s: %s", type(error).__name__, error)
                    owner.deadline = NEVER
                    owner.give_up()
        earliest = self._by
        for owner in owners:
            earliest = min(earliest, owner.deadline)
        client = self.client
        client.deadline = earliest
        if earliest < client.looked_at:  # one that has just been moved far off has put it there
            self.settings.worker.wheel.watch(client, now)

    def _expire(self, now: float) -> None:
        """The connection's own deadline has passed."""
        if self._state is LINGERING:
            if self._has_progressed():
                self._by = now + self._linger_s()
            else:
                self.transport.abort()
        elif self._state is CLOSING:
            if self._has_progressed():
                self._by = now + (self.settings.timeouts.write_s or WRITE_S)
            else:
                self.transport.abort()
        elif self._state is OPEN:
            if self._said_goodbye:
                self._leave_now(now)
            elif self._departure is not None:
                session = self.session
                is_full = len(session.streams) >= session.limits.streams
                if self._departure.is_quiet(session.last_id, now, is_full=is_full) or now >= self._cut_at:
                    self._say_goodbye(now)
                else:
                    self._wait_until(now + QUIET_S, now)
            elif self.session.streams:
                if now >= self._age_at:
                    grace_s = self.settings.listener.http.http2.max_connection_age_grace_s
                    self._cut_at = now + grace_s if grace_s else NEVER
                    self._depart(now)
            elif not self.session.has_settings:
                self.settings.worker.row.cells[counters.WHY + Why.HEADER_TIMEOUT] += 1
                self._close_now()
            else:
                self._say_goodbye(now)

    def give_up(self) -> None:
        """After a bug in our own code, with the state unknown: abort; connection_lost() releases what is held."""
        self.transport.abort()

    def _depart(self, now: float) -> None:
        """Say goodbye soon, in a quiet moment."""
        if self._departure is None:
            self._departure = Departure(self.session.last_id, now)
            self._wait_until(now + QUIET_S, now)

    def _say_goodbye(self, now: float) -> None:
        """The first step of an end; see the module."""
        if not self._said_goodbye:
            if self._departure is None:
                self._departure = Departure(self.session.last_id, now)
            self._said_goodbye = True
            self.session.leave()
            self._wait_until(now + GOODBYE_S, now)
            self.wake()

    def _leave_now(self, now: float) -> None:
        """The second step; and the end of streams that take longer than an old connection may."""
        if now >= self._cut_at:
            self.cut()
            return
        self.session.leave_now()
        self.wake()
        if self._cut_at != NEVER:
            self._wait_until(self._cut_at, now)

    def _close(self, now: float) -> None:
        """All is said. A close with bytes that are still to be read would be a reset, which may destroy what was said last."""
        transport = self.transport
        if transport.is_closing():
            return
        if not transport.can_write_eof():
            self._close_now()  # TLS lingers itself
            return
        self._state = LINGERING
        if self._is_paused:
            self._is_paused = False
            transport.resume_reading()
        transport.write_eof()
        self._has_progressed()
        self._wait_until(now + self._linger_s(), now)

    def _linger_s(self) -> float:
        """How long a client may take no more of what was said last, or not close when it has all."""
        return (self.settings.timeouts.write_s or WRITE_S) if self.transport.get_write_buffer_size() else LINGER_S

    def _close_now(self) -> None:
        """Close when all that was written is sent, or after the `write` timeout without progress."""
        self._state = CLOSING
        transport = self.transport
        if not transport.is_closing():
            is_over = not transport.get_write_buffer_size() and transport.can_write_eof()
            transport.close()
            if not is_over:
                now = monotonic()
                self._has_progressed()
                self._wait_until(now + (self.settings.timeouts.write_s or WRITE_S), now)

    def drain(self, *, is_patient: bool) -> None:
        """Take no more streams; the connection ends with the last one. `is_patient`: spare one that had no request yet."""
        if self._state is OPEN and not (is_patient and not self.session.last_id):
            if self.session.streams:
                self._depart(monotonic())
            elif self._departure is None:
                self._say_goodbye(monotonic())

    def idle_since(self, now: float) -> float:
        """Since when it has had no stream (monotonic seconds); NEVER while it has, or in its first FIRST_REQUEST_S."""
        if self._state is not OPEN or self.session.streams or self._said_goodbye:
            return NEVER
        if not self.session.last_id and now - self._idle_since < FIRST_REQUEST_S:
            return NEVER
        return self._idle_since

    def reclaim(self) -> bool:
        """Close it to make room for another client, if it is still idle. Whether it was closed."""
        if self._state is not OPEN or self.session.streams or not is_silent(self.transport):
            return False
        self.session.leave_now()
        self._write()
        end_now(self.transport)
        self._close_now()
        return True

    def announce_close(self) -> None:
        """The deadline of a drain is near: the streams that are still under way are the last."""
        if self._state is OPEN:
            self._say_goodbye(monotonic())

    def cut(self) -> None:
        """The deadline of a drain has passed: end the exchanges and abort."""
        if self._state is OPEN:
            self._is_feeding = True
            for owner in self._owners():
                owner.cut()
            self._is_feeding = False
            self.session.leave_now()
            self._write()
        self.transport.abort()

    def _owners(self) -> list[ClientStream]:
        return [stream.owner for stream in self.session.streams.values() if isinstance(stream.owner, ClientStream)]


def lifetime_s(age_s: float, chance: float) -> float:
    """How old a connection becomes: `age_s`, give or take JITTER of it. `chance` is in [0, 1)."""
    return age_s * (1 - JITTER + 2 * JITTER * chance)
