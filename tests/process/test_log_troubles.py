"""A whole instance whose logs nobody takes, or that have no room: traffic goes on, and what is lost is counted."""

from __future__ import annotations

import contextlib
import json
import os
import re
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from instance_process import Instance, Origin, until

pytestmark = pytest.mark.long

REQUESTS = 400
AGENT = "x" * 3000  # a pipe of 64 KB is full after some twenty lines
CONFIG = """
listen: "127.0.0.1:0"
workers: 1
backends: [{{name: app, address: "{origin}"}}]
admin: {{listen: "127.0.0.1:0"}}
shutdown: {{delay: 0s}}
logging: {{{log}access_log: {{enabled: true, output: {output}}}}}
"""


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    origin = Origin("app")
    yield origin
    origin.stop()


class OnePipe:
    """An instance both of whose logs are one pipe, as a container's are; nobody reads it but when told to."""

    def __init__(self, folder: Path, text: str) -> None:
        config = folder / "balance.yaml"
        config.write_text(text)
        self.read, write = os.pipe()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "balance", "serve", "--config", str(config)],
            stdout=write,
            stderr=write,
            start_new_session=True,
        )
        os.close(write)
        os.set_blocking(self.read, False)
        self.text = ""

    def take(self) -> str:
        """What is in the pipe, and all before."""
        with contextlib.suppress(BlockingIOError):
            self.text += os.read(self.read, 1 << 20).decode()
        return self.text

    def port(self, pattern: str) -> int:
        return int(until(lambda: re.search(pattern, self.take()), lambda: self.text)[1])

    def end(self) -> None:
        self.process.kill()
        self.process.wait()


def ask_often(port: int, count: int, agent: str = AGENT) -> list[int]:
    """The statuses of so many requests over kept connections."""
    command = ["curl", "-s", "-A", agent, "-o", os.devnull, "-w", "%{http_code}\n", f"http://127.0.0.1:{port}/?[1-{count}]"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    return [int(line) for line in done.stdout.split()]


def metric(port: int, name: str) -> float:
    done = subprocess.run(["curl", "-s", f"http://127.0.0.1:{port}/metrics"], capture_output=True, text=True, timeout=60)
    return sum(float(line.rsplit(" ", 1)[1]) for line in done.stdout.splitlines() if line.startswith(f"{name} "))


def test_pipe_that_nobody_reads_and_then_nobody_has_stops_no_request(tmp_path: Path, origin: Origin) -> None:
    """docker-library/nginx#4, haproxy#1861: both logs in one pipe, whose reader stands still, comes back, and goes."""
    instance = OnePipe(tmp_path, CONFIG.format(origin=origin.address, output="stdout", log="format: json, "))
    try:
        port, admin_port = instance.port(r"listener main: \w+ on \S*:(\d+) to "), instance.port(r"admin: http://\S*:(\d+)/")
        until(lambda: "supervisor: ready" in instance.take() or '"ready"' in instance.take(), "it is ready")
        assert ask_often(port, REQUESTS) == [200] * REQUESTS
        until(lambda: instance.take().count('"user_agent"') == REQUESTS, "every line, once somebody reads")
        assert all(json.loads(line) for line in instance.text.splitlines())  # none was torn apart by another process's
        assert metric(admin_port, "balance_log_lines_lost_total") == 0
        os.close(instance.read)
        assert ask_often(port, 20) == [200] * 20
        until(lambda: metric(admin_port, "balance_log_lines_lost_total") == 20, "lines that are counted as lost")
    finally:
        instance.end()


def written(log: Path) -> int:
    """Its whole lines."""
    return log.read_bytes().count(b"\n") if log.exists() else 0


def test_disk_without_room_stops_no_request_and_both_logs_go_on(tmp_path: Path, origin: Origin) -> None:
    """envoy#6950. It says once that there is no room, and counts."""
    access = tmp_path / "access.log"
    instance = Instance(tmp_path, CONFIG.format(origin=origin.address, output=access, log="")).ready()
    try:
        (worker,) = [int(each["pid"]) for each in instance.ask("/status")[1]["workers"]]
        resource.prlimit(worker, resource.RLIMIT_FSIZE, (200_000, 200_000))  # as if the disk had no more
        assert ask_often(instance.port, REQUESTS) == [200] * REQUESTS
        until(lambda: instance.metric("balance_log_lines_lost_total") > 0, "lines that are counted as lost")
        until(lambda: written(access) + instance.metric("balance_log_lines_lost_total") == REQUESTS, "all, written or lost")
        assert len(re.findall("File too large", instance.log)) == 1
        access.unlink()  # somebody makes room
        until(lambda: ask_often(instance.port, 1, "later") and written(access), "lines in a new file")
        instance.saying("is written again; [0-9]+ lines were lost")
    finally:
        instance.destroy()
