"""Connections on an epoll of their own, which the event loop watches as one descriptor.

Why, with figures: DESIGN.md, Accepting connections.
"""

from __future__ import annotations

import asyncio
import select
import socket
from typing import Final, Protocol, cast

from balance.model import Address
from balance.proxy.net import system_calls
from balance.proxy.net.polled_dial import Dialler, PolledDial
from balance.proxy.net.polled_transport import PolledTransport, Receiver
from balance.proxy.net.splice_pipe import SplicePipe
from balance.proxy.net.timer_wheel import TimerWheel

_EDGES: Final = int(select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLPRI | select.EPOLLET)
_ALL_EDGES: Final = _EDGES | int(select.EPOLLOUT)

# In one turn of the loop; other descriptors have theirs in between. So many fit into what the interpreter allocates itself, the
# C library needs ten times as long for twice as many.
MOST_EVENTS: Final = 42

# Turns in a row that had one event, of whom was written to last, after which he is read from before the poll is asked. With one
# request at a time that saves it a system call on either way; a read in vain, which costs as much, is one in so many turns.
SURE: Final = 16

_AF_UNIX: Final = int(socket.AF_UNIX)
_AF_INET: Final = int(socket.AF_INET)
_AF_INET6: Final = int(socket.AF_INET6)


class Late(Protocol):
    """Has something to do when a turn ends: one system call then does for all that was written in it."""

    def turn_ends(self) -> None: ...


class Awaiting(Protocol):
    """Waits for bytes of a connection that has no transport yet."""

    def ready(self, events: int) -> None:
        """The poll has seen these events. Raises nothing."""


class TransportPoll:
    """One worker's."""

    __slots__ = (
        "_again",
        "_awaiting",
        "_by_fd",
        "_dead",
        "_dials",
        "_epoll",
        "_is_due",
        "_is_turning",
        "_late",
        "_pipe",
        "_turns_guessed",
        "_wait",
        "is_laden",
        "loop",
        "spoken_to",
        "wheel",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, wheel: TimerWheel) -> None:
        """OSError when there is no descriptor for it."""
        self.loop = loop
        self.wheel = wheel
        self._epoll = select.epoll()
        self._wait = system_calls.waiting(self._epoll, MOST_EVENTS)
        self._by_fd: dict[int, PolledTransport] = {}
        self._awaiting: dict[int, Awaiting] = {}
        self._dials: dict[int, PolledDial] = {}  # those that are not connected yet
        self._again: list[PolledTransport] = []  # look again at what they have seen
        self._dead: list[PolledTransport | PolledDial] = []  # closed: it is to be told
        self._late: list[Late] = []
        self._is_turning = False
        self._is_due = False
        self._pipe: SplicePipe | None = None
        self.is_laden = False  # somebody has done much in this turn: who has as much to do waits
        self.spoken_to = -1  # the descriptor that was written to last
        self._turns_guessed = 0  # in a row, whose only event was of that one
        loop.add_reader(self._epoll.fileno(), self._turn)

    @property
    def is_empty(self) -> bool:
        """There is no connection on it, and none is dialled or awaited."""
        return not self._by_fd and not self._dials and not self._awaiting

    def close(self) -> None:
        """No connection may be left."""
        self.loop.remove_reader(self._epoll.fileno())
        self._epoll.close()
        if self._pipe is not None and not self._pipe.is_closed:
            self._pipe.close()

    def wait_for(self, fd: int, awaiting: Awaiting) -> None:
        """Tell of each edge of a descriptor, until wait_no_more(). OSError when it can't be watched."""
        self._epoll.register(fd, _EDGES)
        self._awaiting[fd] = awaiting

    def wait_no_more(self, fd: int) -> None:
        """The descriptor is closed now, or accepted() follows."""
        del self._awaiting[fd]

    def accepted(self, family: int, fd: int, protocol: Receiver, seen: int = 0) -> None:
        """Begin with a connection; `fd` does not block. OSError when it can't be watched; `fd` stays the caller's.

        `seen` are the events that wait_for() has told of, if it was waited for: edges are not told twice.
        """
        if not seen:
            self._epoll.register(fd, _EDGES)
        transport = self._by_fd[fd] = PolledTransport(self, family, fd, protocol)
        try:
            protocol.connection_made(cast(asyncio.BaseTransport, transport))
        except Exception as error:
            self.loop.call_exception_handler({"message": "a connection's protocol failed", "exception": error})
            transport.abort()
        if seen:
            transport.ready(seen)

    def connect(
        self, address: Address, host: str, protocol: Receiver, dialler: Dialler, timeout_s: float, now: float
    ) -> PolledDial:
        """Connect to `address`, at `host` if it has one: an IP address. OSError when that fails at once.

        `timeout_s` seconds from `now`, 0: no limit. Abort what is returned to cancel it.
        """
        if address.is_unix:
            family, host = _AF_UNIX, address.path
        else:
            family = _AF_INET6 if ":" in host else _AF_INET
        fd, sock = system_calls.connect(family, host, address.port)
        try:
            self._epoll.register(fd, _ALL_EDGES)
        except BaseException:
            system_calls.close(fd, sock)
            raise
        dial = self._dials[fd] = PolledDial(self, family, fd, sock, protocol, dialler)
        if timeout_s:
            dial.deadline = now + timeout_s
            self.wheel.watch(dial, now)
        return dial

    # --- calls from transports and dials ----------------------------------------------------------------

    def connected(self, fd: int, transport: PolledTransport) -> None:
        """A dial has become this."""
        del self._dials[fd]
        self._by_fd[fd] = transport

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

    def late(self, transport: Late) -> None:
        """Call its turn_ends() at the end of this turn, or of the next one. Its caller sees to it that this is once."""
        self._late.append(transport)
        if not self._is_turning:
            self._come_back()

    def bury(self, closed: PolledTransport | PolledDial) -> None:
        """Call connection_lost() and close, at the end of this turn or at the next one.

        Till then no other connection gets the descriptor's number, for which this turn may still have events.
        """
        self._dead.append(closed)
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
            if self._late:
                self._tell_late()
            self._is_turning = False
            if self._dead:
                self._end_turn()

    def _turn(self) -> None:
        by_fd = self._by_fd
        guessed = self.spoken_to
        self.is_laden = False
        self._is_turning = True
        try:
            if self._turns_guessed >= SURE:
                expected = by_fd.get(guessed)
                if expected is None or not expected.read_early():
                    self._turns_guessed = 0
                answering = self.spoken_to  # whoever got what that has led to, and may have answered by now
                found = self._wait()
                for fd, _ in found:
                    if fd != guessed and fd != answering:
                        self._turns_guessed = 0  # others speak, too
            else:
                found = self._wait()
                self._turns_guessed = self._turns_guessed + 1 if len(found) == 1 and found[0][0] == guessed else 0
            for fd, events in found:
                transport = by_fd.get(fd)
                if transport is not None:
                    transport.ready(events)
                elif (dial := self._dials.get(fd)) is not None:
                    dial.ready(events)
                elif (awaiting := self._awaiting.get(fd)) is not None:
                    awaiting.ready(events)
        finally:
            if self._late:
                self._tell_late()
            self._is_turning = False
            if self._dead:
                self._end_turn()

    def _tell_late(self) -> None:
        late, self._late = self._late, []
        for transport in late:
            try:
                transport.turn_ends()
            except Exception as error:
                self._failed_at_its_end(error)
        if self._late:
            self._come_back()

    def _end_turn(self) -> None:
        self._is_turning = True
        try:
            while self._dead:  # each may bring another
                dead, self._dead = self._dead, []
                for closed in dead:
                    self._end(closed)
        finally:
            self._is_turning = False

    def _end(self, closed: PolledTransport | PolledDial) -> None:
        try:
            closed.buried()
        except Exception as error:
            self._failed_at_its_end(error)
        if isinstance(closed, PolledDial):
            self._dials.pop(closed.fd, None)
        else:
            self._by_fd.pop(closed.fd, None)
        try:
            closed.close_now()
        except Exception as error:
            self._failed_at_its_end(error)

    def _failed_at_its_end(self, error: Exception) -> None:
        self.loop.call_exception_handler({"message": "a connection's protocol failed at its end", "exception": error})
