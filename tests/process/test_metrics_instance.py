"""The metrics of a real instance: read by Prometheus' own tools, and never falling, whatever becomes of its processes."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import signal
import socket
import subprocess
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest
from instance_process import Instance, Origin, until
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families

pytestmark = [pytest.mark.long, pytest.mark.timeout(120)]

Run = Callable[..., Instance]
Origins = Callable[..., Origin]
HTTP = {"mode": "http", "workers": 2}
ENDS = ("_total", "_bucket", "_count", "_sum")
Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def fetch(instance: Instance, **headers: str) -> tuple[Any, bytes]:
    request = urllib.request.Request(f"http://127.0.0.1:{instance.admin_port}/metrics", headers=headers)
    with urllib.request.urlopen(request, timeout=20) as reply:
        return reply.headers, reply.read()


def scrape(instance: Instance) -> Samples:
    text = until(lambda: fetch(instance)[1], "the metrics").decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def fallen(before: Samples, after: Samples) -> list[Any]:
    """Counters that are less than before, or not there any more."""
    return [key for key, value in before.items() if key[0].endswith(ENDS) and after.get(key, -1.0) < value]


def requests(samples: Samples) -> float:
    return sum(value for (name, _), value in samples.items() if name == "balance_http_requests_total")


def test_no_counter_falls_over_crashes_a_reload_a_restart_and_an_upgrade(run: Run, origins: Origins) -> None:
    instance = run(
        backends=[{"name": "b1", "address": origins().address}], metrics={"aliases": ["go_balancer"]}, **HTTP
    ).ready()
    sent = 0

    def send(count: int) -> None:
        nonlocal sent
        for _ in range(count):
            assert instance.get()[0] == 200
        sent += count
        until(lambda: requests(scrape(instance)) == sent, lambda: f"{sent} requests, not {requests(scrape(instance))}")

    def kill(name: str) -> None:
        for pid in instance.children(name):
            os.kill(pid, signal.SIGKILL)
        until(lambda: len(instance.children(name)) == (2 if name.endswith("worker") else 1), "its successors")

    def reload() -> None:
        document = json.loads(instance.config.read_text())
        document["backends"].append({"name": "b2", "address": "127.0.0.1:1", "weight": 0})
        instance.config.write_text(json.dumps(document))
        assert instance.command("reload")[0] == 0

    send(20)
    before = scrape(instance)
    for happening in (
        lambda: kill("balance-worker"),
        lambda: kill("balance-control"),
        reload,
        lambda: instance.command("restart"),
        lambda: instance.command("upgrade"),
    ):
        happening()
        send(10)
        after = scrape(instance)
        assert fallen(before, after) == []
        before = after
    assert before["go_balancer_requests_total", ()] == sent == 70
    assert before["balance_worker_restarts_total", ()] == 2


def test_other_buckets_are_refused_by_a_reload_and_taken_by_an_upgrade(run: Run, origins: Origins) -> None:
    instance = run(backends=[{"name": "b1", "address": origins().address}], **HTTP).ready()
    assert instance.get()[0] == 200
    document = json.loads(instance.config.read_text())
    document["metrics"] = {"buckets": [0.25, 20]}
    instance.config.write_text(json.dumps(document))
    status, said = instance.command("reload")
    assert status != 0
    assert f"{instance.config}:1:" in said
    assert ": metrics.buckets: can't change while it counts; `balance upgrade`" in said
    assert instance.get()[0] == 200
    assert instance.command("upgrade")[0] == 0
    assert instance.get()[0] == 200
    until(lambda: instance.metric("balance_http_request_duration_seconds_count") == 1, "one request since the upgrade")
    bounds = {dict(labels)["le"] for name, labels in scrape(instance) if name == "balance_http_request_duration_seconds_bucket"}
    assert bounds == {"0.25", "20.0", "+Inf"}
    assert "metrics.buckets are others: counters and the states of backends begin anew" in instance.log


def test_prometheus_own_tools_find_nothing_wrong(run: Run, origins: Origins) -> None:
    pool = {
        "backends": [
            {"name": "b1", "address": origins().address, "max_connections": 5},
            {"name": "b2", "address": "127.0.0.1:1"},
        ],
        "circuit_breaker": {"enabled": True},
        "health_check": {"passive_checks": {"enabled": True}},
        "session_affinity": {"enabled": True},
    }
    instance = run(
        workers=2,
        listeners=[{"name": "main", "mode": "http", "listen": "127.0.0.1:0", "pool": "app", "rate_limit": {"enabled": True}}],
        pools={"app": pool},
        metrics={"aliases": ["loadbalancer", "go_balancer"], "path": "/figures"},
    ).ready()
    for _ in range(10):
        instance.get()
    until(lambda: requests(scrape(instance)) == 10, "ten requests")
    headers, text = fetch(instance)
    assert headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    tool = shutil.which("promtool")
    if tool is not None:
        done = subprocess.run([tool, "check", "metrics"], input=text, capture_output=True, timeout=30)
        # What it dislikes are the names of others.
        found = [
            line for line in (done.stdout + done.stderr).decode().splitlines() if line.startswith(("balance_", "process_"))
        ]
        assert found == []
        assert b"error while linting" not in done.stderr
    headers, packed = fetch(instance, Accept="application/openmetrics-text;version=1.0.0", **{"Accept-Encoding": "gzip"})
    assert headers["Content-Encoding"] == "gzip"
    assert headers["Vary"] == "Accept, Accept-Encoding"
    assert len(list(parse_openmetrics(gzip.decompress(packed).decode()))) > 60
    headers, document = fetch(instance, Accept="application/json")
    assert headers["Content-Type"] == "application/json"
    first = json.loads(document)["backends"][0]
    assert (first["name"], first["alive"], first["weight"]) == ("b1", True, 1)
    assert instance.get("/prometheus", instance.admin_port)[0] == instance.get("/figures", instance.admin_port)[0] == 200


def test_who_does_not_read_his_scrape_keeps_nobody_from_theirs(run: Run, origins: Origins) -> None:
    backends = [{"name": f"b{number}", "address": f"127.0.0.1:{number}"} for number in range(2, 500)]
    instance = run(backends=backends, metrics={"backend_histograms": "backend"}, workers=1, mode="http").ready()
    stuck = []
    for _ in range(5):
        client = socket.create_connection(("127.0.0.1", instance.admin_port))
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.sendall(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n" * 3)
        stuck.append(client)
    assert instance.get("/health", instance.admin_port)[0] == 200
    assert instance.metric("balance_connections_total") == 0  # scrapes are no traffic
    assert len(fetch(instance)[1]) > 1_000_000
    for client in stuck:
        client.close()


def test_metrics_are_told_until_the_last_request_of_a_drain_has_ended(run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as slow:
        backend = {"name": "b1", "address": f"127.0.0.1:{slow.getsockname()[1]}"}
        instance = run(backends=[backend], **HTTP).ready()
        with socket.create_connection(("127.0.0.1", instance.port)) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            upstream, _ = slow.accept()
            instance.counts("balance_active_requests", 1)
            instance.process.send_signal(signal.SIGTERM)
            instance.saying("drain")
            assert scrape(instance)["balance_active_requests", ()] == 1
            upstream.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            assert client.recv(100).startswith(b"HTTP/1.1 200")
            upstream.close()
        assert instance.ended() == 0


def test_a_bucket_has_the_trace_of_its_last_sampled_request(run: Run, origins: Origins) -> None:
    nowhere = {"enabled": True, "endpoint": "http://127.0.0.1:1", "sample_rate": 1.0, "trust": ["127.0.0.0/8"]}
    instance = run(backends=[{"name": "b1", "address": origins().address}], tracing=nowhere, **HTTP).ready()
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    for identifier, flags in (("a" * 32, "00"), (trace, "01")):
        headers = {"traceparent": f"00-{identifier}-00f067aa0ba902b7-{flags}"}
        request = urllib.request.Request(f"http://127.0.0.1:{instance.port}/", headers=headers)
        urllib.request.urlopen(request, timeout=20).close()
    until(lambda: requests(scrape(instance)) == 2, "two requests")
    text = fetch(instance, Accept="application/openmetrics-text")[1].decode()
    samples = [sample for family in parse_openmetrics(text) for sample in family.samples if sample.exemplar]
    assert [sample.exemplar.labels for sample in samples] == [{"trace_id": trace}]
    assert samples[0].name == "balance_http_request_duration_seconds_bucket"
    assert samples[0].labels["backend"] == "b1"
    assert samples[0].exemplar.value <= float(samples[0].labels["le"])
