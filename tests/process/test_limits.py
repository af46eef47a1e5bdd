"""Limits in whole instances of four workers: exact over the machine, whoever dies."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator

import pytest
from failing_backend import FailingBackend, wait_for
from instance_process import Instance, Origin, until

pytestmark = [pytest.mark.drill, pytest.mark.long, pytest.mark.timeout(120)]

Run = Callable[..., Instance]
Origins = Callable[..., Origin]

HTTP = {"mode": "http", "workers": 4}


@pytest.fixture
def busy() -> Iterator[FailingBackend]:
    """A backend that counts what it has at once."""
    backend = FailingBackend("busy")
    backend.is_failing = False
    yield backend
    backend.stop()


class Asking:
    """So many requests at once, each on a connection of its own; their statuses as they come."""

    def __init__(self, port: int, count: int) -> None:
        self.statuses: list[int] = []
        self.sockets = [socket.create_connection(("127.0.0.1", port), timeout=60) for _ in range(count)]
        for sock in self.sockets:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        for sock in self.sockets:
            data = b""
            try:
                while more := sock.recv(65536):
                    data += more
            except OSError:
                data = b""
            self.statuses.append(int(data[9:12] or b"0"))
            sock.close()

    def ended(self) -> list[int]:
        self._thread.join(90)
        return self.statuses


def test_a_thousand_requests_at_once_and_never_more_than_five_at_the_backend(run: Run, busy: FailingBackend) -> None:
    backends = [{"name": "busy", "address": busy.address, "max_connections": 5}]
    queue = {"size": 4000, "timeout": "60s"}
    instance = run(backends=backends, queue=queue, **HTTP).ready()
    asking = Asking(instance.port, 1000)
    until(lambda: busy.at_once == 5, "a full backend")
    until(lambda: instance.metric("balance_pool_waiting") > 900, "a long queue")
    (shown,) = instance.ask("/backends")[1]["backends"]
    assert (shown["max_connections"], shown["active"]) == (5, 5)
    busy.released.set()
    assert asking.ended() == [200] * 1000
    assert busy.most_at_once == 5
    until(lambda: instance.metric("balance_pool_waiting") == 0, "an empty queue")


def test_every_worker_gets_its_part_of_a_single_permit(run: Run, busy: FailingBackend) -> None:
    busy.released.set()
    backends = [{"name": "busy", "address": busy.address, "max_connections": 1}]
    instance = run(backends=backends, queue={"size": 1000, "timeout": "30s"}, **HTTP).ready()
    assert Asking(instance.port, 200).ended() == [200] * 200
    assert busy.most_at_once == 1


def test_a_worker_that_is_killed_gives_its_permits_back(run: Run, busy: FailingBackend) -> None:
    backends = [{"name": "busy", "address": busy.address, "max_connections": 5}]
    instance = run(backends=backends, queue={"size": 0}, **HTTP).ready()
    asked: list[Asking] = []

    def fill() -> bool:
        asked.append(Asking(instance.port, 8))
        time.sleep(0.25)  # a worker without a permit learns of another's unused one within a tick
        return busy.at_once == 5

    until(fill, "a full backend")
    for pid in instance.children("balance-worker"):
        os.kill(pid, signal.SIGKILL)
    until(lambda: len(instance.children("balance-worker")) == 4, "successors")
    busy.released.set()
    wait_for(lambda: busy.at_once == 0)
    until(lambda: instance.get()[0] == 200, "an answer of a successor")
    busy.released.clear()
    until(fill, "a full backend again")
    assert busy.most_at_once == 5
    busy.released.set()


def test_refusals_by_a_limit_open_no_breaker_and_eject_nobody(run: Run, busy: FailingBackend) -> None:
    backends = [{"name": "busy", "address": busy.address, "max_connections": 1}]
    checks = {"passive_checks": {"enabled": True, "consecutive_failures": 1}}
    breaker = {"enabled": True, "failure_threshold": 1}
    instance = run(backends=backends, queue={"size": 0}, circuit_breaker=breaker, health_check=checks, **HTTP).ready()
    held = Asking(instance.port, 1)
    until(lambda: busy.at_once == 1, "a full backend")
    assert Asking(instance.port, 50).ended() == [503] * 50
    instance.counts('balance_requests_ended_total{why="limit"}', 50)
    busy.released.set()
    assert held.ended() == [200]
    until(lambda: instance.get()[0] == 200, "another answer")
    assert "is open" not in instance.log
    assert "is ejected" not in instance.log


def change(instance: Instance, name: str, **values: object) -> None:
    """What an operator says at run time."""
    url = f"http://127.0.0.1:{instance.admin_port}/backends/{name}"
    request = urllib.request.Request(url, json.dumps(values).encode(), method="PATCH")
    with urllib.request.urlopen(request, timeout=20):
        pass


def test_a_limit_changes_at_run_time_in_every_worker_and_those_who_wait_go_on(run: Run, busy: FailingBackend) -> None:
    backends = [{"name": "busy", "address": busy.address, "max_connections": 2}]
    instance = run(backends=backends, queue={"size": 1000, "timeout": "60s"}, **HTTP).ready()
    asking = Asking(instance.port, 30)
    until(lambda: busy.at_once == 2, "a full backend")
    change(instance, "busy", max_connections=8)
    until(lambda: busy.at_once == 8, "eight at once")
    change(instance, "busy", max_connections=3)
    busy.released.set()
    assert asking.ended() == [200] * 30
    assert busy.most_at_once == 8
    wait_for(lambda: busy.at_once == 0)
    busy.released.clear()
    busy.most_at_once = 0
    asking = Asking(instance.port, 30)
    until(lambda: busy.at_once == 3, "a full backend")
    change(instance, "busy", max_connections=0)
    until(lambda: busy.at_once == 30, "no limit")
    change(instance, "busy", max_connections=4)
    busy.released.set()
    assert asking.ended() == [200] * 30
    wait_for(lambda: busy.at_once == 0)
    busy.most_at_once = 0
    assert Asking(instance.port, 300).ended() == [200] * 300
    assert busy.most_at_once <= 4


def test_a_backup_serves_while_no_other_is_ready(run: Run, origins: Origins) -> None:
    names = [{"name": name, "address": origins(name).address} for name in ("b1", "b2")]
    spare = {"name": "spare", "address": origins("spare").address, "backup": True}
    instance = run(backends=[*names, spare], **HTTP).ready()
    assert {instance.get()[1] for _ in range(20)} == {"b1", "b2"}
    change(instance, "b1", state="maintenance")
    change(instance, "b2", state="drain")
    until(lambda: instance.get()[1] == "spare", "the backup")
    assert {instance.get()[1] for _ in range(20)} == {"spare"}
    change(instance, "b2", state="enable")
    until(lambda: {instance.get()[1] for _ in range(20)} == {"b2"}, "the other again")
    assert [each["backup"] for each in instance.ask("/backends")[1]["backends"]] == [False, False, True]
