"""An exchange of a pool whose sessions stand in a cookie: the reply tells a client where it belongs, when that is news."""

from __future__ import annotations

from balance.http1.hashkey import KeyOf
from balance.http1.head import Request, Response
from balance.http1.setcookie import came_secure, set_cookie
from balance.proxy.attempts import Client
from balance.proxy.entry import Entry
from balance.proxy.exchange import Exchange
from balance.runtime import cells
from balance.runtime.backend import Backend
from balance.runtime.sticky import StickyPool, Visit


class StickyExchange(Exchange):
    """Our cookie goes on to the backend with the client's others, as HAProxy and nginx have it."""

    __slots__ = ("_begins_at", "_visit")

    def __init__(self, client: Client, entry: Entry, request: Request, bytes_in: int) -> None:
        super().__init__(client, entry, request, bytes_in)
        self._visit: bytes = b""
        self._begins_at: Backend | None = None  # the session that the reply will begin

    def _key(self, key_of: KeyOf) -> bytes:
        self._visit = super()._key(key_of)
        return self._visit

    def _reply(self, response: Response, body: bytes) -> None:
        super()._reply(self._introduced(response), body)

    def _switch(self, response: Response, early: bytes) -> None:
        super()._switch(self._introduced(response), early)

    def _write(self, head: bytes, body: bytes) -> None:
        if head and self._begins_at is not None:  # it is this reply that the client gets
            self.entry.service.row.cells[self._begins_at.block + cells.SESSIONS] += 1
            self._begins_at = None
        super()._write(head, body)

    def _introduced(self, response: Response) -> Response:
        """The reply with a cookie, if the client needs a new one."""
        visit, pool, cookie, lease = self._visit, self.entry.pool, self.entry.cookie, self._lease
        if not (isinstance(visit, Visit) and visit.is_moved and isinstance(pool, StickyPool)):
            return response
        if pool.tokens is None or cookie is None or lease is None:
            return response
        self._begins_at = None if visit.is_known else lease.backend
        is_secure = came_secure(self.request, self.entry.scheme, is_trusted=self.client.is_trusted)
        return response.with_line(set_cookie(cookie, pool.tokens.token(lease.backend), is_secure=is_secure))
