"""Backends that a real instance starts, drains and stops, under traffic and while things die."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from instance_process import Instance, until

from balance.process.os_calls import is_alive

pytestmark = pytest.mark.long

# A backend of few lines: it says who it is, and finishes what it has on SIGTERM.
SERVER = """
import http.server, os, signal, sys, threading, time
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        time.sleep(0.02 if self.path == "/work" else 0)
        body = (os.environ["BALANCE_BACKEND_NAME"] + " " + sys.argv[2]).encode()
        self.send_response(200); self.send_header("Content-Length", str(len(body))); self.end_headers(); self.wfile.write(body)
    def log_message(self, *args): pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
print("serves", flush=True)
server.serve_forever()
"""


def text(folder: Path, version: str = "v1", command: str = "", more: str = "") -> str:
    (folder / "server.py").write_text(SERVER)
    command = command or f'[{sys.executable}, {folder}/server.py, "{{port}}", {version}]'
    return f"""
listen: "127.0.0.1:0"
admin: {{listen: "127.0.0.1:0"}}
shutdown: {{delay: 0s}}
timeouts: {{drain: 2s}}
health_check: {{enabled: true, type: http, path: /, interval: 500ms, timeout: 400ms}}
autoscaler:
  {{enabled: true, min: 2, max: 4, target: 3, interval: 500ms, cooldown: 0s, window: 1s, step: 2, command: {command}{more}}}
"""


class Scaled(Instance):
    """With what its admin port says."""

    @property
    def admin_port(self) -> int:
        return int(self.saying(r"admin: http://127\.0\.0\.1:(\d+)/")[1])

    def get(self, path: str, port: int = 0) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", port or self.port, timeout=10)
        try:
            connection.request("GET", path)
            reply = connection.getresponse()
            return reply.status, reply.read().decode()
        finally:
            connection.close()

    def autoscaler(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.get("/autoscaler/default", self.admin_port)[1])
        return found

    def serving(self, count: int) -> None:
        until(lambda: self.autoscaler()["processes"]["serving"] == count, lambda: f"{count} serving\n{self.log}")
        until(
            lambda: sum(each["state"] == "healthy" for each in self.backends()) == count, lambda: f"{count} ready\n{self.log}"
        )

    def backends(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.get("/backends", self.admin_port)[1])["backends"]
        return found

    def pids(self) -> set[int]:
        """Of the processes that were started."""
        return {int(pid) for pid in re.findall(r"process auto-\d+ \(pid (\d+)\) passes", self.log)}

    @property
    def keeper(self) -> int:
        return int(re.findall(r"the keeper of the autoscalers' processes is process (\d+)", self.log)[-1])

    def control(self) -> int:
        found: int = json.loads(self.get("/status", self.admin_port)[1])["control"]["pid"]
        return found


class Traffic:
    """Clients that ask again and again; what they got is counted."""

    def __init__(self, instance: Scaled, pause_s: float) -> None:
        self._instance, self._port, self._pause_s = instance, instance.port, pause_s
        self.statuses: Counter[int] = Counter()
        self.from_whom: Counter[str] = Counter()
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(2)]

    def __enter__(self) -> Traffic:
        for thread in self._threads:
            thread.start()
        return self

    def _run(self) -> None:
        while not self._over.is_set():
            try:
                status, body = self._instance.get("/work", self._port)
            except (OSError, http.client.HTTPException):
                status, body = 0, ""
            self.statuses[status] += 1
            self.from_whom[body.rpartition(" ")[2]] += 1
            self._over.wait(self._pause_s)

    def __exit__(self, *about: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[Scaled]:
    instance = Scaled(tmp_path, text(tmp_path)).ready()
    yield instance
    end(instance)


def end(instance: Scaled) -> None:
    if instance.process.poll() is None:
        instance.process.terminate()
        instance.process.wait(30)


def gone(pids: set[int]) -> None:
    until(lambda: not any(is_alive(pid) for pid in pids), f"the end of {pids}")


def test_it_grows_under_load_shrinks_after_it_and_loses_nothing(instance: Scaled) -> None:
    instance.serving(2)
    with Traffic(instance, 0.01) as traffic:
        instance.serving(4)
    with Traffic(instance, 0.4) as slow:
        instance.serving(2)
        until(lambda: len([pid for pid in instance.pids() if is_alive(pid)]) == 2, lambda: instance.log)
    assert set(traffic.statuses) == {200} and set(slow.statuses) == {200}, (traffic.statuses, slow.statuses)
    assert re.search(r"process auto-\d: serves", instance.log)  # what it writes is in our log
    assert re.search(r"scaled from 2 to [34]: .* at a target of 3 for each of 2", instance.log)
    pids = instance.pids()
    end(instance)
    gone(pids | {instance.keeper})


def test_a_dead_control_orphans_and_doubles_nothing(instance: Scaled) -> None:
    instance.serving(2)
    pids = instance.pids()
    with Traffic(instance, 0.02) as traffic:
        os.kill(instance.control(), signal.SIGKILL)
        instance.saying(r"goes on with \d processes that were started before")
        instance.serving(4)
    assert set(traffic.statuses) == {200}
    assert pids < instance.pids() and all(map(is_alive, pids))


def test_a_dead_keeper_takes_its_processes_along_and_others_are_started(instance: Scaled) -> None:
    instance.serving(2)
    pids, keeper = instance.pids(), instance.keeper
    os.kill(keeper, signal.SIGKILL)
    gone(pids)
    instance.saying(r"the keeper of the autoscalers' processes has ended")
    until(lambda: instance.keeper != keeper, "another keeper")
    instance.serving(2)


def test_a_dead_instance_leaves_no_process(tmp_path: Path) -> None:
    instance = Scaled(tmp_path, text(tmp_path)).ready()
    instance.serving(2)
    pids = instance.pids()
    instance.process.kill()
    instance.process.wait()
    gone(pids | {instance.keeper})


def test_a_process_that_is_killed_is_replaced(instance: Scaled) -> None:
    instance.serving(2)
    os.kill(min(instance.pids()), signal.SIGKILL)
    instance.saying(r"process auto-\d \(pid \d+, port \d+\) has ended unasked: killed by signal 9")
    until(lambda: len(instance.pids()) == 3, lambda: instance.log)
    instance.serving(2)


def test_a_reload_with_another_command_replaces_the_processes_new_ones_first(instance: Scaled, tmp_path: Path) -> None:
    instance.serving(2)
    before = instance.pids()
    with Traffic(instance, 0.1) as traffic:
        instance.config.write_text(instance.config.read_text().replace(", v1]", ", v2]"))
        instance.process.send_signal(signal.SIGHUP)
        gone(before)
        until(lambda: traffic.from_whom["v2"] > 5, lambda: instance.log)
    assert set(traffic.statuses) == {200}, traffic.statuses
    assert set(traffic.from_whom) == {"v1", "v2"}


def test_a_reload_without_it_takes_them_away(instance: Scaled) -> None:
    instance.serving(2)
    before = instance.pids()
    changed = instance.config.read_text().replace("enabled: true, min", "enabled: false, min")
    instance.config.write_text(changed + 'backends: [{address: "127.0.0.1:1"}]\n')
    instance.process.send_signal(signal.SIGHUP)
    gone(before)
    until(lambda: [each["name"] for each in instance.backends()] == ["backend-1"], lambda: instance.log)


def test_an_upgrade_goes_on_with_the_same_processes(instance: Scaled) -> None:
    instance.serving(2)
    pids = instance.pids()
    with Traffic(instance, 0.1) as traffic:
        instance.process.send_signal(signal.SIGUSR2)
        instance.saying(r"process \d+ has taken over")
        instance.saying(r"goes on with \d processes that were started before")
        time.sleep(1.0)
    assert set(traffic.statuses) == {200}, traffic.statuses
    assert all(map(is_alive, pids))
    successor = int(instance.saying(r"process (\d+) has taken over")[1])
    os.kill(successor, signal.SIGTERM)
    instance.process.wait(30)
    gone(pids)


def test_a_crash_loop_is_seen_stopped_and_said_in_one_line(tmp_path: Path) -> None:
    command = "[sh, -c, 'echo no such database; exit 3', '{port}']"
    instance = Scaled(tmp_path, text(tmp_path, command=command)).ready()
    try:
        line = instance.saying(r"error .*5 processes in a row have ended .* exit status 3.*no more are started for 10m")[0]
        assert "pool default" in line
        assert "process auto-1: no such database" in instance.log
        until(lambda: instance.autoscaler()["state"] == "crash_loop", lambda: json.dumps(instance.autoscaler()))
        assert 'balance_autoscaler_crash_loop{pool="default"} 1.0' in instance.get("/metrics", instance.admin_port)[1]
        started = instance.log.count("starts process")
        time.sleep(1.5)
        assert instance.log.count("starts process") == started <= 8
    finally:
        end(instance)


def test_a_program_that_is_not_there_is_one_too(tmp_path: Path) -> None:
    instance = Scaled(tmp_path, text(tmp_path, command="[/nowhere/app, '{port}']")).ready()
    try:
        instance.saying(r"has ended unasked: can't be run: No such file or directory")
    finally:
        end(instance)


def test_output_without_end_is_bounded(tmp_path: Path) -> None:
    program = f'[{sys.executable}, -c, "import itertools,sys; [print(sys.argv[1], n) for n in itertools.count()]", "{{port}}"]'
    instance = Scaled(tmp_path, text(tmp_path, command=program)).ready()
    try:
        instance.saying(r"lines were left out here")
        assert len(instance.lines) < 2000
    finally:
        end(instance)
