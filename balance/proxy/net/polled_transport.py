"""Plain connections on an epoll of their own, which the event loop watches as one descriptor.

Those of clients in either mode, and in TCP mode of backends, without TLS. Why, with figures: DESIGN.md, Accepting connections.
A transport has asyncio's methods, and uvloop's manners where they matter: connection_lost() is never called from within a call
of the protocol's own.

Edges, not levels: each connection is registered once. So what is readable while nobody may read is remembered (`_seen`), and a
read goes on until the socket is empty. A read that fills less than it might has emptied it, unless the stream has ended, failed
or has urgent bytes, at which the kernel stops a read.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import select
import socket
from typing import Any, Final, Protocol, cast

from balance.model import Address
from balance.proxy.net.splice_pipe import HAS_SPLICE, SplicePipe
from balance.proxy.net.timer_wheel import NEVER, Timed, TimerWheel

_OUT: Final = select.EPOLLOUT
_URGENT: Final = select.EPOLLPRI
_GONE: Final = select.EPOLLHUP | select.EPOLLERR
_TO_THE_END: Final = select.EPOLLHUP | select.EPOLLERR | select.EPOLLRDHUP | select.EPOLLPRI  # a short read says nothing
_READING: Final = select.EPOLLIN | _TO_THE_END
_EDGES: Final = select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLPRI | select.EPOLLET
_ALL_EDGES: Final = _EDGES | select.EPOLLOUT

FEW_BYTES: Final = 16 * 1024  # that a connection's first reads take
MANY_BYTES: Final = 256 * 1024  # and those after one that was filled
# Bytes unsent above which pause_writing() is called, and below which resume_writing(): asyncio's.
HIGH: Final = 64 * 1024
LOW: Final = 16 * 1024
MOST_READS: Final = 16  # in one turn of the loop, of what is left when a stream ends
MOST_EVENTS: Final = 256  # in one turn of the loop; other descriptors have theirs in between

# A global is cheaper to look up than a module's attribute.
_read: Final = os.read
_write: Final = os.write

_STREAM: Final = int(socket.SOCK_STREAM)
_NONBLOCKING_STREAM: Final = int(socket.SOCK_STREAM) | int(socket.SOCK_NONBLOCK)
_AF_UNIX: Final = int(socket.AF_UNIX)
_AF_INET: Final = int(socket.AF_INET)
_AF_INET6: Final = int(socket.AF_INET6)


class Receiver(Protocol):
    """Of asyncio.Protocol what is called here."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None: ...

    def data_received(self, data: bytes) -> None: ...

    def spliced(self, size: int) -> None:
        """So many bytes went on to where splice_into() said."""

    def eof_received(self) -> bool: ...

    def pause_writing(self) -> None: ...

    def resume_writing(self) -> None: ...

    def connection_lost(self, exc: Exception | None) -> None: ...


class Dialler(Protocol):
    """Is told what became of a connect."""

    def dialled(self) -> None:
        """It is connected; the protocol's connection_made() was called."""

    def dial_failed(self, error: OSError) -> None:
        """It is not, and its descriptor is closed."""


class PolledTransport(Timed):
    """One connection, accepted or dialled. The deadline is of its connect."""

    __slots__ = ("_dialler", "_ends", "_error", "_family", "_is_at_end", "_is_closing", "_is_dead", "_is_full",
                 "_is_nagling", "_is_paused", "_is_watching_room", "_poll", "_protocol", "_seen", "_sink", "_size", "_sock",
                 "_unsent", "_writes", "fd", "is_queued")  # fmt: skip

    def __init__(
        self, poll: TransportPoll, family: int, fd: int, protocol: Receiver, sock: Any, dialler: Dialler | None
    ) -> None:
        """`sock` is the socket object, where there is one. `dialler` is there while it connects."""
        self.deadline = self.looked_at = NEVER  # Timed.__init__() in line
        self._poll = poll
        self._family = family
        self.fd = fd
        self._protocol: Receiver | None = protocol
        self._sock: Any = sock
        self._dialler: Dialler | None = dialler
        self._seen = 0  # events that are still to be acted upon
        self._size = FEW_BYTES
        self._sink: PolledTransport | None = None  # what is received is for it, and nobody looks at it
        self._unsent: bytearray | None = None
        self._error: Exception | None = None
        self._is_paused = False
        self._is_at_end = False  # the peer has ended its direction
        self._is_full = False  # pause_writing() was called
        self._is_watching_room = dialler is not None
        # Accepted sockets have TCP_NODELAY from the listening one.
        self._is_nagling = dialler is not None and family != _AF_UNIX
        self._writes = 0
        self._ends = False  # our direction ends when all is sent
        self._is_closing = False
        self._is_dead = False  # connection_lost() is due, or was called
        self.is_queued = False  # look_again() is due

    # --- asyncio.Transport ------------------------------------------------------------------------------

    def is_closing(self) -> bool:
        return self._is_closing

    def is_reading(self) -> bool:
        return not self._is_paused and not self._is_closing and not self._is_at_end

    def pause_reading(self) -> None:
        self._is_paused = True

    def resume_reading(self) -> None:
        self._is_paused = False
        if self._seen & _READING:
            self._poll.again(self)

    def splice_into(self, sink: PolledTransport) -> None:
        """From now on the kernel moves to `sink` what it takes at once; data_received() has what else is received."""
        if HAS_SPLICE:
            with contextlib.suppress(OSError):  # there are no descriptors for a pipe
                self._poll.pipe()
                self._sink = sink

    def get_write_buffer_size(self) -> int:
        return 0 if self._unsent is None else len(self._unsent)

    def can_write_eof(self) -> bool:
        return True

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send, or keep what the peer does not take now. Without effect once it closes."""
        if self._is_closing or self._ends or not data:
            return
        unsent = self._unsent
        if unsent is not None:
            unsent += data
        else:
            if self._is_nagling:
                if self._writes:
                    self._send_at_once()
                self._writes += 1
            try:
                sent = _write(self.fd, data)
            except BlockingIOError:
                sent = 0
            except OSError as error:
                self._lose(error)
                return
            if sent == len(data):
                return
            unsent = bytearray(memoryview(data)[sent:])
        self._hold(unsent)

    def _hold(self, unsent: bytearray) -> None:
        """The peer takes no more now."""
        self._unsent = unsent
        if not self._is_watching_room:
            self._is_watching_room = True
            self._poll.watch_room(self.fd)
        if len(unsent) > HIGH and not self._is_full:
            self._is_full = True
            if self._protocol is not None:
                self._protocol.pause_writing()

    def writelines(self, parts: Any) -> None:
        """As write(), of several parts in one system call and without joining them."""
        if self._is_closing or self._ends:
            return
        if self._unsent is not None or self._is_nagling:
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
            if self._unsent is None:
                self._shut()

    def close(self) -> None:
        """Close when all is sent. No more is read."""
        if not self._is_closing:
            self._is_closing = True
            if self._unsent is None:
                self._die(None)

    def abort(self) -> None:
        """Close now. A dialler is told nothing any more."""
        if self._dialler is not None:
            self._dialler = self._protocol = None
        self._is_closing = True
        self._unsent = None
        self._die(None)

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
            self._act(events)
        except Exception as error:
            self._poll.loop.call_exception_handler(
                {"message": "a connection's protocol failed", "exception": error, "protocol": self._protocol}
            )
            self._lose(error)

    def look_again(self) -> None:
        """Act upon what was seen while nobody might read."""
        self.is_queued = False
        if self._seen:
            self.ready(0)

    def expire(self, now: float) -> None:
        """The time to connect has passed."""
        self.deadline = NEVER
        if self._dialler is not None and not self._is_dead:
            self._not_connected(TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT)))

    def give_up(self) -> None:
        self.abort()

    def _act(self, events: int) -> None:
        if self._is_dead:
            return
        if self._dialler is not None:
            if events & _GONE:
                number = self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if number or not events & _OUT:  # else it was connected, and the peer has left already: on Unix sockets
                    number = number or errno.ECONNREFUSED
                    self._not_connected(OSError(number, os.strerror(number)))
                    return
            elif not events & _OUT:
                return
            self._connected()
        if self._unsent is not None and events & (_OUT | _GONE):
            self._flush()
        events = self._seen | events & _READING
        if not events or self._is_at_end or self._is_closing:
            return
        if self._is_paused or self.is_queued:
            self._seen = events
            return
        self._read(events)

    def _read(self, events: int) -> None:
        self._seen = 0
        if events & _URGENT:
            self._sink = None  # a splice never gets past an urgent byte, which a read leaves out
        for _ in range(MOST_READS):
            protocol = self._protocol
            assert protocol is not None
            size = self._size
            sink = self._sink
            try:
                if sink is not None and sink._unsent is None and not sink._is_closing and not sink._ends:
                    if self._move(sink, protocol):
                        break  # how much there is still a move does not say
                    self._sink = None  # the end, or an urgent byte before it: a read tells
                    size = FEW_BYTES
                    data = _read(self.fd, size)
                elif size == MANY_BYTES:  # an object of that size would be mapped into memory for each read, and given back
                    scratch = self._poll.scratch
                    count = os.readv(self.fd, (scratch,))  # not between the brackets: compiled, that would read twice
                    data = bytes(scratch[:count])
                else:
                    data = _read(self.fd, size)
            except BlockingIOError:
                return
            except OSError as error:
                self._lose(error)
                return
            if not data:
                self._is_at_end = True
                if not protocol.eof_received():
                    self.close()
                return
            is_filled = len(data) == size
            protocol.data_received(data)
            # On a Unix socket a read ends at descriptors that were sent along, too (SCM_RIGHTS).
            if self._is_closing or not (is_filled or events & _TO_THE_END or self._family == _AF_UNIX):
                return
            if is_filled:
                self._size = MANY_BYTES
            if self._is_paused or size == MANY_BYTES:
                break
        self._seen = events
        if not self._is_paused:
            self._poll.again(self)  # others have their turn first

    def _move(self, sink: PolledTransport, protocol: Receiver) -> int:
        """Move what there is, as much as a read takes. 0 at the end of the stream; OSError as a read has it."""
        if sink._is_nagling:
            sink._send_at_once()
        taken, rest, failure = self._poll.pipe().move(self.fd, sink.fd, MANY_BYTES)
        if taken:
            protocol.spliced(taken)
        if failure is not None:
            sink._lose(failure)
        elif rest:
            sink.write(rest)
        return taken

    def _flush(self) -> None:
        unsent = self._unsent
        assert unsent is not None
        try:
            sent = _write(self.fd, unsent)
        except BlockingIOError:
            return
        except OSError as error:
            self._lose(error)
            return
        del unsent[:sent]
        left = len(unsent)
        if not left:
            self._unsent = None
        if self._is_full and left <= LOW:
            self._is_full = False
            if self._protocol is not None and not self._is_closing:
                self._protocol.resume_writing()
        if self._unsent is None and not self._is_dead:
            if self._is_closing:
                self._die(None)
            elif self._ends:
                self._shut()

    # --- the connect ------------------------------------------------------------------------------------

    def _connected(self) -> None:
        dialler, self._dialler = self._dialler, None
        assert dialler is not None
        assert self._protocol is not None
        self._poll.wheel.forget(self)
        self.deadline = NEVER
        self._protocol.connection_made(cast(asyncio.BaseTransport, self))
        dialler.dialled()

    def _not_connected(self, error: OSError) -> None:
        """The dialler is told when the descriptor is closed: it may dial again at once, and many may at the same time."""
        self._protocol = None  # it has never had a connection
        self._lose(error)

    # --- the end ----------------------------------------------------------------------------------------

    def _lose(self, error: Exception) -> None:
        self._is_closing = True
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
        self._sink = None
        self._poll.wheel.forget(self)
        self.deadline = NEVER
        if protocol is not None:
            protocol.connection_lost(self._error)

    def close_now(self) -> None:
        """Close the descriptor, and tell whoever has dialled in vain."""
        sock, self._sock = self._sock, None
        fd, self.fd = self.fd, -1
        try:  # a context manager costs some thousand instructions, and each session has two of them
            if sock is not None:
                sock.close()
            else:
                os.close(fd)
        except OSError:
            pass
        dialler, self._dialler = self._dialler, None
        error, self._error = self._error, None
        if dialler is not None and isinstance(error, OSError):
            dialler.dial_failed(error)

    # --- the socket -------------------------------------------------------------------------------------

    def _socket(self) -> Any:
        """A socket object, which costs a system call and is seldom asked for; None when it is closed."""
        if self._sock is None and self.fd >= 0:
            self._sock = socket.socket(self._family, _STREAM, 0, fileno=self.fd)
        return self._sock

    def _shut(self) -> None:
        with contextlib.suppress(OSError):  # the peer has reset it, which is told in time
            self._socket().shutdown(socket.SHUT_WR)

    def _send_at_once(self) -> None:
        """Nagle's algorithm never holds a first write back, only a small one while an earlier one is under way."""
        self._is_nagling = False
        with contextlib.suppress(OSError):
            self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class TransportPoll:
    """One worker's."""

    __slots__ = ("_again", "_by_fd", "_dead", "_epoll", "_is_due", "_is_turning", "_pipe", "loop", "scratch", "wheel")

    def __init__(self, loop: asyncio.AbstractEventLoop, wheel: TimerWheel) -> None:
        """OSError when there is no descriptor for it."""
        self.loop = loop
        self.wheel = wheel
        self._epoll = select.epoll()
        self._by_fd: dict[int, PolledTransport] = {}
        self._again: list[PolledTransport] = []  # look again at what they have seen
        self._dead: list[PolledTransport] = []  # closed: connection_lost() is due
        self._is_turning = False
        self._is_due = False
        self._pipe: SplicePipe | None = None
        self.scratch = memoryview(bytearray(MANY_BYTES))  # what is read into, and taken out at once
        loop.add_reader(self._epoll.fileno(), self._turn)

    def close(self) -> None:
        """No connection may be left."""
        self.loop.remove_reader(self._epoll.fileno())
        self._epoll.close()
        if self._pipe is not None and not self._pipe.is_closed:
            self._pipe.close()

    def accepted(self, family: int, fd: int, protocol: Receiver) -> None:
        """Begin with a connection that accept() gave. OSError when it can't be watched; its descriptor stays the caller's."""
        os.set_blocking(fd, False)
        self._epoll.register(fd, _EDGES)
        transport = self._by_fd[fd] = PolledTransport(self, family, fd, protocol, None, None)
        try:
            protocol.connection_made(cast(asyncio.BaseTransport, transport))
        except Exception as error:
            self.loop.call_exception_handler({"message": "a connection's protocol failed", "exception": error})
            transport.abort()

    def connect(
        self, address: Address, host: str, protocol: Receiver, dialler: Dialler, timeout_s: float, now: float
    ) -> PolledTransport:
        """Connect to `address`, at `host` if it has one: an IP address. OSError when that fails at once.

        `timeout_s` seconds from `now`, 0: no limit. Abort the transport to cancel it.
        """
        target: Any = (host, address.port)
        if address.is_unix:
            family, target = _AF_UNIX, address.path
        else:
            family = _AF_INET6 if ":" in host else _AF_INET
        sock = socket.socket(family, _NONBLOCKING_STREAM, 0)
        try:
            failed = sock.connect_ex(target)
            if failed and failed != errno.EINPROGRESS:
                raise OSError(failed, os.strerror(failed))
            fd = sock.fileno()
            self._epoll.register(fd, _ALL_EDGES)
        except BaseException:
            sock.close()
            raise
        transport = self._by_fd[fd] = PolledTransport(self, family, fd, protocol, sock, dialler)
        if timeout_s:
            transport.deadline = now + timeout_s
            self.wheel.watch(transport, now)
        return transport

    # --- calls from transports --------------------------------------------------------------------------

    def pipe(self) -> SplicePipe:
        """What bytes are moved through. OSError when there are no descriptors for it."""
        if self._pipe is None or self._pipe.is_closed:
            self._pipe = SplicePipe()
        return self._pipe

    def watch_room(self, fd: int) -> None:
        """From now on tell of room for more bytes, too."""
        self._epoll.modify(fd, _ALL_EDGES)

    def again(self, transport: PolledTransport) -> None:
        """Have its look_again() called at the next turn of the loop, once."""
        if not transport.is_queued:
            transport.is_queued = True
            self._again.append(transport)
            self._come_back()

    def bury(self, transport: PolledTransport) -> None:
        """Call connection_lost() and close, at the end of this turn or at the next one.

        Till then no other connection gets the descriptor's number, for which this turn may still have events.
        """
        self._dead.append(transport)
        if not self._is_turning:
            self._come_back()

    def _come_back(self) -> None:
        if not self._is_due:
            self._is_due = True
            self.loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        self._is_due = False
        again, self._again = self._again, []
        self._is_turning = True
        try:
            for transport in again:
                transport.look_again()
        finally:
            self._end_turn()

    def _turn(self) -> None:
        by_fd = self._by_fd
        self._is_turning = True
        try:
            for fd, events in self._epoll.poll(0, MOST_EVENTS):
                transport = by_fd.get(fd)
                if transport is not None:
                    transport.ready(events)
        finally:
            self._end_turn()

    def _end_turn(self) -> None:
        try:
            while self._dead:  # each may bring another
                dead, self._dead = self._dead, []
                for transport in dead:
                    self._end(transport)
        finally:
            self._is_turning = False

    def _end(self, transport: PolledTransport) -> None:
        try:
            transport.buried()
        except Exception as error:
            self._failed_at_its_end(error)
        self._by_fd.pop(transport.fd, None)
        try:
            transport.close_now()
        except Exception as error:
            self._failed_at_its_end(error)

    def _failed_at_its_end(self, error: Exception) -> None:
        self.loop.call_exception_handler({"message": "a connection's protocol failed at its end", "exception": error})
