"""The spans of a request: one of its own, one for each try, with OpenTelemetry's stable names for HTTP.

https://opentelemetry.io/docs/specs/semconv/http/http-spans/. What a client sends is bounded here, and no field but User-Agent
and no query is in any attribute: they may have secrets. What begins with `balance.` is in the access log, too, under that name.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from balance.tracing.otlp import (
    CLIENT,
    HAS_IS_REMOTE,
    IS_REMOTE,
    SERVER,
    common_attribute,
    event,
    link,
    number_attribute,
    span,
    text_attribute,
)
from balance.tracing.request_trace import FinishedTry, RequestTrace, SampledPart
from balance.tracing.span_context import SAMPLED

MAX_PATH: Final = 1024  # characters
MAX_AGENT: Final = 256
MAX_HOST: Final = 255
MAX_METHOD: Final = 64

# RFC 9110, PATCH and QUERY: the methods that the conventions know
_METHODS: Final = frozenset(("CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE"))
NO_REPLY: Final = 499  # the client had left
_LEFT: Final = "client_abort"
_PORTS: Final = {"http": 80, "https": 443}


class FinishedRequest(NamedTuple):
    """A sampled request that has ended. Texts of clients are bounded already. Times are seconds on the monotonic clock."""

    trace: RequestTrace
    began: float
    ended: float
    epoch_s: float  # what the wall clock is ahead of the monotonic one
    method: str
    path: str  # without the query
    scheme: str
    host: str  # that the client asked for, with its port
    version: str  # of HTTP
    client: str
    peer: str
    user_agent: str
    route: str
    status: int
    why: str
    is_failed: bool  # by our fault, or the backend's
    pool: str
    backend: str
    rule: str
    request_id: str
    retry: str
    grpc_status: int = -1  # of a gRPC call; else negative

    @property
    def spans(self) -> int:
        """How many it has."""
        return 1 + len(self.trace.sampled.tries if self.trace.sampled is not None else ())


def encode(request: FinishedRequest) -> bytes:
    """Its spans, as fields of ScopeSpans."""
    sampled = request.trace.sampled
    assert sampled is not None
    is_known = request.method in _METHODS
    method = request.method if is_known else "_OTHER"
    common = [common_attribute("http.request.method", method)]
    if not is_known:
        common.append(text_attribute("http.request.method_original", request.method))
    spans = [_server_span(request, sampled, method if is_known else "HTTP", common)]
    for number, each in enumerate(sampled.tries):
        spans.append(_try_span(request, sampled, each, number, method if is_known else "HTTP", common))
    return b"".join(spans)


def _server_span(request: FinishedRequest, sampled: SampledPart, method: str, common: list[bytes]) -> bytes:
    host, port = _split(request.host, _PORTS.get(request.scheme, 0))
    parts = [
        *common,
        text_attribute("url.path", request.path),
        common_attribute("url.scheme", request.scheme),
        common_attribute("network.protocol.version", request.version),
        common_attribute("balance.why", request.why),
    ]
    if host:
        parts.append(common_attribute("server.address", host))
        if port:
            parts.append(common_attribute("server.port", port))
    if request.client:
        parts.append(common_attribute("client.address", request.client))
    if request.peer != request.client:
        parts.append(text_attribute("network.peer.address", request.peer))
    if request.user_agent:
        parts.append(common_attribute("user_agent.original", request.user_agent))
    named = (
        ("http.route", request.route),
        ("balance.pool", request.pool),
        ("balance.backend", request.backend),
        ("balance.rule", request.rule),
        ("balance.retry", request.retry),
    )
    parts += [common_attribute(key, value) for key, value in named if value]
    if request.request_id:
        parts.append(text_attribute("balance.request_id", request.request_id))
    if request.status and request.status != NO_REPLY:
        parts.append(common_attribute("http.response.status_code", request.status))
    if request.grpc_status >= 0:
        parts.append(common_attribute("rpc.system", "grpc"))
        parts.append(common_attribute("rpc.grpc.status_code", request.grpc_status))
    is_error = request.is_failed or request.status >= 500
    if is_error or request.why == _LEFT:
        parts.append(common_attribute("error.type", request.why if request.why != "ok" else str(request.status)))
    for each in sampled.events:
        attributes = [
            common_attribute(key, value) if isinstance(value, str) else number_attribute(key, value)
            for key, value in each.attributes
        ]
        parts.append(event(_nanoseconds(each.at, request.epoch_s), each.name, attributes))
    if sampled.link is not None:
        parts.append(link(sampled.link.trace_id, sampled.link.span_id, sampled.link.state, sampled.link.flags))
    return span(
        (request.trace.trace_id, request.trace.span_id, sampled.parent_id),
        sampled.state,
        f"{method} {request.route}" if request.route else method,
        SERVER,
        (_nanoseconds(request.began, request.epoch_s), _nanoseconds(request.ended, request.epoch_s)),
        parts,
        SAMPLED | HAS_IS_REMOTE | (IS_REMOTE if sampled.parent_id else 0),
        (request.why if request.why != "ok" else "") if is_error else None,
    )


def _try_span(
    request: FinishedRequest, sampled: SampledPart, each: FinishedTry, number: int, method: str, common: list[bytes]
) -> bytes:
    parts = [
        *common,
        text_attribute("url.full", each.url),
        common_attribute("server.address", each.host),
        common_attribute("balance.backend", each.backend),
        common_attribute("balance.pool", each.pool),
    ]
    if each.port:
        parts.append(common_attribute("server.port", each.port))
    if number:
        parts.append(common_attribute("http.request.resend_count", number))
    if each.status:
        parts.append(common_attribute("http.response.status_code", each.status))
    error = each.error or (str(each.status) if each.status >= 400 else "")
    if error:
        parts.append(common_attribute("error.type", error))
    return span(
        (request.trace.trace_id, each.span_id, request.trace.span_id),
        sampled.state,
        method,
        CLIENT,
        (_nanoseconds(each.began, request.epoch_s), _nanoseconds(each.ended, request.epoch_s)),
        parts,
        SAMPLED | HAS_IS_REMOTE,
        each.error if error else None,
    )


def _nanoseconds(at: float, epoch_s: float) -> int:
    """The wall clock's time, in nanoseconds; to the microsecond, which is what a float has."""
    return int((at + epoch_s) * 1e6) * 1000


def _split(host: str, port: int) -> tuple[str, int]:
    """The name or address of a Host, and its port, or `port` without one."""
    name, colon, number = host.rpartition(":")
    if colon and number.isdecimal() and len(number) < 6 and not name.endswith(":"):
        host, port = name, int(number)
    return host.strip("[]"), port
