"""Accounts for an ended exchange: the counters and the access log."""

from __future__ import annotations

from math import trunc
from time import time
from typing import TYPE_CHECKING, Final

from balance.grpc.statuses import name_of
from balance.http1.fields import field_value
from balance.http1.head import RequestFields
from balance.log_lines.access_record import NEVER_US, NO_RARE, AccessValues, RareFields, SentFields
from balance.model import Outcome, Why
from balance.proxy.access_records import WORDS
from balance.proxy.http.traced import finish_trace
from balance.proxy.listener_settings import ListenerSettings
from balance.runtime import counters
from balance.runtime.lease import Lease

if TYPE_CHECKING:
    from balance.proxy.http.exchange.exchange import Exchange

_OK: Final = Outcome.OK
_ALL_WELL: Final = Why.OK
_VERSIONS: Final = ("HTTP/1.0", "HTTP/1.1", "HTTP/2.0")  # by Request.minor
# How requests end that no pool was asked for.
_WITHOUT_POOL: Final = frozenset(
    (Why.NO_ROUTE, Why.AMBIGUOUS_PATH, Why.DENIED, Why.REDIRECTED, Why.FIXED_RESPONSE, Why.FAULT_INJECTED)
)
ROUTE_LAST_PRECISION_S: Final = 0.1  # of the last hit that is told; each time it would cost as much as the count of hits
_ROUTE_HITS: Final = counters.ROUTE_HITS
_ROUTE_LAST_US: Final = counters.ROUTE_LAST_US


def count_exchange(exchange: Exchange, now: float, lease: Lease | None, outcome: Outcome, detail: str) -> AccessValues | None:
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
    block = settings.route_block
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
        block,
    )
    if block:
        if now - settings.route_hit_at >= ROUTE_LAST_PRECISION_S:
            settings.route_hit_at = now
            worker.row.cells[block + _ROUTE_LAST_US] = int(now * 1e6)
        if exchange.routing is not None and exchange.routing.rule:
            _count_rule(settings, exchange.routing.rule, now)
    if exchange.grpc is not None:
        worker.row.count_request(counters.series_key(slot, counters.GRPC_CALLS, exchange.grpc.status(exchange)))
    trace = exchange.trace
    if trace is not None and trace.sampled is not None:
        worker.row.note_exemplar(slot, request_us, bytes.fromhex(trace.trace_id.decode()), time())
        finish_trace(exchange, trace, now, lease, outcome)
    if worker.access is None:
        return None
    values = _record(exchange, now, lease, bytes_in, request_us, detail)
    worker.access.record(values)
    return values


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


def _record(exchange: Exchange, now: float, lease: Lease | None, bytes_in: int, total_us: int, detail: str) -> AccessValues:
    request, resend, queue_wait, client = exchange.request, exchange.resend, exchange.queue_wait, exchange.client
    settings, why, sent_at, head_at = exchange.settings, exchange.why, exchange.sent_at, exchange.head_at
    fields = request.fields
    sent: SentFields | None = fields.logged
    if sent is None or sent.of_host is not fields.host:
        sent = fields.logged = _sent(fields)
    backend, connect_us = "", NEVER_US
    if lease is not None:  # None: the last try has ended, and its entry in `tries` has its duration
        backend = lease.backend.name
        began = resend.try_began if resend is not None and resend.try_began else lease.started
        connect_us = trunc(((sent_at or now) - began) * 1e6)
    routing, settled = exchange.routing, exchange.settled
    rare = NO_RARE
    verified = client.verified
    trace = exchange.trace
    is_rare = detail or resend is not None or routing is not None or settled is not None or verified is not None
    if is_rare or trace is not None or exchange.grpc is not None:
        rare = RareFields(detail)
        if exchange.grpc is not None:
            rare.grpc_status = name_of(exchange.grpc.status(exchange))
        if trace is not None:
            rare.trace_id = trace.trace_id.decode()
            rare.span_id = trace.span_id.decode()
        if verified is not None:
            rare.user = verified.user
        if resend is not None:
            rare.tries = resend.failures
        if routing is not None:
            rare.rule = routing.rule
            if routing.identity is not None:
                rare.user = routing.identity.user
            rare.region = routing.region
            if routing.region and lease is not None:
                rare.backend_region = lease.backend.region
        elif settled is not None:
            rare.rule = settled.rule
            if settled.identity is not None:
                rare.user = settled.identity.user
    return (
        exchange.client_address if client.is_trusted else client.peer,
        request.method.decode(),
        request.target.decode(),
        _VERSIONS[request.minor],
        sent,
        exchange.status,
        "ok" if why is _ALL_WELL else WORDS[why],
        bytes_in,
        exchange.bytes_out,
        backend,
        settings.pool.name if why is _ALL_WELL or why not in _WITHOUT_POOL else "",
        exchange.attempts,
        exchange.request_id.decode(),
        int(queue_wait.waited_s * 1e6) if queue_wait is not None else 0,
        connect_us,
        trunc((head_at - sent_at) * 1e6) if head_at else NEVER_US,
        total_us,
        resend.again.word if resend is not None else "",
        settings.route,
        rare,
    )


def _sent(fields: RequestFields) -> SentFields:
    host, lines = fields.host, fields.forward
    return SentFields(host.decode() if host else "", field_value(lines, b"referer"), field_value(lines, b"user-agent"), host)
