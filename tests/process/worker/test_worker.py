"""A worker takes its place: its own socket, and all that its predecessor was told."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from instance_process import Instance, Origin

pytestmark = [pytest.mark.drill, pytest.mark.timeout(120)]

Run = Callable[..., Instance]
Origins = Callable[..., Origin]

HTTP = {"mode": "http", "workers": 2}
CHECKS = {"enabled": True, "type": "tcp", "interval": "200ms", "timeout": "1s", "unhealthy_threshold": 2}


def test_a_worker_born_later_knows_which_backends_are_ill(run: Run, origins: Origins) -> None:
    gone = origins("gone")
    backends = [{"address": origins("good").address}, {"address": gone.address}]
    instance = run(backends=backends, health_check=CHECKS, mode="http", workers=1).ready()
    gone.stop()
    instance.saying("is unhealthy")
    (worker,) = instance.children("balance-worker")
    os.kill(worker, signal.SIGKILL)
    instance.saying(r"worker 0 \(pid \d+\) is ready")
    for _ in range(4):
        assert instance.get() == (200, "good")
    assert instance.metric("balance_backend_connect_failures_total") == 0


def test_each_worker_holds_its_own_listening_socket_and_control_none(run: Run, origins: Origins) -> None:
    instance = run(backends=[{"address": origins().address}], **HTTP).ready()
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    inodes = {row[9] for row in rows if row[1].endswith(f":{instance.port:04X}") and row[3] == "0A"}

    def held(pid: int) -> set[str]:
        links = (os.readlink(fd) for fd in Path(f"/proc/{pid}/fd").iterdir())
        return {link[8:-1] for link in links if link.startswith("socket:[")} & inodes

    first, second = map(held, instance.children("balance-worker"))
    (control,) = map(held, instance.children("balance-control"))
    assert (len(inodes), len(first), len(second), control) == (2, 1, 1, set())
    assert first.isdisjoint(second)
