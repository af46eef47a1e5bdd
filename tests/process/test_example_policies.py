"""The example files of mirror, fault injection and regions before running backends, with two workers."""

from __future__ import annotations

import http.client
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from instance_process import PATIENCE_S, Instance, Origin, until

EXAMPLES = Path(__file__).resolve().parents[2] / "deployments" / "examples"


class Site:
    """An instance with the configuration of an example; its backends answer with their names."""

    def __init__(self, folder: Path, example: str, origins: list[Origin]) -> None:
        self.origins = origins
        self.text = (EXAMPLES / example).read_text().replace('":8080"', '"127.0.0.1:0"')
        self.text = self.text.replace("workers: auto", "workers: 2\nadmin: {listen: '127.0.0.1:0'}\nshutdown: {delay: 0s}")
        for number, origin in enumerate(origins, 1):
            self.text = self.text.replace(f"10.0.0.{number}:8000", origin.address)
        self.instance = Instance(folder, self.text).ready()

    def ask(self, method: str = "GET", **fields: str) -> tuple[int, str]:
        """The status of the reply on a new connection, and who sent it."""
        connection = http.client.HTTPConnection("127.0.0.1", self.instance.port, timeout=PATIENCE_S)
        try:
            connection.request(method, "/", headers={name.replace("_", "-"): value for name, value in fields.items()})
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def take_out(self, backend: str) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.instance.admin_port, timeout=PATIENCE_S)
        headers = {"Content-Type": "application/json"}
        connection.request("PATCH", f"/backends/{backend}", b'{"state": "maintenance"}', headers)
        assert connection.getresponse().status == 200
        connection.close()

    def answers(self, count: int, **fields: str) -> Counter[str]:
        return Counter(text for status, text in (self.ask(**fields) for _ in range(count)) if status == 200)


@pytest.fixture
def site(tmp_path: Path, origins: Callable[..., Origin]) -> Iterator[Callable[..., Site]]:
    made: list[Site] = []

    def start(example: str, *names: str) -> Site:
        made.append(site := Site(tmp_path, example, [origins(name) for name in names]))
        return site

    yield start
    for each in made:
        each.instance.destroy()


@pytest.mark.long
def test_the_mirror_example(site: Callable[..., Site]) -> None:
    shop = site("mirror.yaml", "v1-1", "v1-2", "v2-1")
    assert set(shop.answers(120)) == {"v1-1", "v1-2"}

    def copies() -> float:
        return shop.instance.metric("balance_mirrored_requests_total")

    until(lambda: 5 <= copies() <= 80, lambda: f"{copies():g} copies of 120 requests")
    shop.origins[2].stop()

    def is_dropped() -> bool:
        assert sum(shop.answers(10).values()) == 10
        return shop.instance.metric("balance_mirror_dropped_total") > 0

    until(is_dropped, "a copy for a mirror that is gone")


@pytest.mark.long
def test_the_fault_example(site: Callable[..., Site]) -> None:
    app = site("fault-injection.yaml", "app-1", "app-2")
    assert "route main/app injects faults until 20" in app.instance.log
    assert app.instance.metric("balance_fault_injection_active") == 1
    assert sum(app.answers(20).values()) == 20
    began = time.monotonic()
    found = Counter(app.ask(X_Fault="yes")[0] for _ in range(40))
    assert set(found) == {200, 503}
    assert time.monotonic() - began > 0.2  # one of them was delayed
    app.instance.counts('balance_requests_ended_total{why="fault_injected"}', found[503])


@pytest.mark.long
def test_a_reload_does_not_put_off_the_end_of_a_fault(site: Callable[..., Site]) -> None:
    app = site("fault-injection.yaml", "app-1", "app-2")

    def end() -> str:
        lines = [line for line in app.instance.lines if "injects faults until" in line]
        return lines[-1].split("until ")[1] if lines else ""

    text = app.text
    ends = []
    for weight in (2, 3):
        app.instance.config.write_text(text.replace("name: app-1,", f"name: app-1, weight: {weight},"))
        count = app.instance.log.count("injects faults until")
        os.kill(app.instance.process.pid, signal.SIGHUP)
        until(lambda count=count: app.instance.log.count("injects faults until") > count, "the line about it")
        ends.append(end())
    assert ends[0] == ends[1] != ""
    assert [status for status, _ in (app.ask(X_Fault="yes") for _ in range(30)) if status == 503]


@pytest.mark.long
def test_the_regions_example(site: Callable[..., Site]) -> None:
    app = site("regions.yaml", "eu-1", "eu-2", "us-1", "asia-1")
    assert set(app.answers(20, X_Client_Region="eu")) == {"eu-1", "eu-2"}
    assert set(app.answers(20, X_Client_Region="us")) == {"us-1"}
    assert set(app.answers(20, X_Client_Region="asia")) == {"asia-1"}
    assert set(app.answers(20, X_Forwarded_For="192.0.2.9")) == {"eu-1", "eu-2"}
    assert set(app.answers(20, X_Forwarded_For="198.51.100.9")) == {"us-1"}
    assert set(app.answers(20)) == {"eu-1", "eu-2"}  # nobody knows it: the first of the others
    assert {each["name"]: each["region"] for each in app.instance.ask("/backends")[1]["backends"]}["eu-1"] == "eu"

    app.take_out("eu-1")
    until(lambda: "eu-1" not in app.answers(20, X_Client_Region="eu"), "every worker knows")
    shared = app.answers(200, X_Client_Region="eu")  # half of the capacity is left: 70 % stay
    assert set(shared) == {"eu-2", "us-1"}
    assert 25 <= shared["us-1"] <= 100
    app.take_out("eu-2")
    until(lambda: set(app.answers(5, X_Client_Region="eu")) == {"us-1"}, "all of the EU at the US")
    app.take_out("asia-1")
    until(lambda: app.ask(X_Client_Region="asia")[0] == 503, "asia stays at home")
