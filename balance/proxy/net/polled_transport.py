"""A connection on a TransportPoll's epoll: those of clients, where TLS is a TlsTransport above it, and plain ones of backends.

It has asyncio's methods, and uvloop's manners where they matter: connection_lost() is never called from within a call of the
protocol's own. Why it is not uvloop's, with figures: DESIGN.md, Accepting connections.

Edges, not levels: each connection is registered once. So what is readable while nobody may read is remembered (`_seen`), and a
read goes on until the socket is empty. A read that fills less than it might has emptied it, unless the stream has ended, failed
or has urgent bytes, at which the kernel stops a read.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import socket
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias

from balance.proxy.net import system_calls
from balance.proxy.net.splice_pipe import HAS_SPLICE

if TYPE_CHECKING:
    from balance.proxy.net.transport_poll import TransportPoll

_IN: Final = int(select.EPOLLIN)
_OUT: Final = int(select.EPOLLOUT)
_IN_AND_OUT: Final = _IN | _OUT
_URGENT: Final = int(select.EPOLLPRI)
_GONE: Final = int(select.EPOLLHUP | select.EPOLLERR)
_TO_THE_END: Final = int(select.EPOLLHUP | select.EPOLLERR | select.EPOLLRDHUP | select.EPOLLPRI)  # a short read says nothing
_READING: Final = _IN | _TO_THE_END

FEW_BYTES: Final[int] = system_calls.FEW_BYTES  # that a connection's first reads take
MANY_BYTES: Final[int] = system_calls.MANY_BYTES  # and those after one that was filled
# Bytes unsent above which pause_writing() is called, and below which resume_writing(): asyncio's.
HIGH: Final = 64 * 1024
LOW: Final = 16 * 1024
MOST_READS: Final = 16  # in one turn of the loop, of what is left when a stream ends

# A global is cheaper to look up than a module's attribute.
_receive: Final = system_calls.receive
_send: Final = system_calls.send
_send_joined: Final = system_calls.send_joined

_STREAM: Final = int(socket.SOCK_STREAM)
_AF_UNIX: Final = int(socket.AF_UNIX)


class Receiver(Protocol):
    """Of asyncio.Protocol what is called here."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None: ...

    def data_received(self, data: bytes) -> None: ...

    def eof_received(self) -> bool: ...

    def pause_writing(self) -> None: ...

    def resume_writing(self) -> None: ...

    def connection_lost(self, exc: Exception | None) -> None: ...


class SplicedReceiver(Protocol):
    """Whose bytes may be moved by the kernel, unseen."""

    def spliced(self, size: int) -> None:
        """So many bytes went on to where splice_into() said."""


class PolledTransport:
    """One connection, accepted or dialled.

    Nearly all events say that bytes have come, on a connection that has nothing else to do; nearly all writes are taken whole.
    `_reads_plainly` and `_writes_plainly` tell that at one look; whatever changes what they depend on sets them, or calls
    _settle().
    """

    __slots__ = ("_ends", "_error", "_family", "_is_at_end", "_is_closing", "_is_dead", "_is_full", "_is_nagling", "_is_paused",
                 "_is_watching_room", "_poll", "_protocol", "_reads_plainly", "_seen", "_sink", "_size", "_sock", "_spliced",
                 "_unsent", "_writes", "_writes_plainly", "fd", "is_queued")  # fmt: skip

    def __init__(
        self, poll: TransportPoll, family: int, fd: int, protocol: Receiver, sock: Any = None, *, is_dialled: bool = False
    ) -> None:
        """`sock` is its socket object, if there is one."""
        is_unix = family == _AF_UNIX
        self._poll = poll
        self._family = family
        self.fd = fd
        self._protocol: Receiver | None = protocol
        self._sock: Any = sock
        self._seen = 0  # events that are still to be acted upon
        self._size = FEW_BYTES
        self._sink: PolledTransport | None = None  # what is received is for it, and nobody looks at it but `_spliced`
        self._spliced: SplicedReceiver | None = None
        self._unsent: bytearray | None = None
        self._error: Exception | None = None
        self._is_paused = False
        self._is_at_end = False  # the peer has ended its direction
        self._is_full = False  # pause_writing() was called
        self._is_watching_room = is_dialled
        # Accepted sockets have TCP_NODELAY from the listening one.
        self._is_nagling = is_dialled and not is_unix
        self._writes = 0
        self._ends = False  # our direction ends when all is sent
        self._is_closing = False
        self._is_dead = False  # connection_lost() is due, or was called
        self.is_queued = False  # look_again() is due
        # _settle() in line. On a Unix socket a read ends at descriptors that were sent along, too (SCM_RIGHTS).
        self._reads_plainly = not is_unix
        self._writes_plainly = not is_dialled or is_unix

    def _settle(self) -> None:
        is_plain = self._unsent is None and not self._is_closing
        self._writes_plainly = is_plain and not self._ends and not self._is_nagling
        self._reads_plainly = (
            is_plain
            and self._size == FEW_BYTES
            and self._sink is None
            and self._family != _AF_UNIX
            and not (self._is_paused or self._is_at_end or self.is_queued)
        )

    # --- asyncio.Transport ------------------------------------------------------------------------------

    def is_closing(self) -> bool:
        return self._is_closing

    def is_reading(self) -> bool:
        return not self._is_paused and not self._is_closing and not self._is_at_end

    def pause_reading(self) -> None:
        self._is_paused = True
        self._reads_plainly = False

    def resume_reading(self) -> None:
        self._is_paused = False
        if self._seen & _READING:
            self._poll.again(self)
        self._settle()

    def read_little(self) -> None:
        """Read FEW_BYTES at once until a read is filled: most of what comes waits for its turn. Call it while it is paused."""
        self._size = FEW_BYTES

    def splice_into(self, sink: PolledTransport, spliced: SplicedReceiver) -> None:
        """From now on the kernel moves to `sink` what it takes at once; data_received() has what else is received."""
        if HAS_SPLICE:
            with contextlib.suppress(OSError):  # there are no descriptors for a pipe
                self._poll.pipe()
                self._sink = sink
                self._spliced = spliced
                self._reads_plainly = False

    def get_write_buffer_size(self) -> int:
        return 0 if self._unsent is None else len(self._unsent)

    def can_write_eof(self) -> bool:
        return True

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send, or keep what the peer does not take now. Without effect once it closes."""
        if not self._writes_plainly:
            if self._is_closing or self._ends or not data:
                return
            unsent = self._unsent
            if unsent is not None:
                unsent += data
                self._hold(unsent)
                return
            if self._is_nagling:
                if self._writes:
                    self._send_at_once()
                self._writes += 1
        try:
            sent = _send(self.fd, data)
        except OSError as error:
            self._lose(error)
            return
        self._poll.spoken_to = self.fd
        if sent != len(data):
            self._hold(bytearray(memoryview(data)[sent:]))

    def write_joined(self, parts: tuple[bytes, ...], data: bytes, start: int) -> None:
        """As write(), of `parts` and what `data` has from `start` on, without an object of all of them. MANY_BYTES at most."""
        if not self._writes_plainly:
            self.write(b"".join((*parts, data[start:])))
            return
        try:
            left = _send_joined(self.fd, parts, data, start)
        except OSError as error:
            self._lose(error)
            return
        self._poll.spoken_to = self.fd
        if left:
            joined = b"".join((*parts, data[start:]))
            self._hold(bytearray(memoryview(joined)[len(joined) - left :]))

    def _hold(self, unsent: bytearray) -> None:
        """The peer takes no more now."""
        self._unsent = unsent
        self._writes_plainly = self._reads_plainly = False
        if not self._is_watching_room:
            self._is_watching_room = True
            self._poll.watch_room(self.fd)
        if len(unsent) > HIGH and not self._is_full:
            self._is_full = True
            if self._protocol is not None:
                self._protocol.pause_writing()

    def writelines(self, parts: Any) -> None:
        """As write(), of several parts in one system call and without joining them."""
        if not self._writes_plainly:
            if not self._is_closing and not self._ends:
                self.write(b"".join(parts))
            return
        try:
            sent = os.writev(self.fd, parts)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self._lose(error)
            return
        if sent < sum(map(len, parts)):
            self._hold(bytearray(memoryview(b"".join(parts))[sent:]))

    def write_eof(self) -> None:
        """Half-close, when all is sent."""
        if not self._ends and not self._is_closing:
            self._ends = True
            self._writes_plainly = False
            if self._unsent is None:
                self._shut()

    def close(self) -> None:
        """Close when all is sent. No more is read."""
        if not self._is_closing:
            self._is_closing = True
            self._writes_plainly = self._reads_plainly = False
            if self._unsent is None:
                self._die(None)

    def abort(self) -> None:
        """Close now."""
        self._is_closing = True
        self._writes_plainly = self._reads_plainly = False
        self._unsent = None
        self._die(None)

    def lose(self, error: Exception) -> None:
        """As abort(), for a reason that connection_lost() is told."""
        self._lose(error)

    def set_protocol(self, protocol: Receiver) -> None:
        """From now on this one is told; also in the middle of what is read at once."""
        self._protocol = protocol

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """`socket`, `peername` and `sockname`, as asyncio has them."""
        if name == "ssl_object":
            return default
        if name == "socket":
            return self._socket()
        if (name == "peername" or name == "sockname") and (sock := self._socket()) is not None:
            with contextlib.suppress(OSError):
                return sock.getpeername() if name == "peername" else sock.getsockname()
        return default

    # --- events -----------------------------------------------------------------------------------------

    def ready(self, events: int) -> None:
        """The poll has seen these events. Raises nothing."""
        try:
            if self._reads_plainly and events | _OUT == _IN_AND_OUT:
                self._read_plainly()
            else:
                self._act(events)
        except Exception as error:
            self.failed(error)

    def read_early(self) -> bool:
        """Read before the poll is asked what there is; it will tell all that this read has not seen. False when nothing had
        come. Raises nothing.
        """
        try:
            return self._reads_plainly and self._read_plainly()
        except Exception as error:
            self.failed(error)
            return True

    def failed(self, error: Exception) -> None:
        """Its protocol has raised it."""
        self._poll.loop.call_exception_handler(
            {"message": "a connection's protocol failed", "exception": error, "protocol": self._protocol}
        )
        self._lose(error)

    def look_again(self) -> None:
        """Act upon what was seen while nobody might read."""
        self.is_queued = False
        if self._seen:
            self.ready(0)
        self._settle()

    def _act(self, events: int) -> None:
        if self._is_dead:
            return
        if self._unsent is not None and events & (_OUT | _GONE):
            self._flush()
        events = self._seen | events & _READING
        if not events or self._is_at_end or self._is_closing:
            return
        if self._is_paused or self.is_queued:
            self._seen = events
            return
        self._read(events)

    def _read_plainly(self) -> bool:
        """Whether anything has come."""
        try:
            data = _receive(self.fd, FEW_BYTES)
        except OSError as error:
            self._lose(error)
            return True
        if data is None:
            return False
        if 0 < len(data) < FEW_BYTES and self._protocol is not None:
            self._protocol.data_received(data)
        else:
            self._take(data)
        return True

    def _take(self, data: bytes) -> None:
        """A first read has found the end, or so much that there may be more."""
        if not data:
            self._end()
            return
        assert self._protocol is not None
        self._protocol.data_received(data)
        if not self._is_closing:
            if not self._is_paused:
                self._size = MANY_BYTES
            self._settle()
            self._act(_IN)

    def _read(self, events: int) -> None:
        self._seen = 0
        if events & _URGENT:
            self._look_at_bytes()  # a splice never gets past an urgent byte, which a read leaves out
        for _ in range(MOST_READS):
            protocol = self._protocol
            assert protocol is not None
            size = self._size
            sink = self._sink
            try:
                if sink is not None and sink._unsent is None and not sink._is_closing and not sink._ends:
                    if self._move(sink):
                        break  # how much there is still a move does not say
                    self._look_at_bytes()  # the end, or an urgent byte before it: a read tells
                data = _receive(self.fd, size)
            except BlockingIOError:  # of a move
                return
            except OSError as error:
                self._lose(error)
                return
            if data is None:
                return
            if not data:
                self._end()
                return
            is_filled = len(data) == size
            protocol.data_received(data)
            # On a Unix socket a read ends at descriptors that were sent along, too (SCM_RIGHTS).
            if self._is_closing or not (is_filled or events & _TO_THE_END or self._family == _AF_UNIX):
                return
            if is_filled and not self._is_paused:
                self._size = MANY_BYTES
                self._settle()
            if self._is_paused or (is_filled and size == MANY_BYTES):
                break
        self._seen = events
        if not self._is_paused:
            self._poll.again(self)  # others have their turn first
            self._reads_plainly = False

    def _end(self) -> None:
        """The peer has ended its direction."""
        self._is_at_end = True
        self._reads_plainly = False
        if self._protocol is not None and not self._protocol.eof_received():
            self.close()

    def _look_at_bytes(self) -> None:
        self._sink = self._spliced = None
        self._settle()

    def _move(self, sink: PolledTransport) -> int:
        """Move what there is, as much as a read takes. 0 at the end of the stream; OSError as a read has it."""
        if sink._is_nagling:
            sink._send_at_once()
        taken, rest, failure = self._poll.pipe().move(self.fd, sink.fd, MANY_BYTES)
        if taken and self._spliced is not None:
            self._spliced.spliced(taken)
        if failure is not None:
            sink._lose(failure)
        elif rest:
            sink.write(rest)
        return taken

    def _flush(self) -> None:
        unsent = self._unsent
        assert unsent is not None
        try:
            sent = _send(self.fd, unsent)
        except OSError as error:
            self._lose(error)
            return
        del unsent[:sent]
        left = len(unsent)
        if not left:
            self._unsent = None
            self._settle()
        if self._is_full and left <= LOW:
            self._is_full = False
            if self._protocol is not None and not self._is_closing:
                self._protocol.resume_writing()
        if self._unsent is None and not self._is_dead:
            if self._is_closing:
                self._die(None)
            elif self._ends:
                self._shut()

    # --- the end ----------------------------------------------------------------------------------------

    def _lose(self, error: Exception) -> None:
        self._is_closing = True
        self._writes_plainly = self._reads_plainly = False
        self._unsent = None
        self._die(error)

    def _die(self, error: Exception | None) -> None:
        if not self._is_dead:
            self._is_dead = True
            self._error = error
            self._poll.bury(self)

    def buried(self) -> None:
        """Tell the protocol."""
        protocol, self._protocol = self._protocol, None
        error, self._error = self._error, None
        self._sink = self._spliced = None
        if protocol is not None:
            protocol.connection_lost(error)

    def close_now(self) -> None:
        """Close the descriptor."""
        sock, self._sock = self._sock, None
        fd, self.fd = self.fd, -1
        system_calls.close(fd, sock)

    # --- the socket -------------------------------------------------------------------------------------

    def _socket(self) -> Any:
        """A socket object, which costs a system call and is seldom asked for; None when it is closed."""
        if self._sock is None and self.fd >= 0:
            self._sock = socket.socket(self._family, _STREAM, 0, fileno=self.fd)
        return self._sock

    def _shut(self) -> None:
        with contextlib.suppress(OSError):  # the peer has reset it, which is told in time
            system_calls.end(self.fd, self._sock)

    def _send_at_once(self) -> None:
        """Nagle's algorithm never holds a first write back, only a small one while an earlier one is under way."""
        self._is_nagling = False
        self._settle()
        with contextlib.suppress(OSError):
            system_calls.no_delay(self.fd, self._sock)


# What a connection may have. Compiled, the methods of the first are called at once, those of the others are looked up.
AnyTransport: TypeAlias = PolledTransport | asyncio.Transport
