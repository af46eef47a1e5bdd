"""Relays bytes unparsed between a client and an upstream (TCP mode, and HTTP after a 101).

A half-close is kept and a reset is passed on. A peer that does not read pauses the other, so that buffered bytes are bounded by
the transports' high-water marks.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final, Protocol, cast

from balance.model import Why
from balance.proxy.clients import Clients
from balance.proxy.net.backpressure import Backpressure
from balance.proxy.net.polled_transport import AnyTransport
from balance.proxy.net.sockets import end_tls, has_tls, keep_alive, read_at_once, read_now, reset, unsent
from balance.proxy.net.timer_wheel import NEVER, Timed, TimerWheel
from balance.tls.backend_failure import late_refusal

_LOOKS: Final = 8  # per idle timeout: a silent relay is cut after 1 to 1 + 1/8 of it
_COUNT_EVERY_S: Final = 10.0  # without an idle timeout
_LASTS_S: Final = 1.0  # a session that does is worth the system calls of keep-alive, whose first probe comes much later
PARTING_S: Final = 30.0  # before a reset, the time without progress that a peer has for unsent bytes; `idle_s`, if less
BULK: Final = 128 * 1024  # bytes of one read from which on a direction is taken for bulk
EARLY_TLS: Final = 64 * 1024  # bytes of a client with TLS that are taken before there is a backend
_PARTING_LOOK_S: Final = 0.05
_PARTING_SLOW_LOOK_S: Final = 0.5


class RelayEnd(Backpressure):
    """One of the two connections. Received bytes go to `other`; those that come before it is set wait in `early`."""

    __slots__ = (
        "bytes_received",
        "clients",
        "early",
        "is_full",
        "is_lost",
        "is_unwatched",
        "other",
        "peer",
        "relay",
        "saw_eof",
    )

    def __init__(self) -> None:
        Backpressure.__init__(self)
        self.peer: AnyTransport | None = None  # the other's transport
        self.other: RelayEnd | None = None
        self.relay: Relay | None = None
        self.early: list[bytes] | None = None  # no list that is empty for as long as it lasts
        self.bytes_received = 0
        self.saw_eof = False
        self.is_lost = False
        self.is_full = False  # its write buffer is above the high-water mark
        self.clients: Clients | None = None  # of a client's end: where it is counted
        self.is_unwatched = False  # a backend's, for which keep-alive is to be turned on

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(AnyTransport, transport)
        read_at_once(transport)

    def data_received(self, data: bytes) -> None:
        size = len(data)
        self.bytes_received += size
        peer = self.peer
        if peer is None:
            # uvloop would undo a pause in connection_made(), so the first bytes are taken and reading is paused here. With TLS
            # it would throw away at the client's end what it has not handed over then, so that is taken up to a bound.
            if self.early is None:
                self.early = [data]
            else:
                self.early.append(data)
            if self.bytes_received > EARLY_TLS or not has_tls(self.transport):
                self.pause()
        elif not peer.is_closing():  # uvloop's write() raises on a closed handle
            peer.write(data)
            if size >= BULK:
                self.brings_bulk(peer)

    def brings_bulk(self, peer: AnyTransport) -> None:
        """It brings much. Nothing here: whoever follows what it brings, as frames are, has to see every byte. See BulkEnd."""

    def eof_received(self) -> bool:
        self.saw_eof = True
        if self.relay is not None:
            self.relay.half_closed(self)
        # Our side stays open: the other direction may still flow. Not with TLS: uvloop sends what it was given, and answers a
        # close_notify with its own.
        return not has_tls(self.transport)

    def pause_writing(self) -> None:
        self.is_full = True
        if self.other is not None:
            self.other.pause()

    def resume_writing(self) -> None:
        self.is_full = False
        if self.other is not None:
            self.other.resume()

    def connection_lost(self, exc: Exception | None) -> None:
        if isinstance(exc, OSError):
            self._read_the_rest(exc)
        self.is_lost = True
        if self.clients is not None:
            self.clients.leave()
        if self.relay is not None:
            self.relay.lost(self, exc)

    def _read_the_rest(self, exc: OSError) -> None:
        """Read the peer's last bytes: when a write fails because the peer has closed, uvloop stops reading.

        EPIPE says that the stream had ended before the reset came.
        """
        while data := read_now(self.transport):
            self.data_received(data)
        if isinstance(exc, BrokenPipeError):
            self.saw_eof = True


# In the place of both ends of a relay that is over: an end refers to its relay, and would wait for the garbage collector.
_LEFT: Final = RelayEnd()
_LEFT.is_lost = True


class RelayObserver(Protocol):
    """Is told of relayed bytes and of the end."""

    def moved(self, from_client: int, from_upstream: int) -> None:
        """Bytes relayed since the last call."""

    def ended(self, why: Why) -> None:
        """Called once, when both connections are gone."""


class Relay(Timed):
    """What the two ends share: the idle timeout, the byte counts and the Why. It is over when both connections are gone."""

    __slots__ = ("_account", "_half_closed_s", "_idle_s", "_is_over", "_reset_when_sent", "_seen", "_silent_since", "_waiting",
                 "_wheel", "_why",
                 "client", "upstream")  # fmt: skip

    def __init__(
        self,
        client: RelayEnd,
        upstream: RelayEnd,
        wheel: TimerWheel,
        idle_s: float,
        half_closed_s: float,
        account: RelayObserver,
        now: float,
    ) -> None:
        """Join two connected ends. `idle_s` 0: no timeout. `half_closed_s` 0: no timeout of its own after a half-close."""
        Timed.__init__(self)
        self.client = client
        self.upstream = upstream
        self._wheel = wheel
        self._idle_s = idle_s
        self._half_closed_s = half_closed_s
        self._account = account
        self._is_over = False
        self._why: Why | None = None  # set by the first event that decides it
        self._seen = (0, 0)
        self._waiting: tuple[int, ...] = (0, 0)  # unsent bytes of client and upstream at the last look
        self._silent_since = now
        self._reset_when_sent: RelayEnd | None = None  # reset it when its unsent bytes are sent
        client.other, upstream.other = upstream, client
        client.peer, upstream.peer = upstream.transport, client.transport
        client.relay = upstream.relay = self
        self._look_again(now)
        for end, other in ((client, upstream), (upstream, client)):
            early, end.early = end.early, None
            if early is not None and not other.transport.is_closing():
                other.transport.write(b"".join(early))
        for end, other in ((client, upstream), (upstream, client)):
            if end.saw_eof:
                self.half_closed(end)
            if other.is_full:  # uvloop calls pause_writing() once, on the protocol of that time
                end.pause()
            else:
                end.resume()
        for end in (client, upstream):
            if end.is_lost:
                self.lost(end, None)

    def half_closed(self, end: RelayEnd) -> None:
        """`end` will send no more: half-close the other side, or close both when the other has ended as well."""
        if self._reset_when_sent is not None:
            return  # the other end is gone, and this one has its own deadline
        other = self._other(end)
        self._silent_since = now = time.monotonic()  # an end counts as activity
        if self._half_closed_s and not 0 < self._idle_s <= self._half_closed_s:
            self._idle_s = self._half_closed_s
            self._look_again(now)
        if other.saw_eof:
            end.transport.close()
            other.transport.close()
        elif not other.transport.is_closing():
            if other.transport.can_write_eof():
                other.transport.write_eof()
            elif end is self.client:
                end_tls(other.transport)
            else:  # the backend has said its last, so a client with TLS is done
                other.transport.close()

    def lost(self, end: RelayEnd, exc: Exception | None) -> None:
        """`end` is gone. If its stream had ended, the other is closed and still gets all bytes; if not, the other is reset."""
        other = self._other(end)
        is_first = self._why is None
        if is_first and end.saw_eof and (exc is None or end is self.upstream):
            self._why = Why.OK
        elif is_first and end is self.client:
            self._why = Why.CLIENT_ABORT
        elif is_first:
            refused = None if end.bytes_received else late_refusal(exc)
            self._why = Why.RESET_MID_RESPONSE if refused is None else refused.why
        if other.is_lost:
            self._end()
        elif end.saw_eof:
            other.transport.close()
        else:
            self._reset_when_sent = other
            self._silent_since = time.monotonic()
            self._waiting = (0, 0)
            self._reset_sent(other, self._silent_since)

    def cut(self, why: Why) -> None:
        """Reset both ends now, also one that is closing with unsent bytes."""
        if self._why is None or self._why is Why.OK:
            self._why = why
        for end in (self.client, self.upstream):
            if not end.is_lost:
                reset(end.transport)

    def expire(self, now: float) -> None:
        """Cut the relay when it was idle for the timeout: no byte received, and no unsent byte taken by a peer."""
        if self._reset_when_sent is not None:
            self._reset_sent(self._reset_when_sent, now)
            return
        if self.upstream.is_unwatched:
            self.upstream.is_unwatched = False
            sock = self.upstream.transport.get_extra_info("socket")
            if sock is not None and not self.upstream.is_lost:
                keep_alive(sock)
        waiting = tuple(0 if end.is_lost else unsent(end.transport) for end in (self.client, self.upstream))
        if self._count() or waiting != self._waiting:
            self._waiting = waiting
            self._silent_since = now
        elif self._idle_s and now >= self._silent_since + self._idle_s:
            self.cut(Why.IDLE_TIMEOUT)
        self._look_again(now)

    def _reset_sent(self, end: RelayEnd, now: float) -> None:
        """Reset `end` when all its bytes are sent or its peer takes no more: an earlier reset would destroy those bytes."""
        before, left = self._waiting[0], unsent(end.transport)
        if left < before:
            self._silent_since = now
        self._waiting = (left, 0)
        if left and now < self._silent_since + min(self._idle_s or PARTING_S, PARTING_S):
            self.deadline = now + (_PARTING_SLOW_LOOK_S if left == before else _PARTING_LOOK_S)
            if self.deadline < self.looked_at:
                self._wheel.watch(self, now)
        else:
            self.deadline = NEVER
            reset(end.transport)

    def give_up(self) -> None:
        self.cut(Why.INTERNAL_ERROR)

    def _other(self, end: RelayEnd) -> RelayEnd:
        return self.upstream if end is self.client else self.client

    def _look_again(self, now: float) -> None:
        wait_s = self._idle_s / _LOOKS if self._idle_s else _COUNT_EVERY_S
        self.deadline = now + (_LASTS_S if self.upstream.is_unwatched and wait_s > _LASTS_S else wait_s)
        if self.deadline < self.looked_at:
            self._wheel.watch(self, now)

    def _count(self) -> bool:
        """Report the bytes since the last call to the observer; True when there were any."""
        seen = (self.client.bytes_received, self.upstream.bytes_received)
        if seen == self._seen:
            return False
        self._account.moved(seen[0] - self._seen[0], seen[1] - self._seen[1])
        self._seen = seen
        return True

    def _end(self) -> None:
        if not self._is_over:
            self._is_over = True
            self.deadline = NEVER
            self._wheel.forget(self)
            self._count()
            for end in (self.client, self.upstream):
                end.relay = end.other = end.peer = None
            self.client = self.upstream = _LEFT
            self._reset_when_sent = None
            self._account.ended(self._why or Why.OK)
