"""An exchange of a client that is authenticated by connection (NTLM, Negotiate): its connection to the backend is its own.

Such authentication breaks HTTP's statelessness (RFC 4559 section 6): whoever sends on the connection afterwards is taken for
the user who was authenticated on it. As in HAProxy it is one client's from the reply that asks for such authentication on, or
from the request that brings it; it is parked with the client and closed with it.
"""

from __future__ import annotations

from typing import cast

from balance.errors import UpstreamError
from balance.http1.hash_key import KeyOf
from balance.proxy.http.connect import IDEMPOTENT
from balance.proxy.http.exchange import Exchange
from balance.proxy.http.session_cookie import StickyExchange
from balance.proxy.http.upstream import Upstream
from balance.runtime.affinity import Visit
from balance.runtime.backend import Backend
from balance.runtime.lease import Lease

_AT_HOME = Visit.at_home()


class TiedExchange(StickyExchange):
    """Goes to the backend where its client is known, as long as that may be used: also while it drains."""

    __slots__ = ()

    def choose(self, now: float, failed: UpstreamError | None = None, lease: Lease | None = None) -> None:
        if lease is None and not self._attempts:
            lease = self._bound(now)
        if lease is not None or self.settings.cookie is None:
            self._visit = _AT_HOME
            Exchange.choose(self, now, failed, lease)
        else:
            StickyExchange.choose(self, now, failed, lease)

    def _bound(self, now: float) -> Lease | None:
        """A lease of the backend that the client was at last. When that is full, it is as any other client."""
        pool, tied = self.settings.pool, self.client.tied
        while tied:
            upstream = cast(Upstream, tied[-1])
            if pool.serves_bound(upstream.backend):
                return pool.acquire_bound(upstream.backend, now)
            upstream.discard()  # gone, or unwell
        return None

    def _key(self, key_of: KeyOf) -> bytes:
        return (Exchange if self.settings.cookie is None else StickyExchange)._key(self, key_of)

    def _parked(self, backend: Backend, now: float) -> Upstream | None:
        tied = self.client.tied
        for parked in reversed(tied):
            upstream = cast(Upstream, parked)
            if upstream.backend is backend:
                # However long it has waited: only the backend may end it, and it is watched.
                if upstream.transport.is_closing() or not (self.request.method in IDEMPOTENT or upstream.is_silent()):
                    upstream.discard()
                    break
                tied.remove(upstream)
                upstream.parked_at = 0.0
                return upstream
        return Exchange._parked(self, backend, now)

    def _send(self, upstream: Upstream, now: float) -> None:
        if self.request.fields.ties:
            self.client.tie(upstream)
        Exchange._send(self, upstream, now)
