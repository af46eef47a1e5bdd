"""One try of a request at one backend: its lease and its upstream, parked or dialled, on which the request is sent."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from balance.background_tasks import spawn
from balance.errors import UpstreamError
from balance.model import Outcome, TryPhase, Why
from balance.proxy.http.connect import connect, dial_plainly, take_parked
from balance.proxy.http.exchange.deadlines import await_next, reply_s
from balance.proxy.http.exchange.exchange_state import CHOOSING, SENT
from balance.proxy.http.exchange.resend import is_repeatable
from balance.proxy.http.upstream import Upstream
from balance.proxy.net.timer_wheel import NEVER
from balance.runtime.lease import Lease

if TYPE_CHECKING:
    from balance.proxy.http.exchange.exchange import Exchange


def use(exchange: Exchange, lease: Lease, now: float) -> None:
    """Use this lease for a try: send on a parked upstream, or dial."""
    exchange.lease = lease
    exchange.attempts += 1
    routing = exchange.routing
    if routing is not None and (routing.per_try is not None or routing.mirror):
        routing.name_backend(lease.backend)
    auth = exchange.client.connection_auth
    if auth is None:
        upstream = take_parked(lease.backend, exchange.request, now)
    else:
        upstream = auth.take(lease.backend, exchange.request, now)
    if upstream is None:
        _dial(exchange, lease)
    else:
        exchange.is_reused = True
        send(exchange, upstream, now)


def _dial(exchange: Exchange, lease: Lease) -> None:
    exchange.is_reused = False
    exchange.sent_at = 0.0
    now = monotonic()
    exchange.client.arm(now, NEVER)  # the dial has its own timeout
    version = lease.backend.proxy_protocol
    proxy_header = exchange.client.proxy_header(version) if version else b""
    if not dial_plainly(exchange, lease, exchange.settings.connect_s, proxy_header, now):
        spawn(_connect(exchange, lease, proxy_header), "dial")


async def _connect(exchange: Exchange, lease: Lease, proxy_header: bytes) -> None:
    settings = exchange.settings
    needs_http1 = exchange.resend is not None and exchange.resend.needs_http1
    result = await connect(
        settings.worker,
        lease.backend,
        exchange.request,
        settings.connect_s,
        proxy_header,
        exchange.ids(),
        needs_http1=needs_http1,
    )
    dial_ended(exchange, result, lease, proxy_header)


def dial_ended(exchange: Exchange, result: Upstream | UpstreamError, lease: Lease, proxy_header: bytes) -> None:
    """A dial for this lease has ended."""
    try:
        if exchange.state is not CHOOSING or exchange.lease is not lease:
            # The exchange ended during the dial; the connection can serve the next request.
            if isinstance(result, Upstream):
                if proxy_header:
                    result.discard()  # it can serve its client only, who may be gone
                else:
                    result.park(monotonic(), exchange.settings)
        elif isinstance(result, UpstreamError):
            exchange.failed_try().not_connected(result)
        elif result.is_lost or (result.transport.is_closing() and not result.early):  # since the end of the dial
            error = UpstreamError(TryPhase.CONNECT, Why.CONNECT_FAILED, "it was closed as soon as it was made")
            exchange.failed_try().not_connected(error)
        else:
            if proxy_header:
                exchange.client.own(result)
            _connected(exchange, result, lease)
    except Exception:
        exchange.crashed()
        if isinstance(result, Upstream):
            result.discard()
        raise


def _connected(exchange: Exchange, upstream: Upstream, lease: Lease) -> None:
    """Send on a new upstream."""
    if exchange.request.fields.has_connection_auth:
        exchange.client.claim(upstream)
    send(exchange, upstream, monotonic())
    retrying = exchange.settings.retrying
    if (
        retrying is not None
        and retrying.per_try_s
        and exchange.state is SENT
        and (exchange.upload is None or exchange.upload.is_done)
    ):
        now = monotonic()  # the per-try timeout includes the dial
        exchange.client.arm(now, min(reply_s(exchange), max(0.0, lease.started + retrying.per_try_s - now)))
    # If the write failed, connection_lost() follows, and first reads what the backend has sent.
    if upstream.early and upstream.exchange is exchange:
        # Bytes before the request, such as a refusal by a backend that takes no more connections, are taken for its reply.
        # The backend may answer the request too, so no other may follow on this connection: it counts as at `max_requests`.
        upstream.served = exchange.settings.max_requests
        early, upstream.early = upstream.early, b""
        upstream.resume()
        exchange.response_received(early)


def send(exchange: Exchange, upstream: Upstream, now: float) -> None:
    """Send the head and the part of the body received so far."""
    client, upload = exchange.client, exchange.upload
    exchange.state = SENT
    exchange.sent_at = now
    exchange.upstream = upstream
    if upload is None and exchange.grpc is None:
        upstream.send_request(exchange, exchange.head, b"")
        client.arm(now, exchange.settings.reply_s)
        return
    head = exchange.head if exchange.grpc is None else exchange.grpc.head(exchange, exchange.head, now)
    if upload is None:
        upstream.send_request(exchange, head, b"")
        await_next(exchange, now)
        return
    upstream.send_request(exchange, head, upload.kept or b"")
    retrying = exchange.settings.retrying
    if upstream.is_shared:  # the backend may say that it has not looked at it
        upload.sent(True)
    elif upload.is_whole:  # it may be large, and other requests are never sent twice
        upload.sent(is_repeatable(exchange.request, retrying))
    elif exchange.grpc is not None and retrying is not None and retrying.grpc_statuses:
        upload.sent(True)
    else:
        upload.sent(upload.is_done or (retrying is not None and is_repeatable(exchange.request, retrying)))
    if not upstream.is_full:
        upload.settle()
    if upload.is_held:
        upload.is_held = False
        if not upstream.is_full:
            client.resume_reading()
    await_next(exchange, now)


def give_back(exchange: Exchange, outcome: Outcome, now: float, *, keep_upstream: bool, end: int) -> None:
    """Release the upstream and the lease of a failed try before the next one; `end` is that of Lease.release()."""
    upstream, lease = exchange.upstream, exchange.lease
    exchange.state = CHOOSING
    exchange.upstream = exchange.lease = None
    if upstream is not None:
        if keep_upstream and not upstream.is_full:
            upstream.park(now, exchange.settings)
        else:
            upstream.discard()
    if lease is not None:
        lease.release(outcome, now, None, end)


def dial_again(exchange: Exchange, lease: Lease) -> None:
    """Send to the same backend on a new connection, as the reused one had been closed. The lease stays."""
    upstream = exchange.upstream
    exchange.state = CHOOSING
    exchange.upstream = None
    if upstream is not None:
        upstream.discard()
    exchange.attempts += 1
    _dial(exchange, lease)
