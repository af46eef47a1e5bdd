"""The section `tracing`. No message quotes the values of its headers, which are secrets."""

from __future__ import annotations

from typing import Annotated

from balance.config.model import TrustedProxy
from balance.config.schema import scalars as kind
from balance.config.schema.addresses import TRUSTED_PROXY
from balance.config.schema.scalars import Scalar
from balance.config.schema.section import Flag, Section, key, one_or_list
from balance.tracing.endpoint import FORMS, parse_endpoint
from balance.tracing.propagation import FORMATS


def _parse_endpoint(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"expected {FORMS}, got {kind.display(value)}")
    parse_endpoint(value)
    return value.strip()


ENDPOINT = Scalar(_parse_endpoint, {"type": "string", "pattern": r"^\s*(http|grpc)s?://\S+\s*$"})
_FORMAT = kind.choice(*FORMATS)
_FORMATS = one_or_list(_FORMAT)
_SERVICE = kind.text_matching(r"[^\x00-\x1f\x7f]{1,255}", "the name of a service; write up to 255 characters", 255)


class TracingSection(Section):
    """Traces for OpenTelemetry: a span for each request, and one for each try. Off, the fields of traces go on as they came.

    No variable OTEL_* is read, but you may name them here, like ${OTEL_SERVICE_NAME:-balance}."""

    section_name = "tracing"
    enabled: Flag = key("Whether spans are made, and backends told of them.", False)
    service_name: Annotated[str, _SERVICE] = key("What this service is called in traces.", "balance")
    endpoint: Annotated[str, ENDPOINT] = key(
        "Where spans are sent: http:// and https:// for OTLP over HTTP, grpc:// and grpcs:// for gRPC (pip install "
        "'balance[otel]'). A path that does not end in /v1/traces is a base, and gets that.",
        "http://localhost:4318",
    )
    headers: dict[Annotated[str, kind.FIELD_NAME], Annotated[str, kind.FIELD_VALUE]] = key(
        "Fields to send there, such as Authorization.", {}
    )
    sample_rate: Annotated[float, kind.fraction()] = key(
        "The share of traces that begin here which is sampled. Of those that a trusted caller has begun, its decision holds.",
        1.0,
    )
    propagate: Annotated[list[Annotated[str, _FORMAT]], _FORMATS[0], _FORMATS[1]] = key(
        "The fields that tell of traces, in and out: w3c (traceparent and tracestate), b3 (the single one), b3multi (X-B3-*), "
        "or a list. Both forms of B3 are read. Of several in a request the first of the list that has a context counts.",
        "w3c",
    )
    trust: list[Annotated[TrustedProxy, TRUSTED_PROXY]] = key(
        "Whose traces are gone on with, and whose decision to sample counts: addresses and networks of peers; unix: whoever "
        "connects over a Unix socket. Others get a new trace with a link to theirs. Default: security.trusted_proxies."
    )
