"""A rolling update carried out by hand: pods are instances with the ConfigMap's configuration, a kubelet starts, asks and ends
them in its order, and clients go by a list of endpoints that lags. Times are a fifth of those in the manifests."""

from __future__ import annotations

import http.client
import random
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import rendered_manifests as manifests
from instance_process import PATIENCE_S, Instance, until
from steady_load import Client, Load

pytestmark = [pytest.mark.long, pytest.mark.drill, pytest.mark.timeout(120)]
SCALE = 5


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Pod:
    """An instance with the configuration of the ConfigMap, at ports of its own."""

    def __init__(self, folder: Path, backends: list[str], delay_s: float, workers: int = 1) -> None:
        self.port, self.probe_port = free_port(), free_port()
        text = manifests.local_configuration("base", folder)
        listed = "".join(f'  - {{address: "{address}"}}\n' for address in backends)
        for old, new in (
            ('listen: ":8080"', f'listen: "127.0.0.1:{self.port}"'),
            ("backends:\n", f"backends:\n{listed}"),
            ('  - {name: app, address: "app:80"}\n', ""),
            ('listen: ":9091"', f'listen: "127.0.0.1:{self.probe_port}"'),
            ('"127.0.0.1:9090"', "127.0.0.1:0"),
            ("workers: auto", f"workers: {workers}"),
            ("interval: 5s, timeout: 2s", "interval: 200ms, timeout: 150ms, jitter: 0"),
            ("delay: 5s", f"delay: {delay_s * 1000:.0f}ms"),
            ("format: json\n  access_log: {enabled: true, format: json, output: stdout}", "level: info"),
        ):
            assert old in text, old
            text = text.replace(old, new, 1)
        self.instance = Instance(folder, text)

    def asked(self, probe: str) -> int:
        """The status of a probe; 0 where nobody answers."""
        asked = manifests.container("base")[probe]
        connection = http.client.HTTPConnection("127.0.0.1", self.probe_port, timeout=asked["timeoutSeconds"])
        try:
            connection.request("GET", asked["httpGet"]["path"])
            return connection.getresponse().status
        except OSError:
            return 0
        finally:
            connection.close()

    def started(self) -> Pod:
        until(lambda: self.asked("startupProbe") == 200, lambda: self.instance.log)
        until(lambda: self.asked("readinessProbe") == 200, lambda: self.instance.log)
        return self


class LaggingLoad(Load):
    """Clients that choose among endpoints for each connection."""

    def __init__(self) -> None:
        super().__init__(keeping=6, fresh=4, websockets=0, download_bytes=400_000)
        self.endpoints: list[int] = []

    async def _connected(self) -> Client | None:
        self._port = random.choice(self.endpoints)
        return await super()._connected()


@pytest.fixture
def pods(tmp_path: Path) -> Iterator[list[Pod]]:
    running: list[Pod] = []
    yield running
    for pod in running:
        pod.instance.destroy()


def rolled(load: LaggingLoad, pods: list[Pod], folder: Path, pre_stop_s: float, delay_s: float, lag_s: float) -> None:
    """One pod is replaced by another."""
    addresses = list(load.addresses.values())
    pods.append(Pod(folder, addresses, delay_s).started())
    old = pods[0]
    load.endpoints = [old.port]
    load.begin(old.port)
    pods.append(Pod(folder, addresses, delay_s).started())  # maxSurge 1, maxUnavailable 0
    load.endpoints = [old.port, pods[1].port]
    load.flow(100)
    # The pod is deleted: its endpoint goes, which takes time to be known, while the kubelet runs preStop and sends SIGTERM.
    known = time.monotonic() + lag_s
    asked_to_stop = time.monotonic() + pre_stop_s
    while time.monotonic() < asked_to_stop:
        load.flow(5)
    old.instance.process.send_signal(signal.SIGTERM)
    seen: set[int] = set()
    seen_alive = False
    while time.monotonic() < known:
        seen.add(old.asked("readinessProbe"))
        time.sleep(0.05)
    load.endpoints = [pods[1].port]
    while old.instance.process.poll() is None and (alive := old.asked("livenessProbe")):
        assert alive == 200, "a process that drains is no reason to kill it"
        seen_alive = True
        time.sleep(0.05)
    if delay_s:
        assert seen_alive
        assert 503 in seen, "the probe has not seen that it stops"
        assert 0 not in seen, "the probe has found nobody"
    grace_s = manifests.pod("base")["terminationGracePeriodSeconds"]
    assert old.instance.exits_within(min(grace_s, 2 * PATIENCE_S)), "SIGKILL would have come"
    assert old.instance.process.returncode == 0
    load.flow(100)


def test_nothing_is_lost_while_a_pod_is_replaced(pods: list[Pod], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """S43, with connections that stay open, as those of cloud balancers (traefik-helm-chart#450), and readiness that is kept
    until the delay of preStop is over (envoyproxy/gateway#9210). The variables are those that a cluster makes of Services
    (dify#539, cloud-on-k8s#1987)."""
    for name in ("BALANCE", "BALANCE_ADMIN", "BALANCE_METRICS"):
        monkeypatch.setenv(f"{name}_PORT", "tcp://10.0.0.1:80")
        monkeypatch.setenv(f"{name}_SERVICE_HOST", "10.0.0.1")
        monkeypatch.setenv(f"{name}_SERVICE_PORT", "80")
    pre_stop_s = manifests.container("base")["lifecycle"]["preStop"]["sleep"]["seconds"] / SCALE
    with LaggingLoad() as load:
        rolled(load, pods, tmp_path, pre_stop_s, delay_s=1.0, lag_s=pre_stop_s + 0.7)
        report = load.end()
    assert not report.failures, (report.failures[:5], report.table())
    assert not report.twice
    assert report.downloads


def test_without_the_delays_requests_are_lost_so_this_would_be_seen(pods: list[Pod], tmp_path: Path) -> None:
    with LaggingLoad() as load:
        rolled(load, pods, tmp_path, pre_stop_s=0.0, delay_s=0.0, lag_s=1.5)
        report = load.end()
    assert any("no connection" in failure.kind for failure in report.failures), report.table()


def test_with_every_backend_down_a_pod_is_not_restarted(pods: list[Pod], tmp_path: Path) -> None:
    """S43: liveness is of the process alone."""
    pods.append(Pod(tmp_path, [f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"], 0.0))
    pod = pods[0]
    until(lambda: pod.asked("readinessProbe") == 503 and pod.asked("startupProbe") == 200, lambda: pod.instance.log)
    pod.instance.saying("backend-1 .* is unhealthy")
    assert (pod.asked("livenessProbe"), pod.asked("readinessProbe")) == (200, 503)
