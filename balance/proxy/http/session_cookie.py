"""What an exchange does where its pool keeps sessions in a cookie: asks for the session's backend first, and sends the client
its cookie when that is new. Our cookie goes on to the backend with the client's others, as HAProxy and nginx have it.

The exchange holds the SessionLookup: what the pool has found out of this request's session.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from balance.http1.head import RequestFields, Response
from balance.http1.set_cookie import set_cookie
from balance.proxy.listener_settings import ListenerSettings
from balance.runtime import counters
from balance.runtime.affinity import SessionLookup
from balance.runtime.lease import Lease

if TYPE_CHECKING:
    from balance.proxy.http.exchange import Exchange

UNMOVED: Final = SessionLookup.unmoved()  # until the pool's key says otherwise


def lease_of_session(settings: ListenerSettings, fields: RequestFields, now: float) -> Lease | None:
    """Of the backend that the cookie names, where that is known without a look at the request; None leaves it to acquire()."""
    return settings.pool.acquire_by_cookie(fields, now)


def with_cookie(exchange: Exchange, lookup: SessionLookup, response: Response) -> Response:
    """The reply to a client whose session is new or has moved, with the cookie that says so."""
    settings, lease = exchange.settings, exchange.lease
    affinity, cookie = settings.pool.affinity, settings.cookie
    if cookie is None or lease is None or affinity is None or affinity.tokens is None:
        return response
    is_secure = exchange.view.is_secure if exchange.client.is_trusted else settings.scheme == "https"
    if not lookup.is_known:
        settings.worker.row.cells[lease.backend.block + counters.SESSIONS] += 1
    return response.with_line(set_cookie(cookie, affinity.tokens.token(lease.backend), is_secure=is_secure))
