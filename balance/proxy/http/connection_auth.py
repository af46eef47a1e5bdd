"""Reserves upstreams for one client that authenticates per connection (NTLM, Negotiate).

Such authentication breaks HTTP's statelessness (RFC 4559 section 6): the backend takes every later request on the connection
for one of the authenticated user. As in HAProxy, the upstream is reserved from the reply that asks for such authentication, or
from the request that carries it; it is parked with the client's connection and closed with it.

So is an upstream whose PROXY header names the client: no other may use it, but the client is not bound to its backend.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from balance.http1.head import Request
from balance.proxy.http.connect import IDEMPOTENT, take_parked
from balance.proxy.http.upstream import Upstream
from balance.runtime.backend import Backend, Parked
from balance.runtime.lease import Lease
from balance.runtime.pool import Pool

if TYPE_CHECKING:
    from balance.proxy.worker_context import Drainable

MAX_CONNECTIONS: Final = 4  # reserved upstreams per client connection


class ConnectionAuth:
    """The reserved upstreams of one client connection. Its exchanges look here before the backends' shared parked upstreams."""

    __slots__ = ("_client", "is_binding", "parked")

    def __init__(self, client: Drainable) -> None:
        self._client = client
        self.is_binding = False  # the client is authenticated there: its requests go where the last one went
        self.parked: list[Parked] = []

    def claim(self, upstream: Upstream) -> None:
        """Reserve `upstream`: it is authenticated for this client or about to be, and no other client may use it again.

        When MAX_CONNECTIONS are parked, the oldest are closed.
        """
        if upstream.owner is None and not upstream.is_shared:
            upstream.owner, upstream.parking = self, self.parked
            while len(self.parked) >= MAX_CONNECTIONS:
                self.parked[0].discard()

    def acquire(self, pool: Pool, now: float) -> Lease | None:
        """A lease of the backend that the client used last, while that may serve it; a draining backend may, as with sessions.

        None when there is no such backend or it is full: the client is then balanced like any other.
        """
        for parked in reversed(self.parked[:]) if self.is_binding else ():
            upstream: Upstream = parked  # type: ignore[assignment]  # only Upstreams are parked there
            backend = upstream.backend
            if pool.serves_bound(backend):
                return pool.acquire_bound(backend, now)
            # It is unhealthy, or a reload has removed it. Those of other routes' pools stay for their next request.
            if backend in pool.backends or not backend.idle_time.limit_s(now):
                upstream.discard()
        return None

    def take(self, backend: Backend, request: Request, now: float) -> Upstream | None:
        """A parked upstream to `backend`: one reserved for this client, else a shared one, else None."""
        upstream = self._own(backend, request.method, now) or take_parked(backend, request, now)
        if upstream is not None and request.fields.has_connection_auth:
            self.claim(upstream)
        return upstream

    def _own(self, backend: Backend, method: bytes, now: float) -> Upstream | None:
        for parked in reversed(self.parked):
            upstream: Upstream = parked  # type: ignore[assignment]
            if upstream.backend is backend:
                # No limit on its idle time where it is authenticated: only the backend may close it, and a close is noticed.
                is_stale = not self.is_binding and now - upstream.parked_at > backend.idle_time.limit_s(now)
                if is_stale or upstream.transport.is_closing() or not (method in IDEMPOTENT or upstream.is_silent()):
                    upstream.discard()
                    return None
                self.parked.remove(upstream)
                upstream.parked_at = 0.0
                return upstream
        return None

    def closed_by_backend(self) -> None:
        """The backend closed a reserved upstream: close the idle client connection too, as it would be without a proxy.

        The client takes its connection for an authenticated one, which it no longer is.
        """
        if self.is_binding:
            self._client.drain(is_patient=False)

    def close(self) -> None:
        """The client connection has ended: close its reserved upstreams."""
        for upstream in list(self.parked):
            upstream.discard()
