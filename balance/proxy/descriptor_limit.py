"""Limits a worker's client connections to what its file descriptors (RLIMIT_NOFILE) allow, and lists what waits for one.

Each client may need a second descriptor for its upstream, so what is left after the process's own descriptors and a reserve is
counted in pairs, as HAProxy derives maxconn from `ulimit -n`. The reserve is for what must work at the limit: name resolution,
reopening of logs, the sockets of a reload.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Callable
from typing import Final, Protocol

MAX_RESERVE: Final = 256
UNLIMITED: Final = 1 << 30


def _nobody_parks() -> None:
    pass


class Waiting(Protocol):
    """An acceptor that waits for a descriptor."""

    def resume(self) -> None:
        """A descriptor may be free."""


class DescriptorLimit:
    """One for each worker. `clients` and `upstreams` count connections, including those that are being made."""

    __slots__ = ("ceiling", "clients", "limit", "make_room", "most", "reserve", "upstreams", "waiting")

    def __init__(self, limit: int | None = None) -> None:
        """`limit` is in descriptors; None is the process's RLIMIT_NOFILE."""
        if limit is None:
            limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        if limit < 0:  # RLIM_INFINITY
            limit = UNLIMITED
        self.limit = limit
        self.reserve = reserve(limit)
        self.ceiling = limit - self.reserve // 2  # above it few are left: the kernel gives the lowest free number
        self.clients = 0
        self.upstreams = 0  # connections to backends, parked ones included
        self.most = UNLIMITED  # the most clients at once
        self.waiting: list[Waiting] = []
        self.make_room: Callable[[], None] = _nobody_parks  # closes parked connections

    def measure(self) -> None:
        """Recompute `most` from the descriptors open besides connections: at the start, and when they may have changed."""
        used = in_use()
        if used is not None:
            own = used - self.clients - self.upstreams
            self.most = max((self.limit - self.reserve - own) // 2, 1)

    def dialling(self) -> None:
        """Count a connection to a backend that is about to be made."""
        self.upstreams += 1
        if self.upstreams > self.most:
            self.make_room()


def reserve(limit: int) -> int:
    """The number of descriptors that are kept free of connections: 1/16 of `limit`, between 8 and MAX_RESERVE."""
    return min(max(limit // 16, 8), MAX_RESERVE)


def in_use() -> int | None:
    """The number of open descriptors of this process; None where the system does not tell."""
    try:
        return len(os.listdir("/dev/fd")) - 1  # without that of the directory itself
    except OSError:
        return None


def is_short(limit: int) -> bool:
    """Whether half of the reserve is used up: the kernel gives the lowest free number."""
    try:
        lowest = os.dup(0)
    except OSError:
        return True
    os.close(lowest)
    return lowest >= limit - reserve(limit) // 2
