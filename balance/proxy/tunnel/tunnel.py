"""What an HTTP connection becomes after a 101: a relay between the client and the backend that agreed."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import Any, cast

from balance.model import Outcome, Why
from balance.proxy.access_log import AccessRecord
from balance.proxy.net.timer_wheel import NEVER
from balance.proxy.tcp.relay import RelayEnd
from balance.proxy.worker_context import Drainable, WorkerContext
from balance.runtime import counters
from balance.runtime.lease import Lease


class TunnelEnd(RelayEnd):
    """One end of a tunnel. The client's is known to the worker, so that a drain can end it."""

    __slots__ = ("_connections",)

    def __init__(self, connections: set[Drainable] | None) -> None:
        """`connections` is given for a client's."""
        RelayEnd.__init__(self)
        self._connections = connections
        if connections is not None:
            connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.forget()
        RelayEnd.connection_lost(self, exc)

    def forget(self) -> None:
        """A drain need not wait for this one."""
        if self._connections is not None:
            self._connections.discard(self)

    def drain(self, *, is_patient: bool) -> None:
        """A tunnel is left to end by itself."""

    def idle_since(self, now: float) -> float:
        """A tunnel is never idle."""
        return NEVER

    def reclaim(self) -> bool:
        """Nor may anybody have its place."""
        return False

    def announce_close(self) -> None:
        """Where in an unknown protocol a message of ours could stand is not known."""

    def cut(self) -> None:
        """The deadline of a drain."""
        if self.relay is not None:
            self.relay.cut(Why.DRAINING)

    def take_over(self, transport: asyncio.Transport, early: bytes, *, is_paused: bool, is_full: bool) -> None:
        """Be what `transport` speaks to from now on. `early` are bytes of it that wait."""
        self.transport = transport
        self.early = [early] if early else []
        self.is_paused = is_paused
        self.is_full = is_full
        transport.set_protocol(cast(Any, self))


class Tunnel:
    """The account of a tunnel: its bytes, its lease, and the line that tells of its end."""

    __slots__ = ("_lease", "_record", "_started", "_totals", "_worker")

    def __init__(self, worker: WorkerContext, lease: Lease, record: AccessRecord | None) -> None:
        """`record` is what the access log has of the request that opened it."""
        self._lease = lease
        self._worker = worker
        self._started = monotonic()
        self._record = record
        self._totals = (0, 0)

    def moved(self, from_client: int, from_upstream: int) -> None:
        self._totals = (self._totals[0] + from_client, self._totals[1] + from_upstream)
        counters.count_moved(self._worker.row, self._lease.backend.block, from_client, from_upstream)

    def ended(self, why: Why) -> None:
        now = monotonic()
        self._lease.backend.open_count -= 1  # counted as an Upstream, which it was
        self._worker.descriptors.upstreams -= 1
        self._lease.release(Outcome.ABORTED, now)  # its length says nothing about how fast the backend replies
        access, record = self._worker.access, self._record
        if access is not None and record is not None:
            record.method, record.why = "TUNNEL", why.word
            record.bytes_in, record.bytes_out = self._totals
            record.total_ms = round((now - self._started) * 1e3, 3)
            access.record(record)
