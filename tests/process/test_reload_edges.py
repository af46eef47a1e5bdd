"""Reloads with real processes: a configuration holds in every process or in none, and nobody who is served notices."""

import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from drill import Drill, children_of, document
from instance_process import Instance, Origin, until
from steady_load import Load

pytestmark = [pytest.mark.drill, pytest.mark.long, pytest.mark.timeout(120)]

Run = Callable[..., Instance]
Origins = Callable[..., Origin]

SMALL = {"keeping": 4, "fresh": 4, "websockets": 3, "download_bytes": 0}

# A worker that is told of another configuration waits, while this file is there, before it prepares it or before it serves it.
HELD_BACK = """
import os, time
from balance.process.worker import worker_reload
from balance.process.os_calls import set_process_name
def held(name, method, flag):
    def wait(self, *args):
        while os.path.exists(flag):
            time.sleep(0.005)
        return method(self, *args)
    setattr(worker_reload.WorkerReload, name, wait)
held("_build", worker_reload.WorkerReload._build, {building!r})
"""


def prepare_blocked(tmp_path: Path) -> tuple[str, Path]:
    """A prelude that has workers wait in their preparing while the file exists, and the file."""
    flag = tmp_path / "hold"
    return HELD_BACK.format(building=str(flag)), flag


def in_background(act: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=act, daemon=True)
    thread.start()
    return thread


def connect(port: int) -> bool:
    with socket.socket() as caller:
        caller.settimeout(5)
        try:
            caller.connect(("127.0.0.1", port))
        except OSError:
            return False
        return True


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


# --- who dies meanwhile ---------------------------------------------------------------------------------------


@pytest.mark.long
def test_a_worker_that_is_killed_while_it_prepares_is_replaced_and_its_successor_prepares(run: Run, tmp_path: Path) -> None:
    prelude, flag = prepare_blocked(tmp_path)
    with Load(**SMALL) as load:
        instance = run(prelude, **document(load.addresses)).ready()
        load.begin(instance.port)
        drill = Drill(instance, load)
        flag.touch()
        drill.write({"load_balancer": {"algorithm": "random"}})
        os.kill(drill.supervisor, signal.SIGHUP)
        until(lambda: children_of(drill.supervisor, "loader") == [], "the file read")
        load.flow()
        assert drill.generation == 1
        drill.kill_worker()
        assert drill.generation == 1
        flag.unlink()
        until(lambda: drill.generation == 2, lambda: instance.log)
        until(lambda: [row["generation"] for row in drill.ask("/status")[1]["workers"]] == [2, 2], "both")
        load.flow()
        report = load.end()
    assert not report.beyond(drill.counts_done.ports_of_killed_workers), report.failures


def test_a_worker_that_stops_while_it_prepares_is_killed_and_its_successor_prepares(run: Run) -> None:
    with Load(**SMALL) as load:
        prelude = "from balance.process.children import stall_detector; stall_detector.MAX_MISSED_CHECKS = 2"
        instance = run(prelude, **document(load.addresses)).ready()
        drill = Drill(instance, load)
        pid = drill.workers()[0]
        os.kill(pid, signal.SIGSTOP)
        drill.write({"load_balancer": {"algorithm": "random"}})
        os.kill(drill.supervisor, signal.SIGHUP)
        instance.saying(r"worker 0 \(pid \d+\) does not turn any more: killing it")
        instance.saying("configuration 2 is served")
        assert [row["generation"] for row in drill.ask("/status")[1]["workers"]] == [2, 2]


def test_a_worker_that_has_prepared_and_dies_has_a_successor_that_serves_what_was_decided(run: Run) -> None:
    """Between the last word of the preparing and the commit: it is stopped there, so that it never follows."""
    with Load(**SMALL) as load:
        prelude = """
import os, signal
from balance.process.worker import worker_reload
def commit(self, *args):
    os.kill(os.getpid(), signal.SIGKILL)
worker_reload.WorkerReload._commit = commit
"""
        instance = run(prelude, **document(load.addresses)).ready()
        drill = Drill(instance, load)
        drill.write({"load_balancer": {"algorithm": "random"}})
        status, page = drill.ask("/reload", "POST")
        assert status == 200 and page["generation"] == 2
        until(lambda: [row["generation"] for row in drill.ask("/status")[1]["workers"]] == [2, 2], "both")


def test_a_worker_that_can_not_prepare_keeps_the_others_from_changing_and_no_caller_meets_what_was_prepared(
    run: Run, tmp_path: Path
) -> None:
    prelude, flag = prepare_blocked(tmp_path)
    refusing = """
build = worker_reload.WorkerReload._build
def refuse(self, *args):
    build(self, *args)
    if self._row.cells[31] == 2:  # worker 1
        raise OSError("no room for it")
worker_reload.WorkerReload._build = refuse
"""
    with Load(**SMALL) as load:
        instance = run(prelude + refusing, **document(load.addresses)).ready()
        load.begin(instance.port)
        drill = Drill(instance, load)
        drill.write({"load_balancer": {"algorithm": "random"}, "workers": 8})
        for _ in range(2):
            flag.touch()
            answers: list[tuple[int, Any]] = []
            order = in_background(lambda answers=answers: answers.append(drill.ask("/reload", "POST")))
            load.flow(100)  # the sockets of workers that are to come are there, and have no callers
            flag.unlink()
            order.join(20)
            ((status, page),) = answers
            assert status == 409 and page["problems"] == ["worker 1: no room for it"]
            load.flow()
        assert drill.ask("/pools")[1]["pools"][0]["algorithm"] == "round-robin"
        assert [row["generation"] for row in drill.ask("/status")[1]["workers"]] == [1, 1]
        report = load.end()
    assert not report.failures, report.failures


@pytest.mark.long
def test_a_control_process_that_is_killed_in_the_middle_of_its_own_order_leaves_it_to_the_others(
    run: Run, tmp_path: Path
) -> None:
    prelude, flag = prepare_blocked(tmp_path)
    with Load(**SMALL) as load:
        instance = run(prelude, **document(load.addresses)).ready()
        load.begin(instance.port)
        drill = Drill(instance, load)
        flag.touch()
        drill.write({"load_balancer": {"algorithm": "random"}})

        def order() -> None:
            with contextlib.suppress(Exception):
                instance.get("/reload", instance.admin_port)

        caller = socket.create_connection(("127.0.0.1", instance.admin_port))
        caller.sendall(b"POST /reload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")
        load.flow()
        drill.kill_control()
        assert drill.generation == 1
        flag.unlink()
        until(lambda: drill.generation == 2, lambda: instance.log)
        assert drill.ask("/pools")[1]["pools"][0]["algorithm"] == "random"
        caller.close()
        report = load.end()
    assert not report.failures, report.failures


def test_two_reloads_at_once_are_done_one_after_the_other(run: Run, tmp_path: Path) -> None:
    prelude, flag = prepare_blocked(tmp_path)
    with Load(**SMALL) as load:
        instance = run(prelude, **document(load.addresses)).ready()
        drill = Drill(instance, load)
        flag.touch()
        drill.write({"load_balancer": {"algorithm": "random"}})
        os.kill(drill.supervisor, signal.SIGHUP)
        os.kill(drill.supervisor, signal.SIGHUP)
        orders = [in_background(lambda: drill.ask("/reload", "POST")) for _ in range(2)]
        time.sleep(0.2)  # for them to arrive; they are done whenever they do
        os.kill(drill.supervisor, signal.SIGHUP)
        flag.unlink()
        for order in orders:
            order.join(20)
        # Both orders are done, and one of the signals at least: those that are pending together are one.
        until(lambda: "(SIGHUP)" in instance.log and instance.log.count("(admin API)") >= 2, lambda: instance.log)
        until(lambda: instance.log.count("nothing changed, configuration 2 goes on") >= 2, lambda: instance.log)
        assert instance.log.count("configuration 2 is served") == 1  # the others changed nothing
        assert drill.generation == 2
        assert "error" not in instance.log


@pytest.mark.long
def test_a_reload_that_is_ordered_during_a_rolling_restart_follows_it(run: Run) -> None:
    with Load(**SMALL) as load:
        instance = run(**document(load.addresses)).ready()
        load.begin(instance.port)
        drill = Drill(instance, load)
        before = set(drill.workers().values())
        for _ in range(2):
            os.kill(drill.supervisor, signal.SIGUSR1)
            drill.write({"load_balancer": {"algorithm": "random"}})
            os.kill(drill.supervisor, signal.SIGHUP)
            os.kill(drill.supervisor, signal.SIGUSR1)
        until(lambda: drill.generation >= 2 and "2 workers are replaced" in instance.log, lambda: instance.log)
        until(lambda: before.isdisjoint(drill.workers().values()), "others")
        load.flow()
        report = load.end()
    assert not report.failures, report.failures


# --- what is listened on --------------------------------------------------------------------------------------


def test_more_and_fewer_workers_lose_no_connection(run: Run) -> None:
    with Load(**SMALL) as load:
        instance = run(**document(load.addresses)).ready()
        load.begin(instance.port)
        drill = Drill(instance, load)
        for count in (4, 1, 3, 2):
            drill.reload({"workers": count})
            until(lambda count=count: len(drill.workers()) == count, "so many")
            load.flow(100)
        report = load.end()
    assert not report.failures, report.failures
    assert report.websockets == 3


def test_a_listener_comes_moves_and_goes_under_those_it_serves(run: Run) -> None:
    first, second = free_port(), free_port()
    with Load(**SMALL) as load:
        keys = document(load.addresses)
        listener = {"mode": "http", "pool": "app"}
        pools = {"app": {"backends": keys.pop("backends")}}
        del keys["listen"], keys["mode"]

        def listeners(**named: Any) -> dict[str, Any]:
            return {"listeners": [{"name": name, **listener, **more} for name, more in named.items()], "pools": pools}

        instance = run(**keys, **listeners(main={"listen": "127.0.0.1:0"})).ready()
        load.begin(instance.port)
        drill = Drill(instance, load)
        main = {"main": {"listen": "127.0.0.1:0"}}
        drill.reload(listeners(**main, other={"listen": f"127.0.0.1:{first}"}))
        assert [instance.get("/r/1", first)[0] for _ in range(8)] == [200] * 8
        kept = socket.create_connection(("127.0.0.1", first))
        drill.reload(listeners(**main, another={"listen": f"127.0.0.1:{second}"}))
        until(lambda: not connect(first), "a closed port")
        assert [instance.get("/r/2", second)[0] for _ in range(8)] == [200] * 8
        kept.sendall(b"GET /r/3 HTTP/1.1\r\nHost: a\r\n\r\n")
        assert b"Connection: close" in kept.recv(4096)
        kept.close()
        drill.reload(listeners(**main, renamed={"listen": f"127.0.0.1:{second}"}))
        assert [instance.get("/r/4", second)[0] for _ in range(8)] == [200] * 8
        drill.reload(listeners(**main))
        until(lambda: not connect(second), "a closed port")
        load.flow()
        report = load.end()
    assert not report.failures, report.failures
    assert report.websockets == 3


def test_a_removed_port_is_free_though_workers_were_forked_meanwhile(run: Run, tmp_path: Path) -> None:
    """A child that is forked during a reload has copies of all that is open then, also of what the reload gives up."""
    port = free_port()
    prelude, flag = prepare_blocked(tmp_path)
    with Load(**SMALL) as load:
        instance = run(prelude, **document(load.addresses, listen=["127.0.0.1:0"])).ready()
        drill = Drill(instance, load)
        flag.touch()
        drill.write({"listen": ["127.0.0.1:0", f"127.0.0.1:{port}"]})
        os.kill(drill.supervisor, signal.SIGHUP)
        until(lambda: connect(port), "the new port")
        pid = drill.workers()[0]
        os.kill(pid, signal.SIGKILL)  # its successor is born into the old configuration, while the new port is open
        until(lambda: drill.workers().get(0, pid) != pid, "a successor")
        flag.unlink()
        until(lambda: drill.generation == 2, lambda: instance.log)
        drill.reload({"workers": 4})  # and these while the port is given up
        until(lambda: len(drill.workers()) == 4, "four")
        until(lambda: not connect(port), "a closed port")


@pytest.mark.long
def test_a_listener_changes_what_it_speaks_and_those_who_are_in_go_on(run: Run) -> None:
    with Load(**SMALL | {"websockets": 2}) as load:
        instance = run(**document(load.addresses)).ready()
        load.begin(instance.port)
        drill = Drill(instance, load)
        drill.reload({"mode": "tcp"})
        load.flow(100)  # HTTP passes through TCP mode as well
        with socket.create_connection(("127.0.0.1", instance.port)) as session:
            session.sendall(b"GET /r/s1 HTTP/1.1\r\nHost: a\r\n\r\n")
            assert b"200 OK" in session.recv(4096)
            drill.reload({"mode": "http"})
            load.flow(100)
            session.sendall(b"GET /r/s2 HTTP/1.1\r\nHost: a\r\n\r\n")
            assert b"200 OK" in session.recv(4096)
        report = load.end()
    assert not report.failures, report.failures
    assert report.websockets == 2


def test_the_admin_port_moves_by_an_order_that_came_through_it_and_answers(run: Run) -> None:
    port = free_port()
    with Load(**SMALL) as load:
        instance = run(**document(load.addresses)).ready()
        drill = Drill(instance, load)
        drill.write({"admin": {"listen": f"127.0.0.1:{port}"}})
        status, page = drill.ask("/reload", "POST")
        assert status == 200 and page["generation"] == 2
        assert instance.get("/ready", port)[0] == 200
        until(lambda: not connect(instance.admin_port), "a closed port")


@pytest.mark.long
def test_a_unix_socket_s_file_outlives_reloads_and_upgrades_and_goes_with_its_listener(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "front"

    def ask() -> bytes:
        with socket.socket(socket.AF_UNIX) as caller:
            caller.settimeout(20)
            caller.connect(str(path))
            caller.sendall(b"GET /r/1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            return caller.recv(4096).split(b"\r\n")[0]

    with Load(**SMALL) as load:
        both = ["127.0.0.1:0", f"unix:{path}"]
        instance = run(**document(load.addresses, listen=both)).ready()
        drill = Drill(instance, load)
        for act in (
            lambda: drill.reload({"listen": both, "workers": 3}),
            drill.upgrade,
            lambda: drill.reload({"listen": both}),
        ):
            act()
            assert [ask() for _ in range(6)] == [b"HTTP/1.1 200 OK"] * 6
        drill.reload({"listen": both[:1]})
        assert not path.exists()
        drill.reload({"listen": both})
        assert ask() == b"HTTP/1.1 200 OK"
        os.kill(drill.supervisor, signal.SIGTERM)
        until(lambda: not path.exists(), "an end")


# --- backends -------------------------------------------------------------------------------------------------


@pytest.mark.long
def test_a_websocket_at_a_backend_that_is_removed_lives_on_and_counts_again_when_it_is_back(run: Run) -> None:
    with Load(**SMALL | {"keeping": 1, "fresh": 1}) as load:
        keys = document(load.addresses)
        backends = keys["backends"]
        instance = run(**keys | {"backends": backends[:1]}).ready()
        load.begin(instance.port)
        drill = Drill(instance, load)

        def at_b1() -> float:
            return instance.metric('balance_backend_connections{backend="b1",pool="default"}')

        drill.reload({"backends": backends[1:]})
        load.flow()
        count = load.recorder.by_backend["b1"]
        load.flow()
        assert load.recorder.by_backend["b1"] == count
        drill.reload({"backends": backends})
        load.until(lambda: load.recorder.by_backend["b1"] > count)
        until(lambda: at_b1() >= 3, "its WebSockets")
        report = load.end()
        until(lambda: at_b1() == 0, "rest")
    assert not report.failures, report.failures
    assert report.websockets == 3


def test_a_backend_of_the_same_name_at_another_address_is_another_one(run: Run, origins: Origins) -> None:
    first, second = origins("first"), origins("second")
    instance = run(mode="http", workers=2, backends=[{"name": "b", "address": first.address}]).ready()
    with Load(**SMALL) as load:
        drill = Drill(instance, load)
        assert {instance.get()[1] for _ in range(6)} == {"first"}
        drill.reload({"backends": [{"name": "b", "address": second.address}]})
        assert {instance.get()[1] for _ in range(6)} == {"second"}
        drill.reload({"backends": [{"name": "b", "address": first.address}]})
        assert {instance.get()[1] for _ in range(6)} == {"first"}
    instance.counts('balance_http_requests_total{backend="b",.*}', 18)


@pytest.mark.long
def test_a_pool_is_guarded_and_plain_again_with_requests_in_flight(run: Run) -> None:
    with Load(**SMALL | {"keeping": 12, "pause_s": 0.001}) as load:
        instance = run(**document(load.addresses)).ready()
        load.begin(instance.port)
        drill = Drill(instance, load)
        guarded = {
            "circuit_breaker": {"enabled": True},
            "health_check": {"enabled": True, "type": "tcp", "interval": "100ms", "passive_checks": {"enabled": True}},
        }
        for _ in range(3):
            drill.reload(guarded)
            load.flow(30)
            drill.reload({"load_balancer": {"algorithm": "adaptive"}})
            load.flow(30)
        report = load.end()
        until(lambda: instance.metric("balance_active_requests") == 0, "rest")
        assert instance.metric("balance_backend_connections") == 0
    assert not report.failures, report.failures


@pytest.mark.long
def test_logs_that_were_moved_away_are_begun_anew_on_a_reload(run: Run, origins: Origins, tmp_path: Path) -> None:
    access, main = tmp_path / "access.log", tmp_path / "main.log"
    logging = {"access_log": {"enabled": True, "output": str(access)}}
    instance = run(mode="http", workers=2, logging=logging, backends=[{"address": origins().address}]).ready()
    instance.get("/1")
    until(lambda: access.exists() and "/1" in access.read_text(), "a line")
    moved = access.rename(tmp_path / "access.log.1")
    os.kill(instance.process.pid, signal.SIGHUP)
    instance.saying("nothing changed, configuration 1 goes on")

    def has_begun_anew(pid: int) -> bool:
        return any(each.resolve() == access for each in Path(f"/proc/{pid}/fd").iterdir())

    until(lambda: all(map(has_begun_anew, instance.children("balance-worker"))), "the workers' new logs")
    for _ in range(8):
        instance.get("/2")
    until(lambda: access.exists() and access.read_text().count("/2") == 8, "eight lines")
    assert "/2" not in moved.read_text()
    assert not main.exists()


@pytest.mark.long
def test_a_reload_that_changes_thousands_of_backends_tells_its_verdict(run: Run) -> None:
    def backends(weight: int) -> list[dict[str, Any]]:
        return [{"name": f"b{each}", "address": f"127.0.0.1:{10_000 + each}", "weight": weight} for each in range(2000)]

    instance = run(mode="http", workers=2, backends=backends(1)).ready()
    with Load(**SMALL) as load:
        drill = Drill(instance, load)
        drill.write({"backends": backends(2)})
        status, page = drill.ask("/reload", "POST")
        assert status == 200 and len(page["changes"]) == 2000
    assert instance.log.count("warning") < 100
