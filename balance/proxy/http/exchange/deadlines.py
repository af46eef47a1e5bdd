"""What an exchange waits for, for how long, and what follows when it does not come.

The client's connection has the one deadline of an exchange: await_next() sets it anew with each event, expire() is its end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from balance.model import Outcome, Why
from balance.proxy.buffering.body_rate import BodyRate
from balance.proxy.buffering.upload import Upload
from balance.proxy.http.exchange.exchange_state import ENDED, REPLYING, SENT
from balance.proxy.http.upstream import Upstream
from balance.proxy.net.timer_wheel import NEVER
from balance.retry.decision import Failure, RetryOutcome

if TYPE_CHECKING:
    from balance.proxy.http.exchange.exchange import Exchange

# Seconds. A backend that does not implement Expect sends no 100; clients then send the body after a wait, curl after a second.
CONTINUE_S: Final = 1.5


def reply_s(exchange: Exchange) -> float:
    """How long a reply may be awaited. Seconds; NEVER for no limit."""
    if exchange.grpc is None or not exchange.grpc.may_last(exchange.settings):
        return exchange.settings.reply_s
    retrying = exchange.settings.retrying
    idle_s = exchange.settings.timeouts.tunnel_s or NEVER
    if (
        retrying is None
        or not retrying.per_try_s
        or exchange.state is not SENT
        or (exchange.upload and not exchange.upload.is_done)
    ):
        return idle_s
    return min(idle_s, retrying.per_try_s)


def await_next(exchange: Exchange, now: float) -> None:
    """Arm the timeout of the next expected event, by the client or by the backend."""
    timeouts, upload = exchange.settings.timeouts, exchange.upload
    if exchange.client.is_write_paused:
        timeout_s = timeouts.write_s or NEVER
    elif exchange.grpc is not None and exchange.grpc.may_last(exchange.settings):
        is_full = exchange.upstream is not None and exchange.upstream.is_full
        timeout_s = (timeouts.write_s or NEVER) if is_full else reply_s(exchange)
    elif upload is None or upload.is_done:
        timeout_s = exchange.settings.reply_s if exchange.state is SENT and not exchange.interims else exchange.settings.read_s
    elif exchange.upstream is not None and exchange.upstream.is_full:
        timeout_s = timeouts.write_s or NEVER
    elif upload.awaits_continue and exchange.state is SENT:
        timeout_s = max(exchange.settings.reply_s, min(exchange.settings.read_s, CONTINUE_S))
    else:
        timeout_s = timeouts.client_body_s or NEVER
        if upload.rate is not None:
            timeout_s = upload.rate.bounded(timeout_s, now)
    exchange.client.arm(now, timeout_s)


def expire(exchange: Exchange, now: float) -> None:
    """The deadline of the client connection has passed during this exchange: resend, wait on, or fail by the state."""
    client, upload, upstream = exchange.client, exchange.upload, exchange.upstream
    if now >= exchange.started + exchange.total_s():
        exchange.fail(504, Why.TOTAL_TIMEOUT, "the request took too long", out_of_time(exchange))
    elif exchange.routing is not None and exchange.routing.is_waiting:
        if client.has_left():
            client.give_up()
        else:
            exchange.routing.expire(now)
    elif exchange.resend is not None and exchange.resend.is_waiting:
        if client.has_left():
            client.give_up()
        else:
            exchange.resend.go_on(now)
    elif upload is not None and upload.rate is not None and now >= upload.rate.due and not upload.is_done:
        _body_rate_due(exchange, upload, upload.rate, now)
    elif client.is_write_paused:
        if client.has_taken_some():
            await_next(exchange, now)
        else:
            exchange.fail(408, Why.CLIENT_TOO_SLOW, "the client does not read", Outcome.ABORTED)
    elif upload is not None and upstream is not None and upstream.has_taken_some():
        await_next(exchange, now)
    elif client.has_left():
        client.give_up()  # client_gone() follows, and logs it
    elif (
        exchange.grpc is not None and exchange.grpc.may_last(exchange.settings) and _is_silent_call(exchange, upload, upstream)
    ):
        exchange.fail(504, Why.IDLE_TIMEOUT, "neither side of the call has said anything", Outcome.ABORTED)
    elif (
        upload is not None
        and not upload.is_done
        and not (upstream is not None and upstream.is_full)
        and not (upload.awaits_continue and exchange.state is SENT)
    ):
        exchange.fail(408, Why.BODY_TIMEOUT, "the request's body did not come", Outcome.ABORTED)
    elif exchange.state is REPLYING:
        exchange.fail(504, Why.RESPONSE_IDLE, "the backend stopped in its reply", Outcome.FAILED)
    elif exchange.state is SENT:
        exchange.failed_try().not_answered(Failure.TIMEOUT, Why.RESPONSE_HEADER_TIMEOUT)
    elif exchange.state is ENDED:
        client.give_up()  # only after a bug: its end was not completed


def _is_silent_call(exchange: Exchange, upload: Upload | None, upstream: Upstream | None) -> bool:
    """Whether it was as much the client's turn to say something as the backend's, or a watch that had nothing to say."""
    if upstream is not None and upstream.is_full:
        return False
    return exchange.state is REPLYING or (upload is not None and not upload.is_done)


def _body_rate_due(exchange: Exchange, upload: Upload, rate: BodyRate, now: float) -> None:
    """A stretch in which a part of the body had to come is over."""
    client = exchange.client
    if not rate.is_kept(upload.received):
        if client.has_left():
            client.give_up()
            return
        detail = f"the request's body came slower than {rate.bytes_per_s} bytes a second"
        exchange.fail(408, Why.BODY_TIMEOUT, detail, Outcome.ABORTED)
    elif upload.is_waiting:
        client.arm(now, rate.bounded(exchange.settings.timeouts.client_body_s or NEVER, now))
    else:
        await_next(exchange, now)


def out_of_time(exchange: Exchange) -> Outcome:
    """The time of the whole request is over: whose fault that is."""
    if exchange.state is SENT and _is_its_turn_since(exchange, exchange.started + exchange.total_s() / 2):
        exchange.why = Why.TOTAL_TIMEOUT
        exchange.failed_try().not_again(RetryOutcome.DEADLINE)
        return Outcome.FAILED  # else a backend that never replies has no failures when `request` is below `read`
    return Outcome.ABORTED


def _is_its_turn_since(exchange: Exchange, then: float) -> bool:
    """Whether the request was sent to the backend before `then`, and its body is complete now."""
    return exchange.sent_at <= then and (exchange.upload is None or exchange.upload.is_done)
