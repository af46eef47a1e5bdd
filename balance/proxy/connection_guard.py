"""The connection guard of a listener: bounds on the connections of one client address, and on how fast it opens them.

Who has too many is reset as soon as the connection is accepted, as access lists do: an answer would cost more than the attack.
Trusted proxies and the peers of Unix sockets stand for many clients, and have no bound.
"""

from __future__ import annotations

from time import monotonic
from typing import Any

from balance.access_lists.client_counts import ClientCounts, Place
from balance.config.model import ConnectionProtection
from balance.http1.forwarding.realip import TrustedProxies
from balance.model import Why
from balance.proxy.clients import Clients
from balance.proxy.listener_access import packed_address
from balance.proxy.worker_context import WorkerContext
from balance.runtime import counters
from balance.runtime.snapshot import Listener


class CountedClients(Clients):
    """Stands in for the Clients of a listener in one connection, whose end is counted for its address, too."""

    __slots__ = ("_counts", "_place", "of")

    def __init__(self, of: Clients, counts: ClientCounts, place: Place) -> None:
        self.of = of
        self._counts = counts
        self._place = place

    def leave(self) -> None:
        self._counts.leave(self._place)
        self.of.leave()

    @property
    def listener_clients(self) -> Clients:
        return self.of


class ConnectionGuard:
    """One listener's, in one worker; there is none unless it is enabled."""

    __slots__ = ("_config", "_counts", "_listener", "_trusted", "_worker")

    def __init__(self, worker: WorkerContext, listener: Listener, counts: ClientCounts) -> None:
        self._worker = worker
        self._listener = listener
        self._counts = counts
        self._config: ConnectionProtection = listener.protection
        trusted = TrustedProxies(listener.trusted_proxies)
        self._trusted = trusted if trusted else None

    def enter(self, address: Any, clients: Clients) -> Clients | None:
        """Where a new connection is counted, its place in `clients` included; None when it is refused.

        `address` as accept() returns it. A refused connection is not counted: who waits is let in again.
        """
        if type(address) is not tuple or (self._trusted is not None and self._trusted.has(address[0])):
            return clients
        packed = packed_address(address[0])
        if packed is None:
            return clients
        config, counts, now = self._config, self._counts, monotonic()
        place = counts.place(packed)
        if config.max_connections_per_ip and counts.connections(place, now) >= config.max_connections_per_ip:
            self._refused(
                address[0], Why.TOO_MANY_CONNECTIONS, counters.REFUSED_COUNT, f"has {config.max_connections_per_ip} connections"
            )
            return None
        if config.max_connection_rate and counts.opened(place, now) >= config.max_connection_rate:
            self._refused(
                address[0],
                Why.CONNECTION_RATE,
                counters.REFUSED_RATE,
                f"opens {config.max_connection_rate} connections a second",
            )
            return None
        counts.add(place, now)
        return CountedClients(clients, counts, place)

    def _refused(self, address: str, why: Why, cell: int, what: str) -> None:
        worker, listener = self._worker, self._listener
        cells = worker.row.cells
        cells[counters.WHY + why] += 1
        cells[counters.block(listener.slot) + cell] += 1
        worker.guarded.say(monotonic(), f"listener {listener.name}: {address} {what}; one more is reset")
