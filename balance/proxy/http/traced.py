"""What tracing asks of an exchange: how its trace begins, its failed tries, and what its spans say at the end."""

from __future__ import annotations

from time import time
from typing import TYPE_CHECKING, Final

from balance.health.circuit_breaker import BreakerState
from balance.http1.fields import field_value
from balance.http1.head import RequestFields
from balance.model import Outcome, Why
from balance.proxy.access_records import WORDS
from balance.proxy.tracing.tracer import Tracer
from balance.runtime.backend import Backend
from balance.runtime.lease import Lease
from balance.tracing.http_spans import MAX_AGENT, MAX_HOST, MAX_METHOD, MAX_PATH, NO_REPLY, FinishedRequest
from balance.tracing.propagation import Incoming
from balance.tracing.request_trace import FinishedTry, RequestTrace, SampledPart

if TYPE_CHECKING:
    from balance.proxy.http.ends.exchange_client import ExchangeClient
    from balance.proxy.http.exchange.exchange import Exchange

_VERSIONS: Final = ("1.0", "1.1", "2")  # by Request.minor; the last as OpenTelemetry has it
_OURS: Final = frozenset((Why.DRAINING, Why.TOTAL_TIMEOUT, Why.INTERNAL_ERROR))  # failures, whatever was sent before
_NO_FAILURE: Final = frozenset((Why.OK, Why.CLIENT_ABORT))


class TracedFields:
    """What a block of field lines says of a trace; kept with the lines, which keep-alive clients send again and again."""

    __slots__ = ("fields", "incoming")

    def __init__(self, fields: RequestFields | None, incoming: Incoming | None) -> None:
        self.fields = fields  # without the lines of the trace; None: those that were read have none
        self.incoming = incoming


_NOTHING: Final = TracedFields(None, None)


def begin_trace(exchange: Exchange, client: ExchangeClient, tracer: Tracer) -> RequestFields:
    """Begin the trace of a request. Returns its fields, without those of a trace: the backend gets ours."""
    fields = exchange.request.fields
    traced: TracedFields | None = fields.traced
    start = tracer.start
    if traced is None:
        incoming = start.read(fields.forward)
        traced = _NOTHING if incoming is None else TracedFields(fields.with_lines(incoming.lines), incoming)
        fields.traced = traced
    if traced.incoming is None or traced.fields is None:
        exchange.trace = start.begin()
        return fields
    exchange.trace = start.begin_after(traced.incoming.context, client.is_trace_trusted)
    exchange.request.fields = traced.fields
    return traced.fields


def try_failed(exchange: Exchange, lease: Lease, why: str, began: float, now: float) -> None:
    """A try of a sampled request has failed, and another one follows."""
    trace, tracer = exchange.trace, exchange.settings.tracer
    if trace is None or trace.sampled is None or tracer is None:
        return
    status = int(why) if why.isdecimal() else 0
    sampled = trace.sampled
    sampled.tries.append(_try(exchange, sampled, lease.backend, began, now, status, "" if status else why))
    sampled.happened(now, "retry", ("balance.backend", lease.backend.name), ("balance.why", why))
    exchange.head = tracer.start.try_again(trace, exchange.head)


def queued(exchange: Exchange, since: float, now: float) -> None:
    """A sampled request has left the queue of its pool."""
    trace = exchange.trace
    if trace is not None and trace.sampled is not None:
        name = exchange.settings.pool.name
        trace.sampled.happened(since, "queue", ("balance.pool", name), ("balance.queue_ms", int((now - since) * 1e3)))


def copied_head(exchange: Exchange, mirror: str, now: float) -> bytes:
    """The head of a copy for a mirror: its spans belong below ours, beside those of the tries."""
    trace = exchange.trace
    if trace is None or trace.sampled is None:
        return exchange.head
    trace.sampled.happened(now, "mirror", ("balance.pool", mirror))
    return exchange.head.replace(trace.sampled.try_id, trace.span_id)


def finish_trace(exchange: Exchange, trace: RequestTrace, now: float, lease: Lease | None, outcome: Outcome) -> None:
    """A sampled request has ended. `lease` is that of its last try."""
    tracer, sampled, why = exchange.settings.tracer, trace.sampled, exchange.why
    if tracer is None or sampled is None:
        return
    resend, request = exchange.resend, exchange.request
    backend = ""
    if lease is not None:
        began = resend.try_began if resend is not None and resend.try_began else lease.started
        has_reply = (exchange.head_at != 0.0 and why is not Why.BAD_RESPONSE) or exchange.status == 101
        status = exchange.status if has_reply and exchange.status != NO_REPLY else 0
        error = WORDS[why] if outcome is not Outcome.OK and why not in _NO_FAILURE else ""
        sampled.tries.append(_try(exchange, sampled, lease.backend, began, now, status, error))
        _see_breaker(sampled, lease.backend, now)
        backend = lease.backend.name
    elif sampled.tries:
        backend = sampled.tries[-1].backend
    client, settings, fields = exchange.client, exchange.settings, request.fields
    scheme, call = settings.scheme, exchange.grpc
    if client.is_trusted:
        scheme = "https" if exchange.view.is_secure else "http"
    agent = fields.logged.user_agent if fields.logged is not None else field_value(fields.forward, b"user-agent")
    tracer.finished(
        FinishedRequest(
            trace,
            exchange.started,
            now,
            time() - now,
            request.method[:MAX_METHOD].decode("latin-1"),
            _path(request.target),
            scheme,
            (fields.host or b"")[:MAX_HOST].decode("latin-1"),
            _VERSIONS[request.minor],
            exchange.client_address,
            client.peer,
            agent[:MAX_AGENT],
            settings.route,
            exchange.status,
            WORDS[why],
            outcome is Outcome.FAILED or why in _OURS or (call is not None and call.is_failed(exchange)),
            settings.pool.name if lease is not None or sampled.tries else "",
            backend,
            exchange.rule,
            exchange.request_id.decode("latin-1"),
            resend.again.word if resend is not None else "",
            call.status(exchange) if call is not None else -1,
        )
    )


def _try(
    exchange: Exchange, sampled: SampledPart, backend: Backend, began: float, now: float, status: int, error: str
) -> FinishedTry:
    address, routing = backend.address, exchange.routing
    target = exchange.request.target if routing is None else routing.path
    scheme = "http" if backend.tls is None else "https"
    url = f"{scheme}://{'localhost' if address.is_unix else address}{_path(target)}"
    host = address.path if address.is_unix else address.host
    port = 0 if address.is_unix else address.port
    pool = exchange.settings.pool.name
    return FinishedTry(sampled.try_id, pool, backend.name, host, port, url, began, now, status, error)


def _path(target: bytes) -> str:
    """The path of a target, bounded."""
    return target.partition(b"?")[0][:MAX_PATH].decode("latin-1")


def _see_breaker(sampled: SampledPart, backend: Backend, now: float) -> None:
    """Note that the breaker of the backend is not closed, by this try or while it was under way."""
    breaker = backend.health.breaker if backend.health is not None else None
    if breaker is not None and breaker.state is not BreakerState.CLOSED:
        word = breaker.state.name.lower().replace("_", "-")
        sampled.happened(now, "circuit_breaker", ("balance.backend", backend.name), ("balance.breaker", word))
