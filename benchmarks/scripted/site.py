"""A listener with one backend, as in a worker, and in-memory connections to it."""

from __future__ import annotations

import asyncio
import random
import threading
from time import monotonic
from typing import Any, cast
from unittest import mock

from balance.config.loading import load_text
from balance.config.model import AccessLog as AccessLogConfig
from balance.holder import Holder
from balance.proxy.access_log import AccessLog
from balance.proxy.http.client import HttpClient
from balance.proxy.http.upstream import Upstream
from balance.proxy.listener_settings import ListenerSettings
from balance.proxy.tracing.tracer import Tracer
from balance.proxy.worker_context import WorkerContext
from balance.runtime import counters
from balance.runtime.row import Row
from balance.runtime.snapshot import backend_slots, build
from balance.tracing.http_spans import FinishedRequest, encode
from scripted.bytes_sent import SECRET
from scripted.route_lines import five_stages
from scripted.transport import Nowhere, NowhereLoop, connected

PLAIN = """\
mode: http
listen: "127.0.0.1:8080"
backends:
  - name: a
    address: "127.0.0.1:9001"
"""
EVERYTHING = """\
    max_connections: 1000
health_check:
  passive_checks:
    enabled: true
circuit_breaker:
  enabled: true
retry:
  enabled: true
  per_try_timeout: 2s
session_affinity:
  enabled: true
"""
ONE_ROUTE = (
    PLAIN
    + """\
http:
  routes:
    - {name: all, host: www.example.com, pool: default}
"""
)
LIMITED = PLAIN + "rate_limit: {enabled: true, requests_per_second: 1000000}\n"
TRACED = PLAIN + "tracing: {enabled: true, sample_rate: 0}\n"
SAMPLED = PLAIN + "tracing: {enabled: true}\n"
GUARDED = PLAIN + f"security: {{jwt: {{enabled: true, algorithms: [HS256], secret: {SECRET}}}}}\n"
_TWO_POOLS = """\
listen: "127.0.0.1:8080"
pools:
  default: {backends: [{name: a, address: "127.0.0.1:9001"}]}
  other: {backends: [{name: b, address: "127.0.0.1:9002"}]}
http:
  routes:
"""
FIVE_STAGES = _TWO_POOLS + five_stages("www.example.com")
FIVE_STAGES_BY_PATH = _TWO_POOLS + five_stages("www.example.com", is_path_changed=True)


def many_routes(count: int) -> str:
    """As many routes by host and prefix, of which the last one is taken."""
    lines = [f"    - {{name: r{n}, host: h{n}.example, path_prefix: /p{n}, pool: default}}" for n in range(count - 1)]
    return "\n".join([PLAIN + "http:", "  routes:", *lines, "    - {name: all, host: www.example.com, pool: default}", ""])


EVERYTHING_ON = PLAIN + EVERYTHING


class Site:
    """Built from a configuration as a worker builds it."""

    def __init__(self, text: str, *, access_log: bool = False, loop: asyncio.AbstractEventLoop | None = None) -> None:
        config = load_text(text, "scripted").config
        slots = backend_slots(config)
        row = Row(memoryview(bytearray(8 * counters.row_cells(1 + len(slots)))).cast("Q"))
        snapshot = build(config, slots, row, random.random)
        self.config = config
        self.listener, self.pool = snapshot.listeners[0], snapshot.pools["default"]
        self.loop = NowhereLoop(loop or asyncio.new_event_loop())
        self.worker = WorkerContext(cast(Any, self.loop), row, monotonic(), _unwritten_log() if access_log else None)
        if config.tracing.enabled:
            self.worker.tracer = Tracer(config, cast(Any, self.loop), random.random)
            self.worker.tracer.exporter = cast(Any, _Encoder())

    def http(self) -> tuple[ListenerSettings, Nowhere, Upstream]:
        """The entry of an HTTP listener, and a connection to its backend that waits for a request."""
        settings = ListenerSettings(self.worker, self.listener, 8080)
        upstream = Upstream(self.worker, self.pool.backends[0])
        there = connected(upstream)
        upstream.park(monotonic(), settings)
        return settings, there, upstream

    def client(self, settings: ListenerSettings) -> tuple[HttpClient, Nowhere]:
        """A client's new connection."""
        client = HttpClient(Holder(settings))
        return client, connected(client)

    def in_session(self, head: bytes) -> bytes:
        """`head` as a client sends it that has a session, where there are sessions."""
        pool = self.pool
        if pool.affinity is None:
            return head
        tokens = pool.affinity.tokens
        assert tokens is not None
        return head.replace(b"Cookie: ", b"Cookie: LOAD-BALANCING_SESSION=%b; " % tokens.token(pool.backends[0]))


class _Encoder:
    """Spans are encoded and go nowhere: what sending costs depends on who takes them."""

    def add(self, request: FinishedRequest) -> None:
        encode(request)


def _unwritten_log() -> AccessLog:
    """Lines are made and wait; the thread that writes them does not run, for nobody could say when."""
    with mock.patch.object(threading.Thread, "start"):
        return AccessLog(AccessLogConfig(format="json", output="/dev/null"))
