"""The start of whole instances: what is said, and that whatever goes wrong is one line and leaves nothing behind."""

import re
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from running import Instance, Origin

pytestmark = [pytest.mark.drill, pytest.mark.timeout(120)]

Run = Callable[..., Instance]
Origins = Callable[..., Origin]

HTTP = {"mode": "http", "workers": 2}
CHECKS = {"enabled": True, "type": "tcp", "interval": "200ms", "timeout": "1s", "unhealthy_threshold": 2}


def test_the_start_says_what_runs_and_where(run: Run, origins: Origins) -> None:
    instance = run(backends=[{"address": origins().address}], health_check=CHECKS, **HTTP).ready()
    assert instance.get() == (200, "b1")
    said = instance.log
    assert re.search(r"balance \d+\.\d+\.\d+, configuration \S+\.yaml, Python 3", said)
    assert re.search(r"http on 127.0.0.1:\d+ to pool \w+ \(round-robin, 1 backend, tcp health checks every 0.2s\)", said)
    assert "workers: 2" in said
    instance.saying("backend default/backend-1 .* is healthy: connected")


@pytest.mark.parametrize("workers", [1, 2])
def test_a_second_instance_on_the_same_port_is_refused(run: Run, origins: Origins, workers: int) -> None:
    backends = [{"address": origins().address}]
    first = run(backends=backends, mode="http", workers=workers).ready()
    second = run(backends=backends, mode="http", workers=workers, listen=f"127.0.0.1:{first.port}")
    assert second.ended() == 1
    assert re.fullmatch(rf"balance: listener main: cannot listen on 127.0.0.1:{first.port}: it is in use .*", second.log)
    assert first.get() == (200, "b1")


def test_an_admin_port_that_is_taken_ends_the_start_too(run: Run, origins: Origins) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        instance = run(backends=[{"address": origins().address}], admin={"listen": address})
        assert instance.ended() == 1
    assert re.fullmatch(r"balance: listener admin: cannot listen on .*: it is in use .*", instance.log)


def test_a_worker_that_cannot_start_ends_the_start_with_one_line(run: Run, origins: Origins, tmp_path: Path) -> None:
    access_log = {"access_log": {"enabled": True, "output": str(tmp_path / "missing" / "access.log")}}
    instance = run(backends=[{"address": origins().address}], logging=access_log, **HTTP)
    assert instance.ended() == 1
    problems = [line for line in instance.lines if not re.search(" (info|warning) +supervisor: ", line)]
    assert len(problems) == 1
    assert re.fullmatch(r"balance: worker \d could not start: .*missing/access.log.*", problems[0])
    assert not any(line.endswith(": ready") for line in instance.lines)
    assert instance.group_is_empty()


def test_a_unix_socket_is_served_and_its_file_is_gone_afterwards(run: Run, origins: Origins, tmp_path: Path) -> None:
    path = tmp_path / "web.sock"
    instance = run(backends=[{"address": origins().address}], listen=f"unix:{path}", **HTTP).ready()
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        client.settimeout(20)
        reply = b""
        while data := client.recv(4096):
            reply += data
    assert reply.startswith(b"HTTP/1.1 200 OK\r\n") and reply.endswith(b"b1")
    instance.process.send_signal(signal.SIGTERM)
    assert instance.ended() == 0
    assert not path.exists()
