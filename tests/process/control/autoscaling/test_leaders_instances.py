"""Several real balancers and one real Redis: the leader is killed, frozen and woken, and Redis goes away (S41)."""

from __future__ import annotations

import http.client
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from instance_process import Instance, until
from redis_server import RedisServer

pytestmark = pytest.mark.long


class Balancer(Instance):
    def __init__(self, folder: Path, name: str, server: RedisServer) -> None:
        self.told = folder / f"{name}.told"
        super().__init__(
            folder,
            f"""
listen: "127.0.0.1:0"
admin: {{listen: "127.0.0.1:0"}}
shutdown: {{delay: 0s}}
backends: [{{address: "127.0.0.1:1"}}]
redis: {{url: "{server.url}"}}
autoscaler:
  enabled: true
  min: 3
  max: 9
  interval: 200ms
  driver: exec
  command: [sh, -c, 'echo "$BALANCE_DESIRED $BALANCE_FENCING_TOKEN" >> {self.told}']
""",
        )

    def autoscaler(self) -> dict[str, Any]:
        port = int(self.saying(r"admin: http://127\.0\.0\.1:(\d+)/")[1])
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/autoscaler")
            (found,) = json.loads(connection.getresponse().read())["pools"]
        finally:
            connection.close()
        return dict(found)

    @property
    def leads(self) -> bool:
        return bool(self.autoscaler()["leader"]["this_one"])

    @property
    def control(self) -> int:
        found = (Path("/proc") / str(self.process.pid) / "task" / str(self.process.pid) / "children").read_text().split()
        return next(int(pid) for pid in found if "control" in (Path("/proc") / pid / "comm").read_text())

    @property
    def changes(self) -> list[list[int]]:
        return (
            [[int(word) for word in line.split()] for line in self.told.read_text().splitlines()] if self.told.exists() else []
        )

    def end(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGCONT)
            self.process.terminate()
            self.process.wait(30)


@pytest.fixture
def server() -> Iterator[RedisServer]:
    server = RedisServer()
    yield server
    server.destroy()


@pytest.fixture
def pair(tmp_path: Path, server: RedisServer) -> Iterator[tuple[Balancer, Balancer]]:
    """The first one leads."""
    first = Balancer(tmp_path, "first", server).ready()
    until(lambda: first.leads and first.changes, lambda: first.log)
    second = Balancer(tmp_path, "second", server).ready()
    until(lambda: second.autoscaler()["leader"]["balancers"] == 2, lambda: second.log)
    yield first, second
    first.end()
    second.end()


def wish(server: RedisServer, desired: int) -> None:
    """As if somebody had asked for so many, so that the leader has something to do: it goes back to its bounds."""
    state = server.client().get("balance:autoscaler:{default}:state")
    token, at, _ = state.split(" ", 2)
    server.client().set("balance:autoscaler:{default}:state", f'{token} {at} {{"desired":{desired},"done":true}}')


def test_a_leader_that_is_killed_has_an_heir_with_a_greater_token(pair: tuple[Balancer, Balancer], server: RedisServer) -> None:
    first, second = pair
    ((wanted, before),) = first.changes
    assert wanted == 3 and not second.changes and not second.leads
    os.killpg(first.process.pid, signal.SIGKILL)
    until(lambda: second.leads, lambda: second.log)
    wish(server, 12)
    until(lambda: second.changes, lambda: second.log)
    ((desired, token),) = second.changes
    assert desired == 9 and token > before


def test_a_leader_that_was_frozen_and_wakes_up_changes_nothing(pair: tuple[Balancer, Balancer], server: RedisServer) -> None:
    first, second = pair
    control = first.control
    os.kill(control, signal.SIGSTOP)
    try:
        until(lambda: second.leads, lambda: second.log)
        wish(server, 12)
        until(lambda: second.changes, lambda: second.log)
        before = first.changes
    finally:
        os.kill(control, signal.SIGCONT)
    until(lambda: not first.leads and first.autoscaler()["current"] == 9, lambda: first.log)
    assert first.changes == before and second.leads


def test_without_redis_every_size_is_held_and_it_goes_on_afterwards(
    pair: tuple[Balancer, Balancer], server: RedisServer
) -> None:
    first, second = pair
    before = first.changes
    server.stop()
    until(lambda: first.autoscaler()["state"] == "held" and second.autoscaler()["state"] == "held", lambda: first.log)
    assert "Redis can't be used" in first.autoscaler()["why"]
    assert first.changes == before and not second.changes
    server.start()
    until(lambda: first.leads or second.leads, lambda: first.log)
