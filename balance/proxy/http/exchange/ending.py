"""How an exchange ends: with a reply that is complete, an error, a tunnel; what it held is settled once, by end()."""

from __future__ import annotations

import enum
from time import monotonic
from typing import TYPE_CHECKING, Final

from balance.http1.head import Response
from balance.log_lines.access_record import AccessValues
from balance.model import Outcome, Why
from balance.proxy.http.exchange.account import count_exchange
from balance.proxy.http.exchange.exchange_state import ENDED, REPLYING
from balance.proxy.http.routed.settled_request import routing_of
from balance.proxy.http.session_cookie import with_cookie
from balance.proxy.http.upgrade import is_asked_for
from balance.retry.decision import RetryOutcome
from balance.stages.stage import Reply

if TYPE_CHECKING:
    from balance.proxy.http.exchange.exchange import Exchange

# Bytes. A backend that refuses a longer request body may not have read it. Some (gunicorn's gthread) announce keep-alive, but
# close the connection when they find the rest of the body, while the next request is sent on it.
READ_AT_ONCE: Final = 16 * 1024

_OK: Final = Outcome.OK


class Fate(enum.Enum):
    """What happens to the upstream when its exchange ends."""

    CLOSED = 0
    KEPT = 1  # parked for the next request
    TUNNEL = 2  # handed to a tunnel, together with the lease


CLOSED: Final = Fate.CLOSED
KEPT: Final = Fate.KEPT
TUNNEL: Final = Fate.TUNNEL


def end_well(exchange: Exchange, response: Response, is_exact: bool, now: float) -> None:
    """The reply is complete and written. `is_exact`: no bytes followed it, and a close did not mark its end."""
    upstream, upload = exchange.upstream, exchange.upload
    assert upstream is not None
    if response.idle_timeout_s:
        upstream.backend.idle_time.announced(response.idle_timeout_s)
    is_kept = response.keep_alive and is_exact and not upstream.is_full
    if upload is not None and (
        not upload.is_done or (exchange.status >= 400 and upload.received > READ_AT_ONCE and upstream.owner is None)
    ):
        is_kept = False
    try:
        end(exchange, _OK, now, KEPT if is_kept else CLOSED)
    finally:  # also when counting fails: the client has its reply
        exchange.client.end_reply(now)


def switch(exchange: Exchange, response: Response, early: bytes) -> None:
    """A 101: hand both connections to a tunnel; `early` are the bytes that came with it.

    The rest of a request body precedes the new protocol (RFC 9110 section 7.8), so the tunnel relays it unparsed like all
    other bytes: neither connection is used for another request.
    """
    client, lease, upstream = exchange.client, exchange.lease, exchange.upstream
    if not is_asked_for(exchange.request, response):
        fail(exchange, 502, Why.BAD_RESPONSE, "the backend switches protocols unasked", Outcome.FAILED)
        return
    assert lease is not None and upstream is not None
    routing = routing_of(exchange)
    if routing is not None:  # a 101 is a final reply to its request, so the route's changes are for it, too, as in Envoy
        response = routing.reply(response)
    if exchange.settings.cookie is not None and exchange.lookup.is_moved:
        response = with_cookie(exchange, exchange.lookup, response)
    exchange.status = 101
    exchange.bytes_out += client.writer.switching(exchange, response)
    record = end(exchange, Outcome.ABORTED, monotonic(), TUNNEL)  # a tunnel's duration says nothing about the backend
    client.become_tunnel(upstream, lease, early, record)


def own_reply(exchange: Exchange, reply: Reply) -> None:
    """End with a reply that a stage has made."""
    if reply.body is None and reply.status >= 400:
        fail(exchange, reply.status, reply.why, reply.detail, Outcome.ABORTED, lines=reply.lines)
    elif exchange.state is not ENDED:
        exchange.why = reply.why
        exchange.status = reply.status
        if exchange.grpc is not None and reply.status >= 400:
            reply = exchange.grpc.error(reply.status, reply.why, reply.detail, b"")
        exchange.bytes_out += exchange.client.writer.own(exchange, reply)
        end(exchange, Outcome.ABORTED, monotonic(), CLOSED, reply.detail)
        exchange.client.end_error()


def fail(
    exchange: Exchange, status: int, why: Why, detail: str, outcome: Outcome, log_detail: str = "", lines: bytes = b""
) -> None:
    """End with an error reply if no reply has begun; else break off, so that the reply does not look complete.

    `detail` is sent to the client; `log_detail` replaces it in the log; `lines` are more fields of the reply.
    """
    if exchange.state is ENDED:
        return
    if outcome is Outcome.FAILED and (exchange.resend is None or exchange.resend.again <= RetryOutcome.MADE):
        exchange.failed_try().not_again(RetryOutcome.BEGUN)  # no other reason against a resend was recorded
    has_replied = exchange.state is REPLYING
    exchange.why = why
    if why is Why.BAD_RESPONSE and exchange.lease is not None:
        exchange.settings.worker.reply_not_understood(exchange.lease.backend, detail, exchange.ids())
    if not has_replied:
        exchange.status = status
        if exchange.grpc is None:
            exchange.bytes_out += exchange.client.writer.error(exchange, status, why, detail, lines)
        else:
            exchange.bytes_out += exchange.client.writer.own(exchange, exchange.grpc.error(status, why, detail, lines))
    end(exchange, outcome, monotonic(), CLOSED, log_detail or detail)
    if has_replied:
        exchange.client.break_off(is_stuck=why is Why.CLIENT_TOO_SLOW)
    else:
        exchange.client.end_error()


def end(exchange: Exchange, outcome: Outcome, now: float, fate: Fate, detail: str = "") -> AccessValues | None:
    """The only way to end: settles the upstream (by `fate`), the lease and the counters, once."""
    upstream, lease = exchange.upstream, exchange.lease
    waited = exchange.queue_wait is not None or exchange.resend is not None
    if waited:
        _wait_no_more(exchange, now)
    routing = exchange.routing
    if routing is not None and (routing.is_waiting or routing.encoded is not None):
        routing.done()
    upload = exchange.upload
    if upload is not None:
        upload.release()
        if upload.copy is not None:
            upload.copy.break_off()
            upload.copy = None
    exchange.state = ENDED
    exchange.upstream = exchange.lease = None
    if upstream is not None:
        if fate is KEPT:
            upstream.park(now, exchange.settings)
        elif fate is CLOSED:
            upstream.discard()
        else:
            upstream.exchange = None
    if lease is not None:
        if fate is TUNNEL:
            lease.answered(now)
        elif exchange.grpc is not None:
            exchange.grpc.release(exchange, lease, outcome, now)
        else:
            lease.release(outcome, now, None, exchange.status if outcome is _OK else exchange.why)
    record = count_exchange(exchange, now, lease, outcome, detail)
    if routing is not None:
        exchange.routing = None  # each holds the other: else they would wait for the garbage collector
    if waited:
        exchange.queue_wait = exchange.resend = None  # likewise
    return record


def _wait_no_more(exchange: Exchange, now: float) -> None:
    if exchange.queue_wait is not None:
        exchange.queue_wait.leave(now)
    if exchange.resend is not None:
        exchange.resend.done()
