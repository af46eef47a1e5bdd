"""One connection of the load: sends a request, reads the whole reply, counts what it took, sends the next.

`data_received` is what a request costs this tool, so it has the histogram's arithmetic in it, one clock call for the end of a
request and the begin of the next, and no call of our own in a closed loop.
"""

from __future__ import annotations

import asyncio
import errno
from time import monotonic_ns
from typing import Final, Protocol, cast

from balance.cli.bench.histogram import BUCKETS, SUB_BITS

UNLIMITED: Final = 1 << 60
IDLE: Final = -1  # of `left`: nothing was asked
READING: Final = -2  # of `left`: how long the reply is, the parser knows


class Owner(Protocol):
    """Who has the connections: told of each change but the next request of a closed loop."""

    def joined(self, connection: Connection) -> None: ...
    def answered(self, connection: Connection, now: int) -> None: ...
    def lost(self, connection: Connection, kind: str) -> None: ...


class Shared:
    """What the connections of a process have in common."""

    __slots__ = ("budget", "counts", "is_closed_loop", "owner", "reply_size", "request")

    def __init__(self, owner: Owner, request: bytes, *, is_closed_loop: bool, reply_size: int | None = None) -> None:
        self.owner = owner
        self.request = request
        self.is_closed_loop = is_closed_loop  # and connections that are kept
        self.reply_size = reply_size
        self.budget = UNLIMITED  # requests that may still be sent
        self.counts: list[int] = [0] * BUCKETS  # never another list: connections hold it

    def record(self, ns: int) -> None:
        shift = ns.bit_length() - SUB_BITS - 1
        self.counts[ns if shift <= 0 else min((shift << SUB_BITS) + (ns >> shift), BUCKETS - 1)] += 1


class Connection(asyncio.Protocol):
    """What both kinds share. `began` is the planned time of the request in flight, 0 without one."""

    __slots__ = ("_counts", "_shared", "_transport", "began", "is_gone", "left", "sent", "why")

    def __init__(self, shared: Shared, began: int = 0) -> None:
        """With `began` the connection is for one request, planned for then, that is sent once there is one."""
        self._shared = shared
        self._counts = shared.counts
        self._transport: asyncio.Transport | None = None
        self.began = began
        self.sent = 0  # when it was sent indeed
        self.left = IDLE
        self.is_gone = False
        self.why = ""  # set by who ends it

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if self.began:
            self.send(self.began)
        self._shared.owner.joined(self)

    def send(self, began: int) -> None:
        """Send a request that was planned for `began`."""
        assert self._transport is not None
        self.began, self.left, self.sent = began, self._begin(), monotonic_ns()
        self._transport.write(self._shared.request)

    def _begin(self) -> int:
        """`left` where no byte of the reply is there."""
        return 0

    def _has_begun(self) -> bool:
        """Whether some of the reply is there."""
        return self.left == READING or self.left > 0

    def close(self) -> None:
        """In good order; nothing is in flight."""
        self.is_gone = True
        if self._transport is not None:
            self._transport.close()

    def abort(self, why: str) -> None:
        """At once; `why` is the kind of error."""
        self.why = self.why or why
        if self._transport is not None:
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        was_gone, self.is_gone = self.is_gone, True
        if not was_gone:
            self._shared.owner.lost(self, self.why or _kind(exc, self._has_begun()))


class EchoConnection(Connection):
    """To a server that sends back what it gets, or some other reply of a known size."""

    __slots__ = ("_size",)

    def __init__(self, shared: Shared, began: int = 0) -> None:
        super().__init__(shared, began)
        self._size = len(shared.request) if shared.reply_size is None else shared.reply_size

    def _begin(self) -> int:
        return self._size

    def _has_begun(self) -> bool:
        return 0 < self.left < self._size

    def data_received(self, data: bytes) -> None:
        shared = self._shared
        left = self.left
        if shared.reply_size is None and not shared.request.startswith(data, len(shared.request) - left):
            self.abort("answers HTTP" if data.startswith(b"HTTP/") else "not what was sent")
            return
        left -= len(data)
        if left:
            self.left = left
            if left < 0:
                self.abort("more than was asked")
            return
        now = monotonic_ns()
        ns = now - self.began
        shift = ns.bit_length() - SUB_BITS - 1
        self._counts[ns if shift <= 0 else (shift << SUB_BITS) + (ns >> shift)] += 1
        if shared.is_closed_loop and shared.budget > 0:
            shared.budget -= 1
            self.began = self.sent = now
            self.left = self._size
            self._transport.write(shared.request)  # type: ignore[union-attr]
        else:
            self.began, self.left = 0, IDLE
            shared.owner.answered(self, now)


def _kind(exc: Exception | None, has_begun: bool) -> str:
    """The kind of error of a connection that ended by itself."""
    if isinstance(exc, ConnectionResetError):
        return "reset within a reply" if has_begun else "reset"
    if exc is not None and not isinstance(exc, ConnectionError):
        return type(exc).__name__
    return "closed within a reply" if has_begun else "closed without a reply"


def error_kind(error: OSError) -> str:
    """The kind of error of a connection that could not be made."""
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, ConnectionResetError):
        return "reset"
    if error.errno == errno.EADDRNOTAVAIL:
        return "no local port"
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return "too many open files"
    return (error.strerror or type(error).__name__).lower()
