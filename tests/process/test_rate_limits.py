"""Rate limits of a whole instance: one limit over all workers, through a crash, a reload and a rolling restart."""

from __future__ import annotations

import http.client
import os
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from instance_process import PATIENCE_S, Instance, Origin, until

EXAMPLES = Path(__file__).resolve().parents[2] / "deployments" / "examples"
SLOW = """\
listen: "127.0.0.1:0"
workers: 2
admin: {{listen: "127.0.0.1:0"}}
shutdown: {{delay: 0s}}
backends: [{{address: "{address}"}}]
rate_limit: {{enabled: true, requests_per_second: 0.0001, burst: {burst}}}
"""


@pytest.fixture
def origin() -> Iterator[Origin]:
    made = Origin("app")
    yield made
    made.stop()


def ask(instance: Instance, path: str = "/", method: str = "GET", **fields: str) -> int:
    """The status of a reply on a new connection: any worker may take it."""
    connection = http.client.HTTPConnection("127.0.0.1", instance.port, timeout=PATIENCE_S)
    try:
        connection.request(method, path, headers={name.replace("_", "-"): value for name, value in fields.items()})
        return connection.getresponse().status
    finally:
        connection.close()


def statuses(instance: Instance, count: int, path: str = "/", method: str = "GET", **fields: str) -> Counter[int]:
    return Counter(ask(instance, path, method, **fields) for _ in range(count))


def test_one_limit_for_all_workers_through_crash_reload_and_restart(tmp_path: Path, origin: Origin) -> None:
    instance = Instance(tmp_path, SLOW.format(address=origin.address, burst=40)).ready()
    try:
        assert statuses(instance, 20) == {200: 20}
        os.kill(instance.children("balance-worker")[0], signal.SIGKILL)
        until(lambda: len(instance.children("balance-worker")) == 2, instance.log)
        assert statuses(instance, 10) == {200: 10}
        assert instance.command("reload")[0] == 0
        assert statuses(instance, 5) == {200: 5}
        assert instance.command("restart")[0] == 0
        assert statuses(instance, 10) == {200: 5, 429: 5}
        instance.counts('balance_rate_limited_total{action="refused",listener="main",route=""}', 5)
        instance.counts('balance_requests_ended_total{why="rate_limited"}', 5)
    finally:
        instance.destroy()


def test_the_example(tmp_path: Path, origin: Origin) -> None:
    text = (EXAMPLES / "rate-limit.yaml").read_text().replace('":8080"', '"127.0.0.1:0"')
    text = text.replace("workers: auto", "workers: 2\nadmin: {listen: '127.0.0.1:0'}\nshutdown: {delay: 0s}")
    text = text.replace("10.0.0.1:8000", origin.address).replace("10.0.0.2:8000", origin.address)
    text = text.replace("burst: 20}", "burst: 20}").replace("requests_per_second: 5,", "requests_per_second: 0.001,")
    text = text.replace("requests_per_second: 1,", "requests_per_second: 0.001,")
    instance = Instance(tmp_path, text).ready()
    try:
        assert statuses(instance, 13, "/login", "POST")[429] == 3
        assert statuses(instance, 22, "/api/x", X_API_Key="one") == {200: 20, 429: 2}
        assert ask(instance, "/api/x", X_API_Key="two") == 200
        assert ask(instance, "/api/x") == 200
        assert statuses(instance, 9, "/search") == {200: 9}
        instance.counts('balance_rate_limited_total{action="reported",listener="main",route="search"}', 4)
        assert statuses(instance, 9, "/health") == {200: 9}
    finally:
        instance.destroy()
