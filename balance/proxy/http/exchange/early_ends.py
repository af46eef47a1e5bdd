"""Ends that come before the reply is complete: the backend's, the client's, and the refusal of a request."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from balance.errors import ProtocolError, UpstreamError
from balance.http1.framing import NO_BODY
from balance.model import Outcome, Why
from balance.proxy.buffering.upload import Upload
from balance.proxy.http.exchange.deadlines import out_of_time
from balance.proxy.http.exchange.ending import CLOSED, end, end_well
from balance.proxy.http.exchange.exchange_state import ENDED, REPLYING, SENT
from balance.proxy.http.exchange.reply_body import encode_rest, encoded_of
from balance.retry.decision import Failure

if TYPE_CHECKING:
    from balance.proxy.http.exchange.exchange import Exchange


def upstream_ended(exchange: Exchange, exc: Exception | None) -> None:
    """The upstream has ended (`exc` is None) or failed. EPIPE is both: the end arrived before the reset."""
    if exchange.state is REPLYING:
        encoded = encoded_of(exchange)
        if encoded is not None and not encode_rest(exchange, encoded):
            return
        if (exc is None or isinstance(exc, BrokenPipeError)) and exchange.download.ends_at_close:
            if encoded is not None:
                exchange.bytes_out += exchange.client.writer.more(encoded.finish(), exchange.download)
            end_well(exchange, exchange.response, False, monotonic())
        else:
            exchange.fail(502, Why.RESET_MID_RESPONSE, "the backend broke off its reply", Outcome.FAILED)
    elif exchange.state is SENT:
        if exchange.partial_head or exchange.interims or not exchange.is_reused:
            exchange.failed_try().not_answered(Failure.RESET, Why.RESET_BEFORE_RESPONSE)
        else:
            exchange.failed_try().reset_on_reuse(exc)


def upstream_refused(exchange: Exchange, error: UpstreamError) -> None:
    """The backend has refused the connection after the request was sent on it, and has looked at nothing of it. No effect
    when there is a reply: the end of the connection follows.
    """
    if exchange.state is not SENT or exchange.partial_head or exchange.interims or exchange.is_reused:
        return
    if exchange.upload is not None and exchange.upload.kept is None:  # what was sent can't be sent again
        exchange.failed_try().fail(error, Outcome.FAILED)
    else:
        exchange.failed_try().not_connected(error)


def upstream_unprocessed(exchange: Exchange, *, needs_http1: bool = False) -> None:
    """The backend has looked at nothing of the request, and says so (RFC 9113 section 8.7). `needs_http1`: it wants it over
    HTTP/1.1.
    """
    if exchange.state is not SENT or exchange.partial_head or exchange.interims:
        exchange.fail(502, Why.BAD_RESPONSE, "the backend refused a request that it had begun to answer", Outcome.FAILED)
    else:
        exchange.failed_try().unprocessed(needs_http1=needs_http1)


def client_gone(exchange: Exchange) -> None:
    """The client connection has ended: abort the request at the backend, without a failure of the backend."""
    if exchange.state is not ENDED:
        if exchange.why is not Why.INTERNAL_ERROR:
            if exchange.state is not REPLYING:  # else it has got the status of the reply
                exchange.status = 499  # nginx's status for it; only in logs and counters
            exchange.why = Why.CLIENT_ABORT
        now, outcome = monotonic(), Outcome.ABORTED
        if exchange.grpc is not None and exchange.why is Why.CLIENT_ABORT and exchange.grpc.is_over(exchange, now):
            outcome = out_of_time(exchange)
        end(exchange, outcome, now, CLOSED)


def deny(exchange: Exchange, error: ProtocolError, body: bytes) -> bytes:
    """Refuse the request for whose it is. The connection, which others share behind a proxy, goes on, unless more of the
    body is to come. `body` are the bytes after the head; returns those after the end of the body.
    """
    fields = exchange.request.fields
    if fields.framing is not NO_BODY:
        upload = exchange.upload = Upload(fields, exchange.settings.listener.http, exchange.head_bytes)
        try:
            upload.feed(body)
        except ProtocolError:
            exchange.client.writer.keeps_alive = False
        body = upload.rest
    exchange.fail(error.status, error.why, error.detail, Outcome.ABORTED)
    return body
