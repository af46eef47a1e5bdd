"""What every connection of one worker shares: the loop, the clock's wheel, the counters, the way to a backend."""

from __future__ import annotations

import asyncio
import os
import weakref
from collections.abc import Callable
from itertools import count
from time import monotonic
from typing import Protocol

from balance.errors import UpstreamError
from balance.http1.response import ResponseReader
from balance.proxy.access_log import AccessLog
from balance.proxy.descriptor_limit import DescriptorLimit
from balance.proxy.net.dial import Resolver
from balance.proxy.net.timer_wheel import TICK_S, TimerWheel
from balance.proxy.warning_throttle import ThrottledWarning
from balance.runtime import counters
from balance.runtime.backend import Backend
from balance.runtime.counters import Row

MAX_WARNED_OF = 4096  # backends that come and go


class Acceptance(Protocol):
    """A listening socket that others are accepted from."""

    def resume(self) -> None:
        """There may be room, if it waits for some."""

    def crowd(self, is_crowded: bool) -> None:
        """Whether others want in, so that a client's next reply is its last."""


class Drainable(Protocol):
    """A client's connection, as a drain sees it, and whoever needs its place."""

    @property
    def clients(self) -> object:
        """Those of its listener."""

    def idle_since(self, now: float) -> float:
        """Since when it has waited for a request, NEVER while anything is going on."""

    def reclaim(self) -> bool:
        """Close it for another client's sake, if it is idle still. Whether it was."""

    def drain(self, *, is_patient: bool) -> None:
        """Close if nothing is going on. While `is_patient`, one that has not asked for anything yet may still do so."""

    def announce_close(self) -> None:
        """The deadline of a drain is near: tell the peers, where the protocol has a message for it. May be called again."""

    def cut(self) -> None:
        """The deadline of a drain has come."""


class Closable(Protocol):
    """A listener's settings, as a drain sees them."""

    is_closing: bool


class WorkerContext:
    """One per worker. `connections` are whatever must be ended at a drain, `settings_in_use` what they are served with."""

    __slots__ = (
        "access",
        "connections",
        "descriptors",
        "is_draining",
        "loop",
        "next_request_id",
        "resolver",
        "response_reader",
        "row",
        "settings_in_use",
        "short_of_resources",
        "tolerant_reader",
        "unreadable",
        "unreadable_replies",
        "wheel",
    )  # fmt: skip

    def __init__(self, loop: asyncio.AbstractEventLoop, row: Row, now: float, access: AccessLog | None) -> None:
        self.loop = loop
        self.row = row
        self.access = access
        self.wheel = TimerWheel(now)
        self.short_of_resources = ThrottledWarning(1.0)
        self.unreadable_replies: dict[str, ThrottledWarning] = {}  # by backend
        self.descriptors = DescriptorLimit()
        self.resolver = Resolver(loop)
        self.response_reader = ResponseReader()
        self.tolerant_reader = ResponseReader(is_tolerant=True)
        self.connections: set[Drainable] = set()
        self.settings_in_use: weakref.WeakSet[Closable] = weakref.WeakSet()
        self.is_draining = False
        self.unreadable = ThrottledWarning()  # what trusted proxies say of their clients
        id_format = os.urandom(8).hex().encode() + b"%08x"
        # An id that no other worker or start gives: 16 random hex digits of this worker and a count. An iterator rather than
        # a method, since every request asks for one: no frame is made for it.
        self.next_request_id: Callable[[], bytes] = map(id_format.__mod__, count(1)).__next__

    def drain(self) -> None:
        """From now on nothing is kept open for another request."""
        self.is_draining = True
        for settings in self.settings_in_use:
            settings.is_closing = True

    def lateness_s(self, now: float) -> float:
        """How long something that has happened may have waited for our attention: the worst of the last second."""
        board = self.row.cells
        return max(
            board[counters.LAG_MAX_US] / 1e6, now - board[counters.BEAT_US] / 1e6 - TICK_S if board[counters.BEAT_US] else 0.0
        )

    def dial_failed_here(self, error: UpstreamError) -> None:
        """For want of descriptors, ports or memory of ours: that says nothing of the backend, and must not pass in silence."""
        self.row.cells[counters.DIALS_FAILED_HERE] += 1
        self.short_of_resources.say(
            monotonic(), f"connections to backends can't be made for want of resources here: {error.detail}"
        )

    def reply_not_understood(self, backend: Backend, detail: str) -> None:
        """Said once a second at most for each backend."""
        warning = self.unreadable_replies.get(backend.name)
        if warning is None:
            if len(self.unreadable_replies) >= MAX_WARNED_OF:
                self.unreadable_replies.clear()
            warning = self.unreadable_replies[backend.name] = ThrottledWarning(1.0)
        warning.say(monotonic(), f"backend {backend.name} at {backend.address}: {detail}")
