"""The example files of canary, split and blue-green before running backends, with several workers; and a switch that lasts."""

from __future__ import annotations

import http.client
import json
import re
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from instance_process import PATIENCE_S, Instance, Origin, until

EXAMPLES = Path(__file__).resolve().parents[2] / "deployments" / "examples"


class Site:
    """An instance with the configuration of an example, its backends origins that answer with their names."""

    def __init__(self, folder: Path, example: str, *names: str) -> None:
        self.folder = folder
        self.origins = [Origin(name) for name in names]
        self.text = (EXAMPLES / example).read_text().replace('":8080"', '"127.0.0.1:0"')
        self.text = self.text.replace("workers: auto", "workers: 2\nadmin: {listen: '127.0.0.1:0'}\nshutdown: {delay: 0s}")
        for number, origin in enumerate(self.origins, 1):
            self.text = self.text.replace(f"10.0.0.{number}:8000", origin.address)
        self.instance = Instance(folder, self.text)

    def reload(self, before: str, after: str) -> None:
        """With this change in the file."""
        assert before in self.text
        self.text = self.text.replace(before, after)
        self.instance.config.write_text(self.text)
        assert self.order("/reload")["done"]

    def order(self, path: str, **body: Any) -> dict[str, Any]:
        """What the admin port answers to an order."""
        connection = http.client.HTTPConnection("127.0.0.1", self.instance.admin_port, timeout=PATIENCE_S)
        try:
            connection.request("POST", path, json.dumps(body))
            answer: dict[str, Any] = json.loads(connection.getresponse().read())
            return answer
        finally:
            connection.close()

    def healthy(self) -> int:
        return sum(each["state"] == "healthy" for each in self.instance.ask("/backends")[1]["backends"])

    def end(self) -> None:
        self.instance.destroy()
        for origin in self.origins:
            origin.stop()


@pytest.fixture
def sites() -> Iterator[list[Site]]:
    made: list[Site] = []
    yield made
    for site in made:
        site.end()


def ask(site: Site, on: http.client.HTTPConnection | None = None, **fields: str) -> tuple[str, str]:
    """Who answered, on this connection or a new one, and the cookie that was set."""
    connection = on or http.client.HTTPConnection("127.0.0.1", site.instance.port, timeout=PATIENCE_S)
    try:
        connection.request("GET", "/", headers=fields)
        response = connection.getresponse()
        assert response.status == 200
        return response.read().decode(), (response.getheader("Set-Cookie") or "").partition(";")[0]
    finally:
        if on is None:
            connection.close()


@pytest.mark.long
def test_the_canary_example(tmp_path: Path, sites: list[Site]) -> None:
    sites.append(site := Site(tmp_path, "canary.yaml", "v1-1", "v1-2", "v2-1"))
    site.instance.ready()
    assert {ask(site, **{"X-Canary": "let-me-in"}), ask(site, Cookie="canary=let-me-in")} == {("v2-1", "")}
    assert ask(site, **{"X-Canary": "please", "Cookie": "user=ann"}) in [("v1-1", ""), ("v1-2", "")]

    kept = http.client.HTTPConnection("127.0.0.1", site.instance.port, timeout=PATIENCE_S)
    users = [f"user={number}" for number in range(40)]
    visitors = [cookie for _ in range(10) if (cookie := ask(site)[1])]
    assert len({*visitors}) == 10

    def over(on: http.client.HTTPConnection | None = kept) -> set[str]:
        return {user for user in (*users, *visitors) if ask(site, on, Cookie=user)[0] == "v2-1"}

    early = over()
    assert 1 <= len(early) <= 25
    assert over(on=None) == early  # on new connections, through every worker
    site.reload("percent: 10", "percent: 40")
    late = over()
    assert early < late
    site.reload("percent: 40", "percent: 0")
    assert over() == set()
    kept.close()


def test_the_split_example(tmp_path: Path, sites: list[Site]) -> None:
    sites.append(site := Site(tmp_path, "split.yaml", "v1-1", "v2-1", "v3-1"))
    site.instance.ready()
    first = [ask(site) for _ in range(30)]
    sides = Counter(name for name, _ in first)
    assert set(sides) == {"v1-1", "v2-1"}
    assert sides["v1-1"] > sides["v2-1"]
    assert [ask(site, Cookie=cookie) for _, cookie in first] == [(name, "") for name, _ in first]


@pytest.mark.long
def test_the_blue_green_example(tmp_path: Path, sites: list[Site]) -> None:
    sites.append(site := Site(tmp_path, "blue-green.yaml", "blue-1", "green-1"))
    instance, blue = site.instance.ready(), site.origins[0]
    until(lambda: site.healthy() == 2, "both are healthy")
    kept = [http.client.HTTPConnection("127.0.0.1", instance.port, timeout=PATIENCE_S) for _ in range(8)]
    slow = http.client.HTTPConnection("127.0.0.1", instance.port, timeout=PATIENCE_S)
    try:

        def answers() -> set[str]:
            for connection in kept:
                connection.request("GET", "/")
            return {connection.getresponse().read().decode() for connection in kept}

        assert answers() == {"blue-1"}
        assert ask(site, **{"X-Side": "green"})[0] == "green-1"
        slow.request("GET", "/slow")
        blue.waiting.wait(PATIENCE_S)

        status, said = instance.command("switch", "shop")
        assert (status, said.splitlines()[0]) == (0, "~ policy.blue_green of route main/shop: active blue -> green")
        assert answers() == {"green-1"}  # the next request of every connection, in every worker
        assert ask(site, **{"X-Side": "blue"})[0] == "blue-1"
        blue.released.set()
        assert slow.getresponse().read() == b"blue-1"
        assert "route shop is switched to green" in instance.log
        events = instance.ask("/events?follow=false")[1]["events"]
        assert "route shop switched to green" in [event["text"] for event in events]

        blue.stop()
        until(lambda: site.healthy() == 1, "blue is unhealthy")
        assert "pool blue has no backend that is ready" in site.order("/policy/shop/switch", to="blue")["error"]
        assert answers() == {"green-1"}
    finally:
        for connection in (*kept, slow):
            connection.close()


@pytest.mark.long
def test_a_switch_outlives_reload_restart_and_upgrade_until_the_file_says_something_new(
    tmp_path: Path, sites: list[Site]
) -> None:
    sites.append(site := Site(tmp_path, "blue-green.yaml", "blue-1", "green-1"))
    site.instance.ready()
    until(lambda: site.order("/policy/shop/switch", to="green")["done"], "switched")
    site.reload("interval: 2s", "interval: 3s")
    assert ask(site)[0] == "green-1"
    for order in ("restart", "upgrade"):
        assert site.order(f"/{order}")["done"]
        assert ask(site)[0] == "green-1"
    assert "active green -> blue" in site.order("/reload", discard_changes=True)["changes"][0]
    assert ask(site)[0] == "blue-1"


@pytest.mark.long
def test_an_upgrade_does_not_begin_the_time_of_a_fault_anew(tmp_path: Path, sites: list[Site]) -> None:
    sites.append(site := Site(tmp_path, "blue-green.yaml", "blue-1", "green-1"))
    site.instance.ready()
    site.reload("policy:\n", "policy:\n        fault: {abort_percent: 0.001, until: 10m}\n")
    told = re.compile(r"route main/shop injects faults (.*)")
    until(lambda: told.search(site.instance.log), "the end is told")
    time.sleep(1.1)  # an end is told in seconds
    assert site.order("/upgrade")["done"]
    first, second = until(lambda: len(found := told.findall(site.instance.log)) == 2 and found, "the new instance tells it")
    assert first == second
    assert first.startswith("until 2")
