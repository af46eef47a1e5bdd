"""Accounts for an ended exchange: the counters and the access log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from balance.http1.fields import field_value
from balance.model import Outcome, Why
from balance.proxy.access_log import AccessRecord
from balance.proxy.listener_settings import ListenerSettings
from balance.runtime import counters
from balance.runtime.lease import Lease

if TYPE_CHECKING:
    from balance.proxy.http.exchange import Exchange

_OK: Final = Outcome.OK
# How requests end that no pool was asked for.
_WITHOUT_POOL: Final = frozenset(
    (Why.NO_ROUTE, Why.AMBIGUOUS_PATH, Why.DENIED, Why.REDIRECTED, Why.FIXED_RESPONSE, Why.FAULT_INJECTED)
)
ROUTE_LAST_PRECISION_S: Final = 0.1  # of the last hit that is told; each time it would cost as much as the count of hits
_ROUTE_HITS: Final = counters.ROUTE_HITS
_ROUTE_LAST_US: Final = counters.ROUTE_LAST_US


def count_exchange(exchange: Exchange, now: float, lease: Lease | None, outcome: Outcome, detail: str) -> AccessRecord | None:
    """Count an ended exchange and log it.

    `lease` is the lease of the last try, `detail` the reason for a failure. Returns the access log record, or None without an
    access log.
    """
    settings, upload = exchange.settings, exchange.upload
    worker = settings.worker
    slot, request_us, upstream_us = 0, int((now - exchange.started) * 1e6), -1
    if lease is not None:
        slot = lease.backend.slot
        if outcome is _OK:
            # the first lease starts when the exchange starts
            upstream_us = request_us if lease.started == exchange.started else int((now - lease.started) * 1e6)
    bytes_in = exchange.head_bytes if upload is None else exchange.head_bytes + upload.bytes_in
    worker.row.count_exchange(
        slot,
        settings.series,
        exchange.request.method,
        exchange.status,
        exchange.why,
        request_us,
        upstream_us,
        bytes_in,
        exchange.bytes_out,
    )
    block = settings.route_block
    if block:
        cells = worker.row.cells
        cells[block + _ROUTE_HITS] += 1
        if now - settings.route_hit_at >= ROUTE_LAST_PRECISION_S:
            settings.route_hit_at = now
            cells[block + _ROUTE_LAST_US] = int(now * 1e6)
        if exchange.routing is not None and exchange.routing.rule:
            _count_rule(settings, exchange.routing.rule, now)
    if worker.access is None:
        return None
    record = _record(exchange, now, lease, bytes_in, detail)
    worker.access.record(record)
    return record


def _count_rule(settings: ListenerSettings, rule: str, now: float) -> None:
    """Count a request that this rule decided; nothing where a policy did."""
    router = settings.router
    if router is not None:
        block = router.rule_blocks.get((settings.route, rule), 0)
        if not block and "/" in rule:  # of another route, see stages/rules/final_path
            route, _, name = rule.partition("/")
            block = router.rule_blocks.get((route, name), 0)
        if block:
            cells = settings.worker.row.cells
            cells[block + _ROUTE_HITS] += 1
            cells[block + _ROUTE_LAST_US] = int(now * 1e6)


def _record(exchange: Exchange, now: float, lease: Lease | None, bytes_in: int, detail: str) -> AccessRecord:
    request, resend, queue_wait = exchange.request, exchange.resend, exchange.queue_wait
    forward = request.fields.forward
    routing = exchange.routing
    region, identity = (routing.region, routing.identity) if routing is not None else ("", None)
    sent, began = exchange.sent_at, 0.0
    if lease is not None:  # None: the last try has ended, and its entry in `tries` has its duration
        began = resend.try_began if resend is not None and resend.try_began else lease.started
    return AccessRecord(
        client=exchange.client_address,
        method=request.method.decode("ascii"),
        host=(request.fields.host or b"").decode("ascii"),
        path=request.target.decode("ascii"),
        version=f"HTTP/1.{request.minor}",
        status=exchange.status,
        why=exchange.why.word,
        bytes_in=bytes_in,
        bytes_out=exchange.bytes_out,
        backend=lease.backend.name if lease is not None else "",
        pool=exchange.settings.pool.name if exchange.why not in _WITHOUT_POOL else "",
        attempts=exchange.attempts,
        request_id=exchange.request_id.decode("ascii"),
        referer=field_value(forward, b"referer"),
        user_agent=field_value(forward, b"user-agent"),
        queue_ms=round(queue_wait.waited_s * 1e3, 3) if queue_wait is not None else 0.0,
        connect_ms=round(((sent or now) - began) * 1e3, 3) if began else -1.0,
        ttfb_ms=round((exchange.head_at - sent) * 1e3, 3) if exchange.head_at else -1.0,
        total_ms=round((now - exchange.started) * 1e3, 3),
        retry=resend.again.word if resend is not None else "",
        detail=detail,
        tries=resend.failures if resend is not None else (),
        route=exchange.settings.route,
        rule=exchange.rule,
        region=region,
        user=identity.user if identity is not None else "",
        backend_region=lease.backend.region if region and lease is not None else "",
    )
