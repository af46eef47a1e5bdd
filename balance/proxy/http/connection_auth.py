"""The connections to backends that are one client's own, because it is authenticated by connection (NTLM, Negotiate).

Such authentication breaks HTTP's statelessness (RFC 4559 section 6): whoever sends on the connection afterwards is taken for
the user who was authenticated on it. As in HAProxy it is one client's from the reply that asks for such authentication on, or
from the request that brings it; it is parked with the client and closed with it.
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
    from balance.proxy.http.client import HttpClient

MAX_CONNECTIONS: Final = 4  # so many backends a client may be authenticated at over one connection


class ConnectionAuth:
    """Of one client; asked by its exchanges before the backends' own parked connections."""

    __slots__ = ("_client", "parked")

    def __init__(self, client: HttpClient) -> None:
        self._client = client
        self.parked: list[Parked] = []

    def claim(self, upstream: Upstream) -> None:
        """That connection is authenticated for this client, or about to be: nobody else may ever use it."""
        if upstream.owner is None:
            upstream.owner, upstream.parking = self, self.parked
            while len(self.parked) >= MAX_CONNECTIONS:
                self.parked[0].discard()

    def acquire(self, pool: Pool, now: float) -> Lease | None:
        """A lease of the backend that the client was at last, as long as that may be used: also while it drains. When that is
        full, the client is as any other."""
        while self.parked:
            upstream: Upstream = self.parked[-1]  # type: ignore[assignment]  # nobody else parks there
            if pool.serves_bound(upstream.backend):
                return pool.acquire_bound(upstream.backend, now)
            upstream.discard()  # gone, or unwell
        return None

    def take(self, backend: Backend, request: Request, now: float) -> Upstream | None:
        """A parked connection to that backend: the client's own, or else one that anybody may have."""
        upstream = self._own(backend, request.method) or take_parked(backend, request.method, now)
        if upstream is not None and request.fields.has_connection_auth:
            self.claim(upstream)
        return upstream

    def _own(self, backend: Backend, method: bytes) -> Upstream | None:
        for parked in reversed(self.parked):
            upstream: Upstream = parked  # type: ignore[assignment]
            if upstream.backend is backend:
                # However long it has waited: only the backend may end it, and it is watched.
                if upstream.transport.is_closing() or not (method in IDEMPOTENT or upstream.is_silent()):
                    upstream.discard()
                    return None
                self.parked.remove(upstream)
                upstream.parked_at = 0.0
                return upstream
        return None

    def closed_by_backend(self) -> None:
        """So the client's own connection is not what the client takes it for: it ends as it would without us."""
        self._client.drain(is_patient=False)

    def close(self) -> None:
        """The client has gone."""
        for upstream in list(self.parked):
            upstream.discard()
