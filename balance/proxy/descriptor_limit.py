"""How many client connections a worker has file descriptors for (RLIMIT_NOFILE), and who waits for some.

Each client may need a second one for its backend, so what is left after the process's own and a reserve is counted in pairs, as
HAProxy derives maxconn from `ulimit -n`. The reserve is for what must go on at the limit: names that are looked up, logs that
are opened anew, the sockets of a reload.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Callable
from typing import Protocol

MAX_RESERVE = 256
UNLIMITED = 1 << 30


def _nobody_parks() -> None:
    pass


class Waiting(Protocol):
    """Whoever would accept if there were a descriptor."""

    def resume(self) -> None:
        """There may be one."""


class DescriptorLimit:
    """One per worker. `clients` and `upstreams` are the connections that it has or is about to have."""

    __slots__ = ("ceiling", "clients", "limit", "make_room", "most", "reserve", "upstreams", "waiting")

    def __init__(self, limit: int | None = None) -> None:
        """`limit` is the process's own where it is not given."""
        if limit is None:
            limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        if limit < 0:  # RLIM_INFINITY
            limit = UNLIMITED
        self.limit = limit
        self.reserve = reserve(limit)
        self.ceiling = limit - self.reserve // 2  # the kernel gives the lowest free number: one so high says that few are left
        self.clients = 0
        self.upstreams = 0  # connections to backends, parked ones included
        self.most = UNLIMITED  # clients at once
        self.waiting: list[Waiting] = []
        self.make_room: Callable[[], None] = _nobody_parks  # closes connections to backends that nobody uses now

    def measure(self) -> None:
        """Find out what the process has open besides connections: when it begins, and when that may have changed."""
        used = in_use()
        if used is not None:
            own = used - self.clients - self.upstreams
            self.most = max((self.limit - self.reserve - own) // 2, 1)

    def dialling(self) -> None:
        """A connection to a backend is about to be made."""
        self.upstreams += 1
        if self.upstreams > self.most:
            self.make_room()


def reserve(limit: int) -> int:
    """DescriptorLimit that no connection gets."""
    return min(max(limit // 16, 8), MAX_RESERVE)


def in_use() -> int | None:
    """How many descriptors this process has open. None where the system doesn't tell."""
    try:
        return len(os.listdir("/dev/fd")) - 1  # the last one is that of the directory itself
    except OSError:
        return None


def is_short(limit: int) -> bool:
    """Whether next to none is left in this process: the kernel gives the lowest free number."""
    try:
        lowest = os.dup(0)
    except OSError:
        return True
    os.close(lowest)
    return lowest >= limit - reserve(limit) // 2
