"""Session cookies in an exchange: leases the session's backend, and sets the cookie of a new or moved session.

Our cookie is forwarded to the backend with the client's other cookies, as in HAProxy and nginx. The exchange holds the
SessionLookup, the pool's result for the session of this request.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from balance.http1.head import RequestFields, Response
from balance.http1.set_cookie import set_cookie
from balance.model import Outcome, Why
from balance.proxy.listener_settings import ListenerSettings
from balance.proxy.net.timer_wheel import NEVER
from balance.runtime import counters
from balance.runtime.lease import Lease
from balance.runtime.sessions.session_lookup import SessionLookup
from balance.runtime.sessions.shared_sessions import SharedSessions, Step

if TYPE_CHECKING:
    from balance.proxy.http.exchange.exchange import Exchange

UNMOVED: Final = SessionLookup.unmoved()  # the default until the pool has looked the session up


def lease_of_session(settings: ListenerSettings, fields: RequestFields, now: float) -> Lease | None:
    """A lease of the cookie's backend if that takes no search (see Pool.acquire_by_cookie()); None: use acquire()."""
    return settings.pool.acquire_by_cookie(fields, now)


def asks_store(exchange: Exchange, shared: SharedSessions, lookup: SessionLookup, now: float) -> bool:
    """Find the session of a request where several machines share them. True: it waits for the store, or was refused.

    The store answers in time by itself. No task: Exchange.go_on() follows.
    """
    step = shared.ask(lookup, now, partial(_resume, exchange))  # a function in here would be in a cycle once compiled
    if step is Step.GO_ON:
        return False
    if step is Step.DENY:
        _deny(exchange)
    else:
        exchange.client.arm(now, NEVER)
    return True


def _resume(exchange: Exchange, step: Step) -> None:
    try:
        if step is Step.DENY:
            _deny(exchange)
        else:
            exchange.go_on()
    except Exception:  # called outside a transport callback, which would end the connection
        exchange.crashed()
        raise


def _deny(exchange: Exchange) -> None:
    exchange.fail(503, Why.SESSION_STORE, "sessions can't be looked up now", Outcome.ABORTED)


def with_cookie(exchange: Exchange, lookup: SessionLookup, response: Response) -> Response:
    """`response` with the cookie of a session that is new or has moved. Counts a new session."""
    settings, lease = exchange.settings, exchange.lease
    affinity, cookie = settings.pool.affinity, settings.cookie
    if cookie is None or lease is None or affinity is None:
        return response
    is_secure = exchange.view.is_secure if exchange.client.is_trusted else settings.scheme == "https"
    if not lookup.is_known and affinity.shared is None:  # those that machines share were counted as they were chosen for
        settings.worker.row.cells[lease.backend.block + counters.SESSIONS] += 1
    return response.with_line(set_cookie(cookie, affinity.cookie_value(lookup, lease.backend), is_secure=is_secure))
