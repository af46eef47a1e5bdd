"""Traces of whole instances: between programs under OpenTelemetry's own instrumentation, and while receivers fail."""

from __future__ import annotations

import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from instance_process import Instance, Origin, until
from opentelemetry.instrumentation.httpx import SyncOpenTelemetryTransport
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.sdk.trace import TracerProvider
from otlp_receiver import HttpReceiver, Silent, attributes

pytestmark = pytest.mark.long

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "deployments" / "examples" / "tracing.yaml"


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def receiver(stack: ExitStack) -> HttpReceiver:
    receiver = HttpReceiver()
    stack.callback(receiver.close)
    return receiver


@pytest.fixture
def start(stack: ExitStack, tmp_path: Path) -> Callable[..., Instance]:
    def start(text: str) -> Instance:
        instance = Instance(tmp_path, text).ready()
        stack.callback(instance.destroy)
        return instance

    return start


def site(origin: Origin, endpoint: str, more: str = "", workers: int = 1) -> str:
    return (
        f"listen: '127.0.0.1:0'\nworkers: {workers}\nadmin: {{listen: '127.0.0.1:0'}}\nshutdown: {{delay: 0s}}\n"
        f"backends: [{{name: b1, address: '{origin.address}'}}]\n"
        f"tracing: {{enabled: true, endpoint: '{endpoint}', trust: [127.0.0.0/8]{more}}}\n"
    )


@pytest.fixture
def origin(stack: ExitStack) -> Origin:
    origin = Origin("b1")
    stack.callback(origin.stop)
    return origin


def test_one_trace_goes_through_client_example_and_backend(
    stack: ExitStack, receiver: HttpReceiver, start: Callable[..., Instance]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    words = [sys.executable, str(ROOT / "tests" / "peers" / "apps" / "traced_app.py"), str(port), receiver.endpoint]
    app = subprocess.Popen(words)
    stack.callback(app.wait)
    stack.callback(app.terminate)
    until(lambda: socket.create_connection(("127.0.0.1", port)).close() is None, "the application listens")
    text = EXAMPLE.read_text().replace('":8080"', '"127.0.0.1:0"').replace("http://127.0.0.1:4318", receiver.endpoint)
    text = text.replace("127.0.0.1:9001", f"127.0.0.1:{port}").replace("127.0.0.1:9002", f"127.0.0.1:{port}")
    text = text.replace("workers: auto", "workers: 1\nadmin: {listen: '127.0.0.1:0'}\nshutdown: {delay: 0s}")
    instance = start(text.replace(f"- {{name: app-2, address: 127.0.0.1:{port}}}", ""))
    provider = TracerProvider()
    transport = SyncOpenTelemetryTransport(httpx.HTTPTransport(), tracer_provider=provider)
    with httpx.Client(transport=transport) as client, provider.get_tracer("test").start_as_current_span("root") as root:
        assert client.get(f"http://127.0.0.1:{instance.port}/a?b=c").text == "hello"
    trace_id = f"{root.get_span_context().trace_id:032x}"
    spans = until(
        lambda: (
            (found := [span for span in receiver.spans if span.trace_id.hex() == trace_id])
            and {span.kind for span in found} >= {Span.SPAN_KIND_SERVER, Span.SPAN_KIND_CLIENT}
            and len([span for span in found if span.kind == Span.SPAN_KIND_SERVER]) == 2
            and found
        ),
        "the spans of both",
    )
    (attempt,) = [span for span in spans if span.kind == Span.SPAN_KIND_CLIENT]
    ours = next(span for span in spans if span.span_id == attempt.parent_span_id)
    theirs = next(span for span in spans if span.kind == Span.SPAN_KIND_SERVER and span is not ours)
    assert theirs.parent_span_id == attempt.span_id
    assert ours.parent_span_id and attributes(ours)["url.path"] == "/a" and "b=c" not in str(ours)


def test_workers_that_are_killed_replaced_reloaded_and_stopped(
    receiver: HttpReceiver, origin: Origin, start: Callable[..., Instance]
) -> None:
    instance = start(site(origin, receiver.endpoint, workers=2))
    for _ in range(10):
        assert instance.get()[0] == 200
    receiver.wait_for(20)
    instance.counts("balance_trace_spans_exported_total", 20)
    connection = http.client.HTTPConnection("127.0.0.1", instance.admin_port, timeout=20)
    connection.request("GET", "/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    exemplars = set(re.findall(r'# \{trace_id="([0-9a-f]{32})"\}', connection.getresponse().read().decode()))
    connection.close()
    assert exemplars and exemplars <= {span.trace_id.hex() for span in receiver.spans}
    for pid in instance.children("balance-worker"):
        os.kill(pid, signal.SIGKILL)
    until(lambda: instance.get()[0] == 200, "a new worker answers")
    until(lambda: len(instance.children("balance-worker")) == 2, "both are there again")
    receiver.wait_for(22)
    assert instance.metric("balance_trace_spans_exported_total") >= 20  # what was counted is kept

    other = HttpReceiver()
    instance.config.write_text(site(origin, other.endpoint, ", service_name: other", workers=2))
    instance.process.send_signal(signal.SIGHUP)
    instance.saying(r"configuration 2 is served")
    until(lambda: instance.get()[0] == 200 and other.spans, "spans at the new receiver")
    before = len(other.spans)
    assert instance.get("/last")[0] == 200
    instance.process.send_signal(signal.SIGTERM)
    assert instance.ended() == 0
    assert len(other.spans) >= before + 2  # what waited was sent
    assert "/last" in {attributes(span).get("url.path") for span in other.servers}
    assert "ERROR" not in instance.log and "Traceback" not in instance.log
    other.close()


@pytest.mark.parametrize("how", ["refuses", "is silent", "answers 404"])
def test_a_receiver_that_fails_costs_no_request_and_no_time_at_the_end(
    how: str, stack: ExitStack, origin: Origin, start: Callable[..., Instance]
) -> None:
    if how == "refuses":
        with socket.create_server(("127.0.0.1", 0)) as probe:
            endpoint = f"http://127.0.0.1:{probe.getsockname()[1]}"
    else:
        failing = Silent() if how == "is silent" else HttpReceiver(lambda number: (404, b"", {}))
        stack.callback(failing.close)
        endpoint = failing.endpoint
    instance = start(site(origin, endpoint))
    for _ in range(40):
        assert instance.get()[0] == 200
    if how != "is silent":
        instance.saying(r"traces can't be sent to http://127.0.0.1:\d+/v1/traces: .*; traffic goes on")
    began = time.monotonic()
    instance.process.send_signal(signal.SIGTERM)
    assert instance.ended() == 0
    assert time.monotonic() - began < 10
    assert instance.log.count("traces can't be sent") <= 1 and "Traceback" not in instance.log
