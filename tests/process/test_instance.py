"""The start of whole instances: what is said, and that whatever goes wrong is one line and leaves nothing behind."""

import contextlib
import re
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from instance_process import Instance, Origin, until

pytestmark = [pytest.mark.drill, pytest.mark.timeout(120)]

Run = Callable[..., Instance]
Origins = Callable[..., Origin]

HTTP = {"mode": "http", "workers": 2}
CHECKS = {"enabled": True, "type": "tcp", "interval": "200ms", "timeout": "1s", "unhealthy_threshold": 2}


def test_the_start_says_what_runs_and_where(run: Run, origins: Origins) -> None:
    instance = run(backends=[{"address": origins().address}], health_check=CHECKS, **HTTP).ready()
    assert instance.get() == (200, "b1")
    said = instance.log
    assert re.search(r"balance \d+\.\d+\.\d+, configuration \S+\.yaml, (pure Python|compiled), CPython 3", said)
    assert re.search(r"http on 127.0.0.1:\d+ to pool \w+ \(round-robin, 1 backend, tcp health checks every 0.2s\)", said)
    assert "workers: 2" in said
    instance.saying("backend default/backend-1 .* is healthy: connected")


@pytest.mark.skipif(sys.platform != "linux", reason="what a process has loaded is read in /proc")
def test_no_process_that_stays_has_loaded_what_reads_configurations(run: Run, origins: Origins) -> None:
    instance = run(backends=[{"address": origins().address}], health_check=CHECKS, **HTTP).ready()
    assert instance.command("weight", "backend-1", "3")[0] == 0  # a configuration is loaded anew
    pids = [instance.process.pid, *instance.children("balance-worker"), *instance.children("balance-control")]
    assert len(pids) == 4
    loaded = {pid: Path(f"/proc/{pid}/maps").read_text() for pid in pids}
    assert [pid for pid in pids if "/httptools/" not in loaded[pid]] == []  # so what is loaded is seen there
    assert [pid for pid in pids if "pydantic_core" in loaded[pid] or "/_yaml." in loaded[pid]] == []


@pytest.mark.parametrize("workers", [pytest.param(1, marks=pytest.mark.long), 2])
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


@pytest.mark.long
def test_sockets_of_systemd_keep_callers_from_before_the_start_and_between_two_runs(
    run: Run, origins: Origins, tmp_path: Path
) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listening,
        socket.create_server(str(tmp_path / "hand"), family=socket.AF_UNIX) as hand,
    ):
        port = listening.getsockname()[1]
        take = f"""
import os, socket
with socket.socket(socket.AF_UNIX) as hand:
    hand.connect({str(tmp_path / "hand")!r})
    _, (fd,), _, _ = socket.recv_fds(hand, 1, 1)
os.dup2(fd, 3, inheritable=True)
if fd != 3: os.close(fd)
os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()), LISTEN_FDNAMES="web")
"""
        for _ in range(2):
            with socket.create_connection(("127.0.0.1", port), timeout=20) as caller:  # nobody accepts yet
                caller.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                instance = run(take, backends=[{"address": origins().address}], listen=f"127.0.0.1:{port}", **HTTP)
                with hand.accept()[0] as taker:
                    socket.send_fds(taker, [b"x"], [listening.fileno()])
                instance.ready()
                assert caller.makefile("rb").readline() == b"HTTP/1.1 200 OK\r\n"
            instance.process.send_signal(signal.SIGTERM)
            assert instance.ended() == 0


def test_systemd_is_told_of_the_start_each_reload_and_the_end(run: Run, origins: Origins, tmp_path: Path) -> None:
    heard: list[str] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(tmp_path / "notify"))
        receiver.settimeout(0.02)

        def words() -> list[str]:
            with contextlib.suppress(TimeoutError):
                while True:
                    heard.append(receiver.recv(4096).decode().split("\n")[0])
            return [word for word in heard if word != "WATCHDOG=1"]

        environ = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "200000"}
        take = f"import os; os.environ.update({environ!r}, WATCHDOG_PID=str(os.getpid()))"
        instance = run(take, backends=[{"address": origins().address}], **HTTP)
        until(lambda: words() == ["READY=1"], "READY=1")
        instance.process.send_signal(signal.SIGHUP)
        until(lambda: words() == ["READY=1", "RELOADING=1", "READY=1"], "a reload told")
        beats = heard.count("WATCHDOG=1")
        until(lambda: words() and heard.count("WATCHDOG=1") > beats + 2, "beats of an instance that has nothing to do")
        instance.process.send_signal(signal.SIGTERM)
        assert instance.ended() == 0
        assert words()[3] == "STOPPING=1"
