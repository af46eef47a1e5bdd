"""An instance hands over to another, with real processes: nothing is lost, and what cannot take over leaves all as it was."""

import contextlib
import os
import re
import signal
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from drill import Drill, document, is_running, wait_while
from instance_process import Instance, until
from steady_load import Load

pytestmark = [pytest.mark.drill, pytest.mark.timeout(120)]

Run = Callable[..., Instance]

SMALL = {"keeping": 2, "fresh": 2, "websockets": 3, "download_bytes": 0}
BRIEF = {"timeouts": {"drain": "1s"}}


@pytest.mark.long
def test_a_websocket_outlives_an_instance_in_between_that_has_nothing_left_to_do(run: Run) -> None:
    with Load(**SMALL) as load:
        instance = run(**document(load.addresses, **BRIEF)).ready()
        load.begin(instance.port)
        drill = Drill(instance, load)
        drill.upgrade()
        drill.upgrade()
        instance.saying("supervisor: ended")  # the second one
        before = load.open_websockets
        assert wait_while(lambda: load.open_websockets == before, 2.0), instance.log
        report = load.end()
    assert report.websockets == 3 and not report.failures, report.failures
    assert "so does this one" not in instance.log


def new_instances(supervisor: int) -> list[int]:
    """The supervisor's children that are neither worker nor control: the instance that is to take over."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            name, _, rest = path.read_text().partition("(")[2].rpartition(") ")
            state, parent = rest.split()[:2]
            if int(parent) == supervisor and state != "Z" and not name.startswith("balance-"):
                found.append(int(path.parent.name))
    return found


def held_back(flag: Path) -> str:
    """A prelude: an instance that is to take over waits before it does anything, while the file `flag` is there."""
    return f"""
import os, time
while "BALANCE_HANDOVER" in os.environ and os.path.exists({str(flag)!r}):
    time.sleep(0.01)
"""


HALF_WAY = """
import os, time
if "BALANCE_HANDOVER" in os.environ:  # its workers serve, but its control process never gets ready
    import balance.process.control.control
    balance.process.control.control.run = lambda context, report: time.sleep(600)
"""


@pytest.mark.long
def test_a_file_that_is_wrong_breaks_an_upgrade_off_and_the_old_instance_goes_on(run: Run) -> None:
    with Load(**SMALL) as load:
        instance = run(**document(load.addresses)).ready()
        load.begin(instance.port)
        drill = Drill(instance, load)
        text = instance.config.read_text()
        instance.config.write_text("{")
        status, said = instance.command("upgrade")
        assert status == 1
        assert re.fullmatch(rf"balance: .*could not start: {re.escape(str(instance.config))}:\d+:\d+: .*\n", said), said
        instance.saying("the upgrade is broken off, this instance goes on: the new instance could not start: .*yaml:")
        instance.config.write_text(text)
        drill.reload()
        assert drill.supervisor == instance.process.pid and drill.generation == 2
        drill.upgrade()
        load.flow()
        report = load.end()
    assert not report.failures, report.failures


@pytest.mark.long
def test_an_instance_that_is_killed_before_it_is_ready_takes_nothing_with_it(run: Run, tmp_path: Path) -> None:
    flag = tmp_path / "hold"
    flag.touch()
    with Load(**SMALL) as load:
        instance = run(held_back(flag), **document(load.addresses)).ready()
        load.begin(instance.port)
        os.kill(instance.process.pid, signal.SIGUSR2)
        (heir,) = until(lambda: new_instances(instance.process.pid), "an heir")
        load.flow()
        os.kill(heir, signal.SIGKILL)
        instance.saying("the upgrade is broken off.*SIGKILL")
        flag.unlink()
        drill = Drill(instance, load)
        drill.upgrade()
        load.flow()
        report = load.end()
    assert not report.failures, report.failures


@pytest.mark.long
def test_an_instance_that_is_killed_half_way_finishes_what_it_has_taken(run: Run) -> None:
    """Its workers serve already when it goes."""
    with Load(**SMALL) as load:
        instance = run(HALF_WAY, **document(load.addresses)).ready()
        load.begin(instance.port)
        drill = Drill(instance, load)
        os.kill(instance.process.pid, signal.SIGUSR2)
        (heir,) = until(lambda: new_instances(instance.process.pid), "an heir")
        until(lambda: len(children(heir, "balance-worker")) == 2, "its workers")
        load.flow(100)
        os.kill(heir, signal.SIGKILL)
        instance.saying("the upgrade is broken off.*SIGKILL")
        load.flow(100)
        assert drill.generation == 1
        drill.reload()
        assert drill.generation == 2
        drill.restart()
        load.flow()
        report = load.end()
    assert not report.failures, report.failures


def workers_seen(instance: Instance) -> list[tuple[int, int, str]]:
    return [(worker["worker"], worker["pid"], worker["state"]) for worker in instance.ask("/status")[1]["workers"]]


def states_seen(instance: Instance) -> list[str]:
    return [backend["state"] for pool in instance.ask("/status")[1]["pools"] for backend in pool["backends"]]


CONTROL_FAILS = """
import os
if "BALANCE_HANDOVER" in os.environ:  # its workers serve, and then its control process cannot
    import balance.process.control.control
    from balance.errors import StartError
    from balance.runtime import counters

    def fails(context, report):
        import time
        while sum(row[counters.BEAT_US] > 0 for row in context.board.rows) < 4:
            time.sleep(0.001)
        context.board.set_state(1, 2, 5.0, "by the newcomer")
        raise StartError("the disk is full")

    balance.process.control.control.run = fails
"""


@pytest.mark.long
def test_an_instance_whose_control_cannot_start_leaves_nothing_in_shared_memory(run: Run) -> None:
    with Load(**SMALL) as load:
        instance = run(CONTROL_FAILS, **document(load.addresses)).ready()
        load.begin(instance.port)
        before, states = workers_seen(instance), states_seen(instance)
        os.kill(instance.process.pid, signal.SIGUSR2)
        instance.saying("the upgrade is broken off")
        until(lambda: workers_seen(instance) == before and states_seen(instance) == states, "the board as it was")
        load.flow(100)
        assert instance.ask("/ready")[0] == 200
        load.flow()
        report = load.end()
    assert not report.failures, report.failures


def control_fails_after(flag: Path, serving: Path) -> str:
    """A prelude: the workers of an instance that is to take over serve, which the file `serving` says; its control process
    fails once the file `flag` is gone."""
    return f"""
import os
if "BALANCE_HANDOVER" in os.environ:
    import balance.process.control.control
    from balance.errors import StartError
    from balance.runtime import counters

    def fails(context, report):
        import time
        while sum(row[counters.BEAT_US] > 0 for row in context.board.rows) < 4:
            time.sleep(0.001)
        open({str(serving)!r}, "w").close()
        while os.path.exists({str(flag)!r}):
            time.sleep(0.001)
        raise StartError("the disk is full")

    balance.process.control.control.run = fails
"""


@pytest.mark.long
def test_an_instance_that_fails_half_way_leaves_its_workers_to_the_callers_that_are_with_them(run: Run, tmp_path: Path) -> None:
    flag, serving = tmp_path / "hold", tmp_path / "serving"
    flag.touch()
    with socket.create_server(("127.0.0.1", 0), backlog=64) as backend, contextlib.ExitStack() as stack:
        backend.settimeout(20)
        address = f"127.0.0.1:{backend.getsockname()[1]}"
        prelude = control_fails_after(flag, serving)
        instance = run(prelude, mode="tcp", workers=2, backends=[{"address": address}]).ready()
        os.kill(instance.process.pid, signal.SIGUSR2)
        until(serving.exists, "four workers that serve")
        port = ("127.0.0.1", instance.port)
        callers = [stack.enter_context(socket.create_connection(port, timeout=20)) for _ in range(24)]
        connections = [stack.enter_context(backend.accept()[0]) for _ in callers]
        flag.unlink()
        instance.saying("the upgrade is broken off.*the disk is full")
        for connection in connections:
            connection.sendall(b"x")
        assert [caller.recv(1) for caller in callers] == [b"x"] * 24


@pytest.mark.long
def test_a_new_instance_that_is_stopped_before_it_serves_leaves_this_one_ready(run: Run) -> None:
    with Load(**SMALL) as load:
        instance = run(HALF_WAY, **document(load.addresses)).ready()
        os.kill(instance.process.pid, signal.SIGUSR2)
        (heir,) = until(lambda: new_instances(instance.process.pid), "an heir")
        until(lambda: len(children(heir, "balance-worker")) == 2, "its workers")
        os.kill(heir, signal.SIGTERM)
        instance.saying("SIGTERM received")
        assert instance.ask("/ready")[0] == 200
        instance.saying("the upgrade is broken off")
        assert instance.ask("/ready")[0] == 200
        load.begin(instance.port)
        load.flow()
        report = load.end()
    assert not report.failures, report.failures


@pytest.mark.parametrize("delay", ["0s", "1s"])
def test_a_stop_during_an_upgrade_stops_both_instances(run: Run, tmp_path: Path, delay: str) -> None:
    flag = tmp_path / "hold"
    flag.touch()
    with Load(**SMALL) as load:
        instance = run(held_back(flag), **document(load.addresses, shutdown={"delay": delay}, **BRIEF)).ready()
        os.kill(instance.process.pid, signal.SIGUSR2)
        until(lambda: new_instances(instance.process.pid), "an heir")
        os.kill(instance.process.pid, signal.SIGTERM)
        instance.saying("SIGTERM received")
        instance.saying("the upgrade is broken off, this instance goes on: the instance is about to end")
        flag.unlink()
        assert instance.ended() == 0
        until(lambda: is_over(instance), "an end of all")
    assert "has taken over" not in instance.log
    assert instance.log.index("broken off") < instance.log.index("draining:")


@pytest.mark.long
def test_who_ends_the_new_instance_ends_the_old_ones_too(run: Run) -> None:
    with Load(**SMALL) as load:
        instance = run(**document(load.addresses, **BRIEF)).ready()
        load.begin(instance.port)
        drill = Drill(instance, load)
        drill.upgrade()
        drill.upgrade()
        assert load.open_websockets
        os.kill(drill.supervisor, signal.SIGTERM)
        until(lambda: is_over(instance), lambda: instance.log)
        assert instance.process.poll() == 0


@pytest.mark.long
def test_who_ends_an_old_instance_leaves_the_new_one_and_those_before_alone(run: Run) -> None:
    with Load(**SMALL) as load:
        instance = run(**document(load.addresses, **BRIEF)).ready()
        load.begin(instance.port)
        drill = Drill(instance, load)
        drill.upgrade()
        second = drill.supervisor
        client = Load(**SMALL | {"websockets": 1})
        with client:
            client.begin(instance.port)  # so that the second one stays as well
            drill.upgrade()
            before = load.open_websockets
            os.kill(second, signal.SIGTERM)
            instance.saying("supervisor: SIGTERM received")
            until(lambda: not is_running(second), "its end")
            assert load.open_websockets == before
            load.flow()
            client.end()
        report = load.end()
    assert not report.failures, report.failures


def children(pid: int, name: str) -> list[int]:
    found = subprocess.run(["ps", "-o", "pid=,comm=", "--ppid", str(pid)], capture_output=True, text=True, check=False)
    return [int(line.split()[0]) for line in found.stdout.splitlines() if line.split()[1:] == [name]]


def is_over(instance: Instance) -> bool:
    """Whether nothing of it runs, the instances that took over included."""
    instance.process.poll()
    found = subprocess.run(["ps", "-o", "pid=", "-g", str(instance.process.pid)], capture_output=True, text=True, check=False)
    return not any(is_running(int(pid)) for pid in found.stdout.split())


@pytest.mark.long
def test_an_upgrade_that_fails_leaves_the_unix_socket_to_the_old_instance(run: Run, tmp_path: Path) -> None:
    with Load(**SMALL) as load:
        path = tmp_path / "web.sock"
        fails = (
            "import os, balance.process.control.control as control\n"
            'if "BALANCE_HANDOVER" in os.environ: control.run = lambda context, report: 1'
        )
        instance = run(fails, **document(load.addresses, listen=f"unix:{path}", **BRIEF))
        instance.saying("supervisor: ready$")
        os.kill(instance.process.pid, signal.SIGUSR2)
        instance.saying("the upgrade is broken off, this instance goes on")
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(20)
            client.connect(str(path))
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert client.recv(4096).startswith(b"HTTP/1.1 ")
