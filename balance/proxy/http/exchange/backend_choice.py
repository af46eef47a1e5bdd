"""Which backend gets a request: the choice, the wait in the queue, and what the client is told when there is nobody."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, cast

from balance.model import Outcome, Why
from balance.proxy.http.exchange.exchange_state import CHOOSING
from balance.proxy.http.exchange.queue_wait import FULL, QueueWait
from balance.proxy.http.exchange.tries import use
from balance.proxy.http.session_cookie import UNMOVED, asks_store, lease_of_session
from balance.retry.decision import RetryOutcome
from balance.runtime.lease import Lease
from balance.runtime.pool_view import PoolView
from balance.runtime.sessions.affinity import LookupExtractor
from balance.runtime.sessions.session_lookup import SessionLookup

if TYPE_CHECKING:
    from balance.proxy.http.exchange.exchange import Exchange


def choose(exchange: Exchange, now: float) -> None:
    """Choose the first backend."""
    client, settings = exchange.client, exchange.settings
    if settings.retrying is not None:
        settings.retrying.budget.requests += 1
    pool, lease = settings.pool, None
    if client.connection_auth is not None or settings.cookie is not None:
        lease = _bound_lease(exchange, now)
        if lease is None and pool.affinity is not None and pool.affinity.shared is not None:
            lookup = cast(SessionLookup, _key(exchange, cast(LookupExtractor, pool.key_of)))
            if asks_store(exchange, pool.affinity.shared, lookup, now):
                return
    if lease is None:
        lease = pool.acquire(b"" if pool.key_of is None else _key(exchange, pool.key_of), now)
    if lease is None:
        nobody(exchange, now)
    else:
        use(exchange, lease, now)


def _bound_lease(exchange: Exchange, now: float) -> Lease | None:
    """A lease of the backend that this client is bound to, by a reserved upstream or by a session."""
    settings, auth = exchange.settings, exchange.client.connection_auth
    lease = None if auth is None else auth.acquire(settings.pool, now)
    if settings.cookie is not None:
        exchange.lookup = UNMOVED
        if lease is None:
            lease = lease_of_session(settings, exchange.request.fields, now)
    return lease


def acquire(exchange: Exchange, now: float) -> Lease | None:
    """Ask the pool again, avoiding the backends tried."""
    pool = exchange.settings.pool
    return pool.acquire(b"" if pool.key_of is None else _key(exchange, pool.key_of), now, exchange.tried)


def _key(exchange: Exchange, key_of: LookupExtractor) -> bytes | SessionLookup:
    """The key that the pool's policy hashes; with sessions, the SessionLookup of this request."""
    if exchange.settings.cookie is not None and exchange.lookup.is_asked:
        return exchange.lookup  # what was found holds for all tries
    key = key_of(exchange.request.fields, exchange.request.target, exchange.client_address)
    if exchange.settings.cookie is not None:
        exchange.lookup = cast(SessionLookup, key)
    return key


def go_on(exchange: Exchange) -> None:
    """What is known of the session was found: choose a backend. No effect when the exchange has ended meanwhile."""
    if exchange.state is not CHOOSING:
        return
    now = monotonic()
    lease = acquire(exchange, now)
    if lease is None:
        nobody(exchange, now)
    else:
        use(exchange, lease, now)


def nobody(exchange: Exchange, now: float) -> None:
    """The pool has no lease to give: enter the queue if waiting may help and there is room, else end with an error."""
    pool, resend = exchange.settings.pool, exchange.resend
    if pool.queue is not None and pool.may_wait(exchange.tried):
        wait = exchange.queue_wait or QueueWait(exchange, pool.queue)
        if wait.join(now):
            exchange.queue_wait = wait
            return
    if resend is not None:
        resend.not_again(RetryOutcome.NOBODY)
        if resend.last_error is not None:  # more informative than a 503
            resend.fail(resend.last_error, Outcome.ABORTED)
            return
    why = pool.why_nobody
    exchange.fail(503, why, FULL if why is Why.LIMIT else _nobody_ready(exchange), Outcome.ABORTED)


def _nobody_ready(exchange: Exchange) -> str:
    pool, routing = exchange.settings.pool, exchange.routing
    if routing is not None and routing.region and type(pool) is PoolView and pool.keeps_off_ready():
        return f"no backend is ready in region {routing.region} or its fallback; those of other regions may not be used"
    return "no backend is ready" if pool.backends else "the pool is empty: nobody has been found or started yet"
