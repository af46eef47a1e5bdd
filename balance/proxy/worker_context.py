"""What all connections of one worker share: the loop, the poll of plain ones, the timer wheel, the row, the access log, the
resolver, the limits.
"""

from __future__ import annotations

import asyncio
import os
import weakref
from collections.abc import Callable, Iterable
from random import random
from time import monotonic
from typing import Any, Final, Protocol

from balance.access_lists.client_counts import ClientCounts
from balance.access_lists.shared_blocks import SharedBlocks
from balance.errors import UpstreamError
from balance.holder import Holder
from balance.http1.response import ResponseReader
from balance.proxy.access_log import AccessLog
from balance.proxy.buffer_budget import BufferBudget
from balance.proxy.descriptor_limit import DescriptorLimit
from balance.proxy.net.dial import Resolver
from balance.proxy.net.job_threads import JobThreads
from balance.proxy.net.timer_wheel import TICK_S, TimerWheel
from balance.proxy.net.transport_poll import TransportPoll
from balance.proxy.net.turns import Turns
from balance.proxy.preread import Caller
from balance.proxy.tracing.tracer import Tracer
from balance.proxy.warning_throttle import NO_REQUEST, RequestIds, ThrottledWarning, about, log
from balance.runtime import counters
from balance.runtime.backend import Backend
from balance.runtime.health_gate import Shared
from balance.runtime.row import Row

_LAST_DIGITS: Final = [b"%02x" % number for number in range(256)]
MAX_WARNED_OF: Final = 4096  # backends; a bound, as backends come and go


class Acceptance(Protocol):
    """A listening socket that accepts clients."""

    def resume(self) -> None:
        """There may be room: accept again if it waits for some."""

    def crowd(self, is_crowded: bool) -> None:
        """While other clients wait for room, each reply closes its client's connection."""


class Drainable(Protocol):
    """A client's connection, as seen by a drain and by what makes room for other clients."""

    @property
    def clients(self) -> object:
        """The Clients of its listener."""

    @property
    def client_address(self) -> str:
        """The address of its client; UNKNOWN for the peer of a Unix socket."""

    def idle_since(self, now: float) -> float:
        """The monotonic time since which it has waited for a request; NEVER while it is not idle."""

    def reclaim(self) -> bool:
        """Close it to make room for another client, if it is still idle. Returns whether it was."""

    def drain(self, *, is_patient: bool) -> None:
        """Close it if it is idle. While `is_patient`, a connection without a request so far stays open."""

    def announce_close(self) -> None:
        """The deadline of a drain is near: tell the peers, if the protocol has a message for it. May be called repeatedly."""

    def cut(self) -> None:
        """The deadline of a drain has passed: end it now."""


class Closable(Protocol):
    """A listener's settings, as seen by a drain."""

    is_closing: bool


class HasIdle(Protocol):
    """Something with connections of its own, as seen by a drain."""

    def close_idle(self) -> None:
        """Close those that are idle."""


class WorkerContext:
    """One for each worker. `connections` are those that a drain must end, `settings_in_use` the settings that they have."""

    __slots__ = (
        "_counts",
        "_http2_ended",
        "_ids",
        "_ids_begin",
        "_make_counts",
        "_plain",
        "_tls_refused",
        "_worker_id",
        "access",
        "authorizers",
        "blocked",
        "blocks",
        "buffered",
        "callers",
        "connections",
        "copy_queues",
        "descriptors",
        "guarded",
        "is_draining",
        "jobs",
        "loop",
        "rand",
        "resolver",
        "response_reader",
        "row",
        "settings_in_use",
        "short_of_resources",
        "tolerant_reader",
        "tracer",
        "turns",
        "unheaded",
        "unreadable",
        "unreadable_replies",
        "wheel",
    )  # fmt: skip

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        row: Row,
        now: float,
        access: AccessLog | None,
        shared: Shared | None = None,
    ) -> None:
        self.loop = loop
        self.row = row
        self.access = access
        self.tracer: Tracer | None = None
        shared = shared or Shared.with_nobody(row.cells)
        self.blocks = SharedBlocks(shared.blocks)  # addresses that were blocked at run time
        self._make_counts = shared.client_counts
        self._counts: ClientCounts | None = None
        self._plain: TransportPoll | None = None
        self.unheaded = ThrottledWarning()  # connections without the PROXY header that they need
        self.guarded = ThrottledWarning()  # connections that a connection guard refused
        self.blocked = ThrottledWarning()  # connections of addresses that are blocked
        self.buffered = BufferBudget(row.cells)
        self.turns = Turns(loop)
        self.wheel = TimerWheel(now)
        self.short_of_resources = ThrottledWarning(1.0)
        self.unreadable_replies: dict[str, ThrottledWarning] = {}  # by pool/backend
        self.descriptors = DescriptorLimit()
        self.resolver = Resolver(loop)
        self.response_reader = ResponseReader()
        self.tolerant_reader = ResponseReader(is_tolerant=True)
        self.connections: set[Drainable] = set()
        self.callers: set[Caller] = set()  # connections at a step that waits, which have no transport yet
        self.authorizers: dict[str, HasIdle] = {}  # by pool, see authorizing.authorizer
        self.copy_queues: dict[str, HasIdle] = {}  # by mirror, see mirroring.copy_queue
        self.settings_in_use: weakref.WeakSet[Holder[Any]] = weakref.WeakSet()  # each holds a Closable
        self.is_draining = False
        self.rand: Callable[[], float] = random
        self.jobs = JobThreads(loop)  # what takes long and needs no loop: hashes of passwords
        self._tls_refused: dict[str, ThrottledWarning] = {}  # by the reason, one of a few words
        self._http2_ended: dict[str, ThrottledWarning] = {}  # by the kind of the fault
        self.unreadable = ThrottledWarning()  # client addresses from trusted proxies that can't be read
        # Of request ids: 16 random hex digits of this worker, and of a count the six that are another every 256 requests.
        self._worker_id = os.urandom(8).hex().encode()
        self._ids_begin = self._worker_id + b"000000"
        self._ids = 0

    def next_request_id(self) -> bytes:
        """An id unique over workers and restarts, of 24 hex digits; later ones are greater."""
        self._ids = number = self._ids + 1
        low = number & 0xFF
        if not low:
            self._ids_begin = b"%b%06x" % (self._worker_id, number >> 8)
        return self._ids_begin + _LAST_DIGITS[low]

    @property
    def client_counts(self) -> ClientCounts:
        """The connections of each client address; made by the first listener that has a connection guard."""
        if self._counts is None:
            self._counts = self._make_counts()
        return self._counts

    @property
    def plain(self) -> TransportPoll:
        """Plain connections; see TransportPoll.

        Made when first asked for; OSError when there is no descriptor for its epoll.
        """
        if self._plain is None:
            self._plain = TransportPoll(self.loop, self.wheel)
        return self._plain

    def close(self) -> None:
        """At the end of a worker, when no connection is left."""
        if self._plain is not None:
            self._plain.close()
            self._plain = None

    def drain(self) -> None:
        """From now on no connection is kept open for another request."""
        self.is_draining = True
        for owner in (*self.copy_queues.values(), *self.authorizers.values()):
            owner.close_idle()
        for holder in self.settings_in_use:
            holder.held.is_closing = True

    def tls_refused(self, kind: str, message: str) -> None:
        """Log a TLS connection that failed, throttled for each kind of reason: so a scan hides no expired certificate."""
        warning = self._tls_refused.get(kind)
        if warning is None:
            warning = self._tls_refused[kind] = ThrottledWarning()
        warning.say(monotonic(), message)

    def http2_ended(self, kind: str, message: str) -> None:
        """Log a client's connection of HTTP/2 that was ended for what the client did, throttled for each kind."""
        warning = self._http2_ended.get(kind)
        if warning is None:
            warning = self._http2_ended[kind] = ThrottledWarning()
        warning.say(monotonic(), message)

    def close_idle_of(self, settings: Iterable[Closable]) -> None:
        """Close the connections with these settings that wait for a request."""
        ended = set(settings)
        for connection in list(self.connections):
            if getattr(connection, "settings", None) in ended:
                connection.drain(is_patient=False)

    def lateness_s(self, now: float) -> float:
        """How long an event may have waited for this worker's loop, in seconds: the worst of the last second."""
        board = self.row.cells
        return max(
            board[counters.LAG_MAX_US] / 1e6, now - board[counters.BEAT_US] / 1e6 - TICK_S if board[counters.BEAT_US] else 0.0
        )

    def dial_failed_here(self, error: UpstreamError, ids: RequestIds = NO_REQUEST) -> None:
        """Count and log a dial that failed for want of local descriptors, ports or memory: not a failure of the backend."""
        self.row.cells[counters.DIALS_FAILED_HERE] += 1
        self.short_of_resources.say(
            monotonic(), f"connections to backends can't be made for want of resources here: {error.detail}", ids
        )

    def handshake_failed(self, backend: Backend, error: UpstreamError, ids: RequestIds = NO_REQUEST) -> None:
        """Log a TLS handshake that failed, at most once a second for each backend."""
        self.reply_not_understood(backend, f"{error.why.word}: {error.detail}", ids)

    def reply_not_understood(self, backend: Backend, detail: str, ids: RequestIds = NO_REQUEST) -> None:
        """Log a reply that could not be parsed, at most once a second for each backend."""
        name = f"{backend.pool_name}/{backend.name}"
        warning = self.unreadable_replies.get(name)
        if warning is None:
            if len(self.unreadable_replies) >= MAX_WARNED_OF:
                self.unreadable_replies.clear()
            warning = self.unreadable_replies[name] = ThrottledWarning(1.0)
        warning.say(monotonic(), f"backend {name} at {backend.address}: {detail}", ids)

    def request_crashed(self, ids: RequestIds) -> None:
        """Log that a request met a bug of ours: the traceback, which others log, does not name it."""
        log.error("a request ends by a fault of Balance's own, whose traceback is in this log, too", extra=about(ids))
