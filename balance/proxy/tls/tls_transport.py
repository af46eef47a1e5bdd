"""TLS of a client over a PolledTransport: the handshake, and then a transport for the application's protocol.

It has asyncio's methods, and says of an end what uvloop's TLS says: a FIN without close_notify ends a connection as a
close_notify does, but is no eof_received(). Why it is not uvloop's, with figures: DESIGN.md, TLS.

What the application writes is sent at the end of the poll's turn, so that a last reply and its close_notify are one segment.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from time import monotonic
from typing import Any, Final, cast

from balance.proxy.net.polled_transport import HIGH, PolledTransport, Receiver
from balance.proxy.net.timer_wheel import NEVER, Timed, TimerWheel
from balance.proxy.net.transport_poll import TransportPoll
from balance.proxy.tls.handshake import Chosen, Handshake
from balance.proxy.tls.record_feed import RecordFeed
from balance.tls.client_hello import MAX_STREAM

SHUTDOWN_S: Final = 5.0  # for the peer's close_notify after ours; in seconds, and from when all is sent

_MOST: Final = 1 << 18  # bytes to read at once: RecordFeed gives no more than a record has


class TlsTransport(Timed):
    """One connection of a client. Until connection_lost() it is what its PolledTransport tells of the bytes."""

    __slots__ = ("_below", "_chosen", "_encrypt", "_engine", "_feed", "_handshake", "_has_begun", "_incoming", "_is_closing",
                 "_is_late", "_is_open", "_is_paused", "_outgoing", "_poll", "_protocol", "_ssl_object", "_wheel")  # fmt: skip

    # Set by connection_made():
    _below: PolledTransport
    _chosen: Chosen
    _engine: Any  # what an ssl.SSLObject has in C
    _encrypt: Callable[[bytes | bytearray | memoryview], int]
    _feed: RecordFeed

    def __init__(self, poll: TransportPoll, handshake: Handshake, protocol: Receiver, ends_at: float) -> None:
        """`protocol` is told of the connection when the handshake is over, by `ends_at` of the monotonic clock."""
        Timed.__init__(self)
        self._poll = poll
        self._wheel: TimerWheel = poll.wheel
        self._handshake: Handshake | None = handshake  # until it is over
        self._protocol: Receiver | None = protocol
        self._ssl_object: ssl.SSLObject | None = None  # once it was asked for
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._has_begun = False  # OpenSSL has seen the ClientHello
        self._is_open = False  # the handshake was done
        self._is_closing = False
        self._is_paused = False
        self._is_late = False  # turn_ends() is due
        self.deadline = ends_at

    # --- the connection below -----------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The handshake begins with the next bytes. The ClientHello has come."""
        assert isinstance(transport, PolledTransport)
        self._below = transport
        handshake = self._handshake
        assert handshake is not None
        handshake.on_cut = self.abort
        self._chosen = handshake.chosen
        self._engine, self._feed = handshake.begun(self._incoming, self._outgoing)
        self._encrypt = self._engine.write
        if self.deadline < self.looked_at:
            self._wheel.watch(self, monotonic())

    def data_received(self, data: bytes) -> None:
        self._incoming.write(data)
        if self._is_closing:
            self._discard()
        elif self._is_open:
            self._read()
        elif self._has_begun:
            self._go_on()
        elif self._handshake is not None:
            self._begin(self._handshake)

    def eof_received(self) -> bool:
        """The FIN: the transport below closes."""
        if self._handshake is not None:
            self._fail(ConnectionResetError())
        self._is_closing = True
        return False

    def pause_writing(self) -> None:
        if self._is_open and not self._is_closing and self._protocol is not None:
            self._protocol.pause_writing()

    def resume_writing(self) -> None:
        if self._is_open and not self._is_closing and self._protocol is not None:
            self._protocol.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_closing = True
        self._wheel.forget(self)
        self.deadline = NEVER
        if self._handshake is not None:
            self._fail(exc or ConnectionResetError())
        protocol, self._protocol = self._protocol, None
        if self._is_open and protocol is not None:
            protocol.connection_lost(exc)

    def spliced(self, size: int) -> None:
        """See SplicedReceiver. Not called: what the kernel moves is not decrypted."""

    # --- the handshake ------------------------------------------------------------------------------------

    def _begin(self, handshake: Handshake) -> None:
        """Answering a ClientHello costs more than a dozen requests: one is answered in a turn of the poll, others wait for
        theirs, so that those who are connected are served in between. HAProxy has a class of tasks for that.
        """
        if self._poll.is_laden:
            handshake.turns.add(self)
            if self._incoming.pending > MAX_STREAM:
                self._below.pause_reading()
        else:
            self._poll.is_laden = self._has_begun = True
            self._go_on()

    def take_turn(self) -> None:
        """See TurnTaker."""
        if self._handshake is not None and not self._has_begun:
            self._has_begun = True
            if not self._below.is_reading():
                self._below.resume_reading()
            try:
                self._go_on()
            except Exception as error:  # as in a turn of the poll's
                self._below.failed(error)

    def _go_on(self) -> None:
        if self._handshake is None:
            return
        try:
            is_done = self._feed.do_handshake()
        except ssl.SSLError as error:
            self.send_now()  # the alert, by which the client's user learns why
            self._fail(error)
            self._below.close()
            return
        if not is_done:
            self.send_now()
            return
        self._wheel.forget(self)
        self.deadline = NEVER
        handshake, self._handshake = self._handshake, None
        protocol = self._protocol
        assert handshake is not None and protocol is not None
        self._is_open = True
        handshake.ended(None)
        protocol.connection_made(self)  # type: ignore[arg-type]  # it has asyncio's methods
        self._read()

    def _fail(self, error: BaseException) -> None:
        handshake, self._handshake = self._handshake, None
        self._is_closing = True
        self._wheel.forget(self)
        self.deadline = NEVER
        if handshake is not None:
            handshake.ended(error)

    def expire(self, now: float) -> None:
        """The handshake takes too long, or the peer does not answer a close."""
        if self._handshake is not None:
            self._fail(ConnectionAbortedError())
        elif self._below.get_write_buffer_size():  # whoever has written to it knows how long that may take
            self.deadline = now + SHUTDOWN_S
            return
        self.deadline = NEVER
        self._below.abort()

    def give_up(self) -> None:
        self.abort()

    # --- what the peer sends ------------------------------------------------------------------------------

    def _read(self) -> None:
        """Pass on all that has come, as one piece."""
        feed, incoming = self._feed, self._incoming
        first = b""
        more: list[bytes] | None = None
        is_over = False
        if not self._is_paused:
            try:
                while incoming.pending or feed.is_pending:
                    data: bytes = feed.read(_MOST)
                    if not data:
                        is_over = True
                        break
                    if not first:
                        first = data
                    elif more is None:
                        more = [first, data]
                    else:
                        more.append(data)
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLError as error:
                self.send_now()
                self._lose(error)
                return
            if first and self._protocol is not None:
                self._protocol.data_received(first if more is None else b"".join(more))
            if is_over and not self._is_closing:
                if self._protocol is not None:
                    self._protocol.eof_received()
                self.close()
        self.send_now()

    def _discard(self) -> None:
        """After our close_notify, up to the peer's."""
        if not self._is_open or self._below.is_closing():
            return
        feed, incoming = self._feed, self._incoming
        try:
            while incoming.pending or feed.is_pending:
                if not feed.read(_MOST):
                    self._below.close()
                    return
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError:
            self._below.close()

    def _lose(self, error: Exception) -> None:
        self._is_closing = True
        self._below.lose(error)

    # --- asyncio.Transport --------------------------------------------------------------------------------

    def is_closing(self) -> bool:
        return self._is_closing or self._below.is_closing()

    def is_reading(self) -> bool:
        return not self._is_paused and not self._is_closing

    def pause_reading(self) -> None:
        """Nothing is read from the socket either, so that a FIN waits in the kernel behind the bytes."""
        self._is_paused = True
        if not self._is_closing:
            self._below.pause_reading()

    def read_little(self) -> None:
        """As PolledTransport."""
        self._below.read_little()

    def resume_reading(self) -> None:
        if self._is_paused:
            self._is_paused = False
            if not self._is_closing:
                self._come_late()

    def get_write_buffer_size(self) -> int:
        return self._below.get_write_buffer_size() + self._outgoing.pending

    def can_write_eof(self) -> bool:
        """There is no half-close: a close_notify of ours is followed by the end."""
        return False

    def write_eof(self) -> None:
        raise NotImplementedError

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Encrypt now, and send at the end of the poll's turn. Without effect once it closes."""
        if self._is_closing or not data:
            return
        try:
            sent = self._encrypt(data)
            if sent < len(data):  # OpenSSL takes a record at a time
                view = memoryview(data)
                while sent < len(data):
                    sent += self._encrypt(view[sent:])
        except ssl.SSLError as error:
            self._lose(error)
            return
        if self._outgoing.pending > HIGH:
            self.send_now()
        else:
            self._come_late()

    def _come_late(self) -> None:
        if not self._is_late:
            self._is_late = True
            self._poll.late(self)

    def writelines(self, parts: Any) -> None:
        self.write(b"".join(parts))

    def send_now(self) -> None:
        """Send what is encrypted."""
        if self._outgoing.pending:
            self._below.write(self._outgoing.read())

    def turn_ends(self) -> None:
        """The poll's turn ends."""
        self._is_late = False
        if self._is_open and not self._is_paused and not self._is_closing and not self._below.is_reading():
            self._below.resume_reading()
            self._read()
        else:
            self.send_now()

    def close(self) -> None:
        """Send what was written and a close_notify; close at the peer's, or when none comes for SHUTDOWN_S."""
        if not self._say_goodbye():
            return
        if self._is_paused:
            self._below.resume_reading()
        self._discard()
        if not self._below.is_closing():
            now = monotonic()
            self.deadline = now + SHUTDOWN_S
            if self.deadline < self.looked_at:
                self._wheel.watch(self, now)

    def finish(self) -> bool:
        """As close(), of a peer that has said all: nobody waits for its close_notify (RFC 8446 section 6.1), as in nginx.

        Whether all is sent, and connection_lost() comes at once.
        """
        if self._is_open and (self._incoming.pending or self._feed.is_pending):
            self.close()  # to close with something unread is a reset, which may destroy what was sent
            return False
        if self._say_goodbye():
            self._below.close()
        return not self._below.get_write_buffer_size()

    def _say_goodbye(self) -> bool:
        """False when it closes already, or has closed now."""
        if self._is_closing:
            return False
        self._is_closing = True
        if not self._is_open:
            self.abort()
            return False
        try:
            self._engine.shutdown()
        except ssl.SSLWantReadError:  # the peer's has not come
            pass
        except ssl.SSLError as error:
            self.send_now()
            self._below.lose(error)
            return False
        self.send_now()
        return True

    def abort(self) -> None:
        """Close now."""
        self._is_closing = True
        if self._handshake is not None:
            self._fail(asyncio.CancelledError())
        self._below.abort()

    def set_protocol(self, protocol: Receiver) -> None:
        """From now on this one is told."""
        self._protocol = protocol

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """`alpn_protocol` ("" for none), `ssl_object` and `cipher`; what else there is has the connection below."""
        if name == "alpn_protocol":
            return self._engine.selected_alpn_protocol() or ""
        if name == "ssl_object":
            return self._as_ssl_object()
        if name == "cipher":
            return self._engine.cipher()
        return self._below.get_extra_info(name, default)

    def _as_ssl_object(self) -> ssl.SSLObject:
        """It has a `chosen` besides. Made late, as few ask for it."""
        made = self._ssl_object
        if made is None:
            made = self._ssl_object = ssl.SSLObject.__new__(ssl.SSLObject)  # its constructor is not public
            cast(Any, made)._sslobj = self._engine
            cast(Any, made).chosen = self._chosen
        return made
