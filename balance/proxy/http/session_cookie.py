"""An exchange of a pool whose sessions stand in a cookie: the reply tells a client where it belongs, when that is news."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from balance.errors import UpstreamError
from balance.http1.hash_key import KeyOf
from balance.http1.head import Response
from balance.http1.set_cookie import set_cookie
from balance.proxy.http.connect import REPLYING
from balance.proxy.http.exchange import Exchange
from balance.runtime import counters
from balance.runtime.affinity import Visit
from balance.runtime.lease import Lease

_AT_HOME = Visit.at_home()


class StickyExchange(Exchange):
    """Our cookie goes on to the backend with the client's others, as HAProxy and nginx have it."""

    __slots__ = ("_visit",)
    _visit: Visit  # the newest, from the first choice on; there is no reply before one

    # The class is named where super() would do: that costs every request 0.1 us each time.

    def choose(self, now: float, failed: UpstreamError | None = None, lease: Lease | None = None) -> None:
        if lease is None and not self._attempts:
            lease = self.settings.pool.revisit(self.request.fields, now)
            self._visit = _AT_HOME  # or _key() makes another
        Exchange.choose(self, now, failed, lease)

    def _key(self, key_of: KeyOf) -> bytes:
        fields, peer = self.request.fields, self.client.peer  # Attempts._key() in line
        if self.client.is_trusted:
            peer = self.view.address
        key = key_of(fields, self.request.target, peer)
        self._visit = cast(Visit, key)
        return key

    def _reply(self, response: Response, body: bytes) -> None:
        if self._visit.is_moved:
            self._introduce(super()._reply, response, body)
        else:
            Exchange._reply(self, response, body)

    def _switch(self, response: Response, early: bytes) -> None:
        self._introduce(super()._switch, response, early)

    def _introduce(self, go_on: Callable[[Response, bytes], None], response: Response, rest: bytes) -> None:
        """Go on with the reply, and with a cookie in it if the client needs a new one."""
        visit, pool, cookie, lease = self._visit, self.settings.pool, self.settings.cookie, self._lease
        tokens = pool.affinity.tokens if pool.affinity is not None else None
        if not visit.is_moved or tokens is None or cookie is None or lease is None:
            go_on(response, rest)
            return
        is_secure = self.view.is_secure if self.client.is_trusted else self.settings.scheme == "https"
        attempts = self._attempts
        go_on(response.with_line(set_cookie(cookie, tokens.token(lease.backend), is_secure=is_secure)), rest)
        if not visit.is_known and self._at >= REPLYING and self._attempts == attempts:  # it is this reply that the client got
            self.settings.worker.row.cells[lease.backend.block + counters.SESSIONS] += 1
