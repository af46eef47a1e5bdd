"""What every connection of one worker shares: the loop, the clock's wheel, the counters, the way to a backend."""

from __future__ import annotations

import asyncio
import os
import weakref
from typing import Protocol

from balance.http1.response import ResponseReader
from balance.proxy.access import AccessLog
from balance.proxy.dial import Resolver
from balance.proxy.ratelimited import RateLimitedWarning
from balance.proxy.wheel import Wheel
from balance.runtime.cells import Row


class Drainable(Protocol):
    """A client's connection, as a drain sees it."""

    def drain(self, *, is_patient: bool) -> None:
        """Close if nothing is going on. While `is_patient`, one that has not asked for anything yet may still do so."""

    def farewell(self) -> None:
        """The deadline of a drain is near: tell the peers, where there is a word for it. May be called again."""

    def cut(self) -> None:
        """The deadline of a drain has come."""


class Closable(Protocol):
    """A listener's settings, as a drain sees them."""

    is_closing: bool


class Service:
    """One per worker. `connections` holds whatever must be ended at a drain, `entries` whatever they are served with."""

    __slots__ = ("_request_number", "_request_prefix", "access", "connections", "entries", "is_draining", "loop", "resolver",
                 "response_reader", "row", "unreadable", "wheel")  # fmt: skip

    def __init__(self, loop: asyncio.AbstractEventLoop, row: Row, now: float, access: AccessLog | None) -> None:
        self.loop = loop
        self.row = row
        self.access = access
        self.wheel = Wheel(now)
        self.resolver = Resolver(loop)
        self.response_reader = ResponseReader()
        self.connections: set[Drainable] = set()
        self.entries: weakref.WeakSet[Closable] = weakref.WeakSet()
        self.is_draining = False
        self.unreadable = RateLimitedWarning()  # what trusted proxies say of their clients
        self._request_prefix = os.urandom(8).hex().encode()
        self._request_number = 0

    def drain(self) -> None:
        """From now on nothing is kept open for another request."""
        self.is_draining = True
        for entry in self.entries:
            entry.is_closing = True

    def next_request_id(self) -> bytes:
        """An id that no other worker or start gives: 16 random hex digits of this worker and a count."""
        self._request_number += 1
        return b"%b%08x" % (self._request_prefix, self._request_number)
