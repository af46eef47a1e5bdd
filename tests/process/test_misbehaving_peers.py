"""Whole instances under an operator's and a machine's worst habits."""

import contextlib
import json
import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from instance_process import Instance, Origin, until

pytestmark = [pytest.mark.drill, pytest.mark.long, pytest.mark.timeout(120)]

Run = Callable[..., Instance]
Origins = Callable[..., Origin]

HTTP = {"mode": "http", "workers": 2}
CHECKS = {"enabled": True, "type": "tcp", "interval": "200ms", "timeout": "1s", "unhealthy_threshold": 2}


def test_a_log_that_is_a_pipe_nobody_reads_stops_no_reload_and_no_traffic(run: Run, origins: Origins, tmp_path: Path) -> None:
    fifo = tmp_path / "log"
    os.mkfifo(fifo)
    instance = run(backends=[{"address": origins().address}], **HTTP).ready()
    document = json.loads(instance.config.read_text())
    assert instance.port
    instance.config.write_text(json.dumps(document | {"logging": {"output": str(fifo)}}))
    os.kill(instance.process.pid, signal.SIGHUP)
    instance.saying("configuration 2 is served|not changed")
    assert instance.get() == (200, "b1")


def test_a_control_process_that_hangs_is_replaced(run: Run, origins: Origins) -> None:
    prelude = "from balance.process.children import stall_detector; stall_detector.MAX_MISSED_CHECKS = 2"
    instance = run(prelude, backends=[{"address": origins().address}], health_check=CHECKS, **HTTP).ready()
    (control,) = instance.children("balance-control")
    os.kill(control, signal.SIGSTOP)
    until(lambda: instance.children("balance-control") not in ([], [control]), lambda: instance.log)


def test_silent_callers_of_the_admin_port_keep_nobody_from_its_health(run: Run, origins: Origins) -> None:
    instance = run(backends=[{"address": origins().address}], **HTTP).ready()
    with contextlib.ExitStack() as stack:
        for index in range(140):
            caller = stack.enter_context(socket.create_connection(("127.0.0.1", instance.admin_port)))
            if index % 2:
                caller.sendall(b"GET /health HTTP/1.1\r\nHost: ")  # and no more
        assert instance.get("/health", instance.admin_port)[0] == 200  # the one that was idle for longest made room


def children_of(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


@pytest.mark.long
def test_an_orphaned_loader_ends(run: Run, origins: Origins, tmp_path: Path) -> None:
    instance = run(backends=[{"address": origins().address}], **HTTP).ready()
    instance.config.unlink()
    os.mkfifo(instance.config)
    os.kill(instance.process.pid, signal.SIGHUP)
    until(lambda: len(children_of(instance.process.pid)) == 4, "the loader")
    os.kill(instance.process.pid, signal.SIGKILL)
    instance.process.wait()
    until(instance.group_is_empty, "nobody left")


@pytest.mark.long
def test_a_signal_that_is_not_obeyed_any_more_is_told(run: Run, origins: Origins) -> None:
    origin = origins()
    instance = run(backends=[{"address": origin.address}], **HTTP).ready()
    with socket.create_connection(("127.0.0.1", instance.port)) as caller:
        caller.sendall(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        origin.waiting.wait()
        os.kill(instance.process.pid, signal.SIGUSR2)
        instance.saying("has taken over")
        os.kill(instance.process.pid, signal.SIGHUP)
        instance.saying("SIGHUP is not obeyed: the instance is about to end")


@pytest.mark.parametrize("how", ["a reload", "a refused reload"])
def test_logs_that_are_moved_away_are_begun_anew(run: Run, origins: Origins, tmp_path: Path, how: str) -> None:
    logs = {"main": tmp_path / "main.log", "access": tmp_path / "access.log"}
    logging = {"output": str(logs["main"]), "access_log": {"enabled": True, "output": str(logs["access"])}}
    origin = origins()
    instance = run(backends=[{"address": origin.address}], logging=logging, listen="unix:" + str(tmp_path / "s"), **HTTP)
    until(lambda: "supervisor: ready" in logs["main"].read_text(), "its start")
    for path in logs.values():
        path.rename(path.with_suffix(".1"))
    if how == "a refused reload":
        instance.config.write_text("{")
    os.kill(instance.process.pid, signal.SIGHUP)
    until(lambda: all(path.exists() for path in logs.values()), "its new logs")
    with socket.socket(socket.AF_UNIX) as caller:
        caller.connect(str(tmp_path / "s"))
        caller.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        while caller.recv(4096):
            pass
    until(lambda: '"status": 200' in logs["access"].read_text(), "a line")


HANGING_RESOLVER = """
import os, socket
ask = socket.getaddrinfo
def hang(host, *rest, **more):
    if host == "localhost" and os.path.exists({path!r}):
        open({path!r}).read()  # a pipe: until its writer is gone
    return ask(host, *rest, **more)
socket.getaddrinfo = hang
"""


@pytest.mark.long
@pytest.mark.parametrize("then", ["a worker is killed", "a stop"])
def test_a_resolver_that_hangs_during_a_reload_holds_up_nothing_else(
    run: Run, origins: Origins, tmp_path: Path, then: str
) -> None:
    path = tmp_path / "resolver"
    prelude = HANGING_RESOLVER.format(path=str(path))
    instance = run(prelude, backends=[{"address": origins().address}], listen="localhost:0", **HTTP).ready()
    os.mkfifo(path)
    os.kill(instance.process.pid, signal.SIGHUP)
    with os.fdopen(until(lambda: os.open(path, os.O_WRONLY | os.O_NONBLOCK), "somebody who asks the resolver"), "wb"):
        path.unlink()  # whoever asks next is answered
        if then == "a stop":
            os.kill(instance.process.pid, signal.SIGTERM)
            assert instance.ended() == 0
            return
        os.kill(instance.children("balance-worker")[0], signal.SIGKILL)
        instance.saying(r"worker \d \(pid \d+\) is ready")
        assert "configuration 2" not in instance.log
    instance.saying("nothing changed, configuration 1 goes on")
    assert instance.get() == (200, "b1")


def slow_to_begin(folder: Path) -> str:
    """A prelude: a worker that knows how the backends stand waits before it serves, while there is a file `hold`."""
    return f"""
import asyncio, pathlib
from balance.process.worker import worker
serve = worker.Worker.serve
async def held(self, report):
    folder = pathlib.Path({str(folder)!r})
    while (folder / "hold").exists():
        (folder / "held").touch()
        await asyncio.sleep(0.01)
    await serve(self, report)
worker.Worker.serve = held
"""


def test_an_order_that_comes_while_a_worker_begins_reaches_it(run: Run, origins: Origins, tmp_path: Path) -> None:
    backends = [{"name": name, "address": origins(name).address} for name in ("b1", "b2")]
    instance = run(slow_to_begin(tmp_path), backends=backends, **HTTP).ready()
    hold = tmp_path / "hold"
    hold.touch()
    os.kill(instance.children("balance-worker")[0], signal.SIGKILL)
    until((tmp_path / "held").exists, "its successor")
    assert instance.command("drain", "b1") == (0, "backend default/b1 is draining\n")
    hold.unlink()
    instance.saying(r"worker \d \(pid \d+\) is ready")
    assert {instance.get()[1] for _ in range(60)} == {"b2"}
