"""What an HTTP connection becomes after a 101: a relay between the client and the backend that agreed."""

from __future__ import annotations

from time import monotonic
from typing import Any, cast

from balance.log_lines.access_record import TUNNEL, AccessRecord, AccessValues
from balance.model import Outcome, Why
from balance.proxy.net.polled_transport import AnyTransport
from balance.proxy.net.timer_wheel import NEVER
from balance.proxy.tcp.relay import RelayEnd
from balance.proxy.worker_context import Drainable, WorkerContext
from balance.runtime import counters
from balance.runtime.lease import Lease


class TunnelEnd(RelayEnd):
    """One end of a tunnel. The client's end is registered with the worker, so that a drain can end it."""

    __slots__ = ("_connections", "client_address")

    def __init__(self, connections: set[Drainable] | None) -> None:
        """`connections` is the worker's set for a client's end, None for a backend's."""
        RelayEnd.__init__(self)
        self.client_address = ""  # of a client's end
        self._connections = connections
        if connections is not None:
            connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.forget()
        RelayEnd.connection_lost(self, exc)

    def forget(self) -> None:
        """Remove it from the worker's connections, for which a drain waits."""
        if self._connections is not None:
            self._connections.discard(self)

    def drain(self, *, is_patient: bool) -> None:
        """No effect: a tunnel is left to end by itself until cut()."""

    def idle_since(self, now: float) -> float:
        """NEVER: a tunnel does not count as idle."""
        return NEVER

    def reclaim(self) -> bool:
        """False: a tunnel is not closed to make room for another client."""
        return False

    def announce_close(self) -> None:
        """No effect: in an unknown protocol no message can be inserted."""

    def cut(self) -> None:
        """The deadline of a drain has passed: end the tunnel now."""
        if self.relay is not None:
            self.relay.cut(Why.DRAINING)

    def take_over(self, transport: AnyTransport, early: bytes, *, is_paused: bool, is_full: bool) -> None:
        """Become the protocol of `transport`. `early` are bytes already read from it, `is_paused` and `is_full` its state."""
        self.transport = transport
        self.early = [early] if early else None
        self.is_paused = is_paused
        self.is_full = is_full
        transport.set_protocol(cast(Any, self))


class Tunnel:
    """The account of a tunnel: its bytes, its lease, and its line in the access log."""

    __slots__ = ("_lease", "_record", "_started", "_totals", "_worker")

    def __init__(self, worker: WorkerContext, lease: Lease, record: AccessValues | None) -> None:
        """`record` is the access log record of the request that opened it, if there is an access log."""
        self._lease = lease
        self._worker = worker
        self._started = monotonic()
        self._record = record
        self._totals = (0, 0)

    def moved(self, from_client: int, from_upstream: int) -> None:
        self._totals = (self._totals[0] + from_client, self._totals[1] + from_upstream)
        self._worker.row.count_moved(self._lease.backend.block, from_client, from_upstream)

    def ended(self, why: Why) -> None:
        now = monotonic()
        self._worker.row.cells[counters.WHY + why] += 1  # as its line in the log, beside that of its request
        self._lease.backend.open_count -= 1  # counted by Upstream.opened()
        self._worker.descriptors.upstreams -= 1
        self._lease.release(Outcome.ABORTED, now)  # its duration is no latency of the backend
        access = self._worker.access
        if access is not None and self._record is not None:
            record = AccessRecord._make(self._record)._replace(
                method=TUNNEL,
                why=why.word,
                bytes_in=self._totals[0],
                bytes_out=self._totals[1],
                total_us=int((now - self._started) * 1e6),
            )
            access.record(record)
