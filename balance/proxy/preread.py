"""Steps between accept() and the transport, for what must be known of a connection before its first byte is consumed.

A step decides by the address and by bytes that it peeks at (MSG_PEEK) and leaves in the socket: address lists, guards, a PROXY
header, a ClientHello. nginx calls this the preread phase, HAProxy `tcp-request connection`. Without steps it costs nothing.
"""

from __future__ import annotations

import enum
import socket
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any, Final, Protocol

from balance.proxy.net import system_calls
from balance.proxy.net.timer_wheel import NEVER, Timed, TimerWheel
from balance.proxy.net.transport_poll import TransportPoll

_AF_UNIX: Final = int(socket.AF_UNIX)
_AF_INET: Final = int(socket.AF_INET)
_AF_INET6: Final = int(socket.AF_INET6)


class PrereadResult(enum.Enum):
    """A step's decision on a connection."""

    PASS = "pass"  # on to the next step
    REFUSE = "refuse"  # close it
    WAIT = "wait"  # call the step again when more bytes have come


class Host(Protocol):
    """The acceptor, as seen by a connection that it has accepted."""

    callers: set[Caller]

    @property
    def preread_s(self) -> float:
        """The time limit for all steps, in seconds; 0 for none."""

    @property
    def poll(self) -> TransportPoll:
        """OSError when there is no descriptor for it."""

    @property
    def wheel(self) -> TimerWheel: ...

    def unwatched(self, error: OSError) -> None:
        """There is no descriptor or memory to wait for somebody's bytes with."""

    def adopt(self, caller: Caller, fd: int) -> None:
        """Make the transport of a connection that has passed all steps."""

    def refused(self, caller: Caller) -> None:
        """A connection was closed before it had a transport."""


class Caller(Timed):
    """A connection that was accepted and has no transport yet. A step may change its `address`: a PROXY header does."""

    __slots__ = ("_family", "_fd", "_host", "_is_watched", "_sock", "_steps", "address", "ends_at", "is_admitted", "listener",
                 "on_timeout", "place", "secured", "seen")  # fmt: skip

    def __init__(self, host: Host, fd: int, address: Any, steps: Sequence[Step], place: Any = None) -> None:
        """`fd` does not block. `place` is where it is counted already, if it is."""
        Timed.__init__(self)
        self._fd = fd
        self._sock: socket.socket | None = None
        self.address = address  # None: nobody's, a connection of a proxy itself
        self.is_admitted = False  # a step has let the peer in, and reads
        self._family = _family_of(address)
        self._host = host
        self._steps = list(steps)
        self._is_watched = False
        self.seen = 0  # the events of its socket, once it was waited for
        self.place = place
        self.ends_at = NEVER  # the deadline of all steps, and of a TLS handshake that follows
        self.on_timeout: Callable[[Caller], None] | None = None
        self.listener: Any = None  # in place of the acceptor's, where SNI leads to another pool
        self.secured: Any = None  # what a TLS handshake begins with, see proxy.tls

    def begin(self, *, with_bytes: bool = False) -> None:
        """Begin the steps. Until they are over it is in the host's `callers`. `with_bytes`: when some have come, not now."""
        now = monotonic()
        self.deadline = self.ends_at = now + (self._host.preread_s or NEVER)
        if self.deadline < self.looked_at:
            self._host.wheel.watch(self, now)
        self._host.callers.add(self)
        if with_bytes:
            self._await_more()
        else:
            self._go_on()

    @property
    def sock(self) -> socket.socket:
        """Its socket object, which costs a system call, and is not asked for where all has come already."""
        if self._sock is None:
            self._sock = socket.socket(self._family, socket.SOCK_STREAM, 0, fileno=self._fd)  # which asks the kernel less
        return self._sock

    def peek(self, most: int) -> bytes | None:
        """Up to `most` bytes that have come, without consuming them; None at the end of the stream or on an error."""
        try:
            data = system_calls.peek(self._fd, most)
        except OSError:
            return None
        return b"" if data is None else data or None

    def consume(self, count: int) -> None:
        """Take the first `count` bytes, which were peeked at, off the stream."""
        while count > 0:
            taken = len(self.sock.recv(count))
            if not taken:
                return
            count -= taken

    def extend(self, limit_s: float) -> None:
        """The steps that follow, and a TLS handshake, have so many seconds from now."""
        self.deadline = self.ends_at = monotonic() + limit_s

    def expire(self, now: float) -> None:
        """The time limit has passed."""
        if self.on_timeout is not None:
            self.on_timeout(self)
        self.refuse()

    def give_up(self) -> None:
        self.refuse()

    def refuse(self) -> None:
        """Close the connection, unless the steps are over."""
        if self._leave():
            system_calls.close(self._fd, self._sock)
            self._host.refused(self)

    def _go_on(self) -> None:
        verdict = PrereadResult.PASS
        while self._steps:
            try:
                verdict = self._steps[0](self)
            except Exception:
                self.refuse()
                raise
            if verdict is not PrereadResult.PASS:
                break
            del self._steps[0]
        if verdict is PrereadResult.PASS:
            if self._leave():
                if self._sock is not None:
                    self._sock.detach()
                self._host.adopt(self, self._fd)
        elif verdict is PrereadResult.REFUSE:
            self.refuse()
        else:
            self._await_more()

    def _await_more(self) -> None:
        """Be told of the next edge: of what comes, and once of what is there already."""
        if self._is_watched:
            return
        try:
            self._host.poll.wait_for(self._fd, self)
        except OSError as error:
            self._host.unwatched(error)
            self.refuse()
        else:
            self._is_watched = True

    def ready(self, events: int) -> None:
        """See Awaiting."""
        self.seen |= events
        try:
            self._go_on()
        except Exception as error:
            self._host.poll.loop.call_exception_handler({"message": "a step before the transport failed", "exception": error})

    def _leave(self) -> bool:
        """End the steps; False when they were over already."""
        host = self._host
        if self not in host.callers:
            return False
        host.callers.discard(self)
        host.wheel.forget(self)
        self.deadline = NEVER
        if self._is_watched:
            host.poll.wait_no_more(self._fd)
        return True


def _family_of(address: Any) -> int:
    """The family of a socket whose peer is at `address`, as accept() has it."""
    if not isinstance(address, tuple):
        return _AF_UNIX
    return _AF_INET if len(address) == 2 else _AF_INET6


Step = Callable[[Caller], PrereadResult]
