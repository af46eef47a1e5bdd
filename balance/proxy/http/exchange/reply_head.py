"""The head of a backend's reply: passed over for another try, or sent on, with a body that came whole with it."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Final

from balance.http1.chunked import is_whole
from balance.http1.framing import BY_CHUNKS, BY_LENGTH, NO_BODY
from balance.http1.head import Response
from balance.model import Outcome, Why
from balance.proxy.http.exchange.deadlines import await_next
from balance.proxy.http.exchange.ending import end_well
from balance.proxy.http.exchange.exchange_state import REPLYING
from balance.proxy.http.exchange.reply_body import begin_body
from balance.proxy.http.grpc.call import GrpcCall
from balance.proxy.http.routed.settled_request import settled_reply
from balance.proxy.http.session_cookie import with_cookie

if TYPE_CHECKING:
    from balance.proxy.http.exchange.exchange import Exchange

_now: Final = monotonic  # compiled, what is imported is looked up at each call

# 1xx replies per request, against a backend that sends them without end. The limit grows by INTERIMS_PER_S each second, so that
# a backend that sends 102 during a long request never reaches it.
MAX_INTERIMS: Final = 100
INTERIMS_PER_S: Final = 10


def interim(exchange: Exchange, response: Response) -> bool:
    """Forward a 1xx. False when it exceeded the limit and ended the exchange."""
    exchange.interims += 1
    if exchange.interims > MAX_INTERIMS + INTERIMS_PER_S * (monotonic() - exchange.started):
        exchange.fail(502, Why.BAD_RESPONSE, "the backend sends interim replies without end", Outcome.FAILED)
        return False
    if exchange.upload is not None:
        exchange.upload.awaits_continue = False
    exchange.client.writer.interim(exchange, response)
    await_next(exchange, monotonic())
    return True


def begin_reply(exchange: Exchange, response: Response, data: bytes, end: int) -> None:
    """The final reply's head; from `end` on `data` has the bytes that came with it."""
    encoded = None
    if exchange.grpc is not None:
        if _is_call_passed_over(exchange, exchange.grpc, response):
            return
        response = exchange.grpc.reply(exchange, response)
        encoded = exchange.grpc.encoded
    if response.is_uncommon or exchange.resend is not None:
        if _is_passed_over(exchange, response, data[end:]):
            return
        if response.has_connection_auth and exchange.upstream is not None and not exchange.upstream.is_shared:
            exchange.client.claim(exchange.upstream)
    if exchange.settled is not None:
        response = settled_reply(exchange, exchange.settled, response)
    elif exchange.routing is not None:
        response = exchange.routing.reply(response)
    if exchange.routing is not None and encoded is None:
        encoded = exchange.routing.encoded
    if (
        exchange.settings.cookie is not None and exchange.lookup.is_moved
    ):  # after the route's changes, which are for the backend's
        response = with_cookie(exchange, exchange.lookup, response)
    framing = NO_BODY if exchange.request.method == b"HEAD" else response.framing
    exchange.status = response.status
    exchange.head_at = now = _now()
    size = len(data) - end
    if framing is BY_LENGTH and encoded is None and size == response.length:
        exchange.state = REPLYING
        exchange.bytes_out = exchange.client.writer.whole(exchange, response, data, end)
        end_well(exchange, response, True, now)
    elif framing is NO_BODY:
        exchange.state = REPLYING
        exchange.bytes_out = exchange.client.writer.begin(exchange, response, framing, b"", None)
        end_well(exchange, response, not size, now)
    elif framing is BY_CHUNKS and encoded is None and exchange.request.minor == 1 and is_whole(chunks := data[end:]):
        exchange.state = REPLYING
        exchange.bytes_out = exchange.client.writer.begin(exchange, response, framing, chunks, None)
        end_well(exchange, response, True, now)
    else:
        begin_body(exchange, response, framing, data[end:], encoded, now)


def _is_passed_over(exchange: Exchange, response: Response, body: bytes) -> bool:
    """Whether this reply is dropped because another try follows."""
    if exchange.resend is not None:
        exchange.resend.done()
    retrying = exchange.settings.retrying
    if retrying is None or response.status not in retrying.statuses:
        return False
    return exchange.failed_try().failed_by_status(response, body)


def _is_call_passed_over(exchange: Exchange, call: GrpcCall, response: Response) -> bool:
    """The same of a call, by its status, if it came with the head."""
    retrying = exchange.settings.retrying
    if retrying is None or not retrying.grpc_statuses:
        return False
    status = call.status_of_head(response)
    return status in retrying.grpc_statuses and exchange.failed_try().failed_by_grpc_status(call, response, status)
