"""A connect under way on a TransportPoll's epoll: without a task, a future or a timer of its own."""

from __future__ import annotations

import asyncio
import errno
import os
import select
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

from balance.proxy.net import system_calls
from balance.proxy.net.polled_transport import PolledTransport, Receiver
from balance.proxy.net.timer_wheel import NEVER, Timed

if TYPE_CHECKING:
    from balance.proxy.net.transport_poll import TransportPoll

_OUT: Final = int(select.EPOLLOUT)
_GONE: Final = int(select.EPOLLHUP | select.EPOLLERR)


class Dialler(Protocol):
    """Is told what became of a connect."""

    def dialled(self) -> None:
        """It is connected; the protocol's connection_made() was called, and it has what came with the connect."""

    def dial_failed(self, error: OSError) -> None:
        """It is not, and its descriptor is closed."""


class PolledDial(Timed):
    """One connect. Its place is a PolledTransport's when it has succeeded. The deadline is of the connect."""

    __slots__ = ("_dialler", "_error", "_family", "_is_dead", "_poll", "_protocol", "_sock", "fd")

    def __init__(self, poll: TransportPoll, family: int, fd: int, sock: Any, protocol: Receiver, dialler: Dialler) -> None:
        self.deadline = self.looked_at = NEVER  # Timed.__init__() in line
        self._poll = poll
        self._family = family
        self.fd = fd
        self._sock = sock
        self._protocol = protocol
        self._dialler: Dialler | None = dialler  # None: it is not, or no longer, to be told
        self._error: OSError | None = None
        self._is_dead = False

    def abort(self) -> None:
        """Call it off. The dialler is told nothing any more. Without effect once it is connected."""
        self._dialler = None
        self._die(None)

    def ready(self, events: int) -> None:
        """The poll has seen these events. Raises nothing."""
        if self._is_dead:
            return
        if events & _GONE:
            number = system_calls.error_of(self.fd, self._sock)
            if number or not events & _OUT:  # else it was connected, and the peer has left already: on Unix sockets
                number = number or errno.ECONNREFUSED
                self._die(OSError(number, os.strerror(number)))
                return
        elif not events & _OUT:
            return
        self._is_dead = True
        poll, dialler = self._poll, self._dialler
        self._dialler = None
        poll.wheel.forget(self)
        self.deadline = NEVER
        transport = PolledTransport(poll, self._family, self.fd, self._protocol, self._sock, is_dialled=True)
        poll.connected(self.fd, transport)
        try:
            self._protocol.connection_made(cast(asyncio.BaseTransport, transport))
        except Exception as error:
            transport.failed(error)
            return
        transport.ready(events)  # first: what the peer has said by now, it has said unasked
        if dialler is not None:
            try:
                dialler.dialled()
            except Exception as error:
                transport.failed(error)

    def expire(self, now: float) -> None:
        """The time to connect has passed."""
        self.deadline = NEVER
        self._die(TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT)))

    def give_up(self) -> None:
        self.abort()

    def _die(self, error: OSError | None) -> None:
        if not self._is_dead:
            self._is_dead = True
            self._error = error
            self._poll.bury(self)

    def buried(self) -> None:
        """It tells nobody yet."""
        self._poll.wheel.forget(self)
        self.deadline = NEVER

    def close_now(self) -> None:
        """Close the descriptor, then tell: who is told may dial again at once, and many may at the same time."""
        fd, self.fd = self.fd, -1
        system_calls.close(fd, self._sock)
        dialler, self._dialler = self._dialler, None
        error, self._error = self._error, None
        if dialler is not None and error is not None:
            dialler.dial_failed(error)
