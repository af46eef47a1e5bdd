"""The tracer of one worker, made after the fork: begins traces by the configuration, hands finished ones to its exporter."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from typing import Final

from balance.config.model import Config, TracingConfig, TrustedProxy
from balance.http1.forwarding.realip import TrustedProxies
from balance.proxy.tracing.exporter import Exporter
from balance.proxy.tracing.otlp_http import HttpReceiver
from balance.proxy.tracing.receiver import ReceiverConnection
from balance.tracing.endpoint import parse_endpoint
from balance.tracing.http_spans import FinishedRequest
from balance.tracing.otlp import Resource
from balance.tracing.propagation import Propagation
from balance.tracing.trace_start import TraceStart
from balance.version import VERSION

CLOSE_S: Final = 2.0  # for what waits at the end of a worker, or of a configuration


class Tracer:
    """Kept over reloads that change nothing of `tracing`."""

    __slots__ = ("_told", "config", "exporter", "start", "successor", "trusted", "trusts")

    def __init__(self, config: Config, loop: asyncio.AbstractEventLoop, rand: Callable[[], float]) -> None:
        tracing = config.tracing
        load_library(tracing)
        self.config = tracing
        self.trusts = trusts_of(config)
        self.trusted = TrustedProxies(self.trusts)
        self.start = TraceStart(Propagation(tracing.propagate), tracing.sample_rate)
        self.exporter = Exporter(loop, _receiver(tracing), _resource(tracing), rand)
        self.successor: Tracer | None = None  # the newest, after a reload
        self._told = (0, 0)

    def serves(self, config: Config) -> bool:
        """Whether it is what this configuration asks for, too."""
        return config.tracing == self.config and trusts_of(config) == self.trusts

    def finished(self, request: FinishedRequest) -> None:
        """Take a sampled request that has ended; one that began before a reload goes to whoever is there now."""
        (self.successor or self).exporter.add(request)

    def take_counts(self) -> tuple[int, int]:
        """Spans that were exported and dropped since the last call."""
        now = self.exporter.exported, self.exporter.dropped
        before, self._told = self._told, now
        return now[0] - before[0], now[1] - before[1]


def load_library(tracing: TracingConfig) -> None:
    """Import what the endpoint needs: it takes too long for a loop that serves, so a reload does it in its thread."""
    if tracing.enabled and parse_endpoint(tracing.endpoint).is_grpc:
        import h2.config
        import h2.connection
        import h2.events  # noqa: F401


def trusts_of(config: Config) -> tuple[TrustedProxy, ...]:
    """Whose traces are gone on with."""
    return config.trusted_proxies if config.tracing.trust is None else config.tracing.trust


def _receiver(tracing: TracingConfig) -> ReceiverConnection:
    endpoint = parse_endpoint(tracing.endpoint)
    if not endpoint.is_grpc:
        return HttpReceiver(endpoint, tracing.headers)
    from balance.proxy.tracing.otlp_grpc import GrpcReceiver

    return GrpcReceiver(endpoint, tracing.headers)


def _resource(tracing: TracingConfig) -> Resource:
    host = socket.gethostname()
    attributes: list[tuple[str, str | int]] = [
        ("service.name", tracing.service_name),
        ("service.version", VERSION),
        ("service.instance.id", f"{host}-{os.getpid()}"),
        ("host.name", host),
        ("process.pid", os.getpid()),
        ("telemetry.sdk.name", "balance"),
        ("telemetry.sdk.language", "python"),
        ("telemetry.sdk.version", VERSION),
    ]
    return Resource(attributes, "balance", VERSION)
