"""What is wrong with `tracing` that no single value has, and what of it would do nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.util import find_spec

from balance.config.model import Config
from balance.config.reading.document import Document, Path
from balance.model import Mode
from balance.tracing.endpoint import parse_endpoint

# Fields that every request to an endpoint has, from us.
_OURS = frozenset(("host", "content-type", "content-length", "transfer-encoding", "connection", "te", "upgrade", "user-agent"))
# Variables that OpenTelemetry's own programs read, and what stands for each here.
_VARIABLES = {
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": ("endpoint",),
    "OTEL_EXPORTER_OTLP_ENDPOINT": ("endpoint",),
    "OTEL_SERVICE_NAME": ("service_name",),
    "OTEL_EXPORTER_OTLP_HEADERS": ("headers",),
    "OTEL_PROPAGATORS": ("propagate",),
    "OTEL_TRACES_SAMPLER_ARG": ("sample_rate",),
}


def tracing_errors(config: Config) -> Iterator[tuple[Path, str]]:
    """Each with the key that it is at."""
    tracing = config.tracing
    if tracing.enabled and parse_endpoint(tracing.endpoint).is_grpc and find_spec("h2") is None:
        yield ("tracing", "endpoint"), "gRPC needs a library: pip install 'balance[otel]'; http:// and https:// need none"
    if not tracing.propagate:
        yield ("tracing", "propagate"), "is empty; write w3c, b3, b3multi or several of them"
    for name, _ in tracing.headers:
        if name.lower() in _OURS:
            yield ("tracing", "headers", name), "is ours to say; leave it out"


def tracing_warnings(config: Config, document: Document, env: Mapping[str, str]) -> Iterator[tuple[Path, str]]:
    """Each with the key that it is at."""
    if not config.tracing.enabled:
        return
    if all(listener.mode is Mode.TCP for listener in config.listeners):
        yield ("tracing",), "has no effect: in TCP mode there are no requests, and so no spans"
    for variable, keys in _VARIABLES.items():
        if env.get(variable) and not document.has(("tracing", *keys)):
            yield (
                ("tracing",),
                f"the variable {variable} is set, and not read: write {keys[0]}: in this file, which may name variables "
                "(${NAME})",
            )
