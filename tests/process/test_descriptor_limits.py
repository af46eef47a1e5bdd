"""An instance that may open few files, or have few clients, under more callers than that: all of them are served in turn."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from instance_process import Instance, Origin, until

CALLERS = 500
PATIENCE_S = 30.0

Run = Callable[..., Instance]
Origins = Callable[..., Origin]


def may_open(files: int) -> str:
    return f"import resource; resource.setrlimit(resource.RLIMIT_NOFILE, ({files}, {files}))"


async def call(port: int, keep_s: float, answered: asyncio.Event | None = None, path: str = "/") -> str:
    """One caller's status, or what went wrong. It keeps its connection for a while, idle."""
    try:
        async with asyncio.timeout(PATIENCE_S + keep_s):
            # The request at once, however busy this loop is: a connection that brings none for a second counts as idle.
            sock = socket.create_connection(("127.0.0.1", port))
            sock.sendall(f"GET {path} HTTP/1.1\r\nHost: a.example\r\n\r\n".encode())
            reader, writer = await asyncio.open_connection(sock=sock)
            with contextlib.closing(writer):
                status = (await reader.readuntil(b"\r\n\r\n")).split()[1].decode()
                await reader.readexactly(2)
                if answered is not None:
                    answered.set()
                if keep_s:
                    await asyncio.sleep(keep_s)
                return status
    except (OSError, EOFError) as error:
        return type(error).__name__


def called(port: int, count: int, keep_s: float = 0.0, path: str = "/") -> Counter[str]:
    """How it went for so many callers at once."""

    async def all_at_once() -> Iterable[str]:
        return await asyncio.gather(*(call(port, keep_s, path=path) for _ in range(count)))

    return Counter(asyncio.run(all_at_once()))


def cpu_s(pid: int) -> float:
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.parametrize("mode", ["http", "tcp"])
def test_who_finds_no_descriptor_waits_and_is_served_in_turn(run: Run, origins: Origins, mode: str) -> None:
    origin = origins()
    instance = run(may_open(256), mode=mode, backends=[{"address": origin.address}]).ready()
    assert called(instance.port, CALLERS, keep_s=0.01) == {"200": CALLERS}
    said = re.findall("worker 0: listener main: .*256 file descriptors.*; (.*)", instance.log)
    assert said and max(Counter(said).values()) == 1  # each once: clients are closed, or callers wait
    assert instance.metric("balance_accept_pauses_total") > 0
    until(lambda: instance.metric("balance_accept_paused") == 0, "recovery")
    assert instance.get("/")[0] == 200
    assert instance.metric("balance_backend_connect_failures_total") == 0


def test_a_worker_whose_callers_wait_does_not_spin(run: Run, origins: Origins) -> None:
    origin = origins()
    instance = run(may_open(256), backends=[{"address": origin.address}]).ready()
    (worker,) = instance.children("balance-worker")

    async def hold() -> None:
        async def slow() -> None:
            _, writer = await asyncio.open_connection("127.0.0.1", instance.port)
            writer.write(b"GET /slow HTTP/1.1\r\nHost: a.example\r\n\r\n")
            writers.append(writer)

        writers: list[asyncio.StreamWriter] = []
        await asyncio.gather(*(slow() for _ in range(200)))
        await asyncio.to_thread(until, lambda: "callers wait in the backlog" in instance.log, "no room")
        before = cpu_s(worker)
        await asyncio.sleep(1.0)
        assert cpu_s(worker) - before < 0.5
        assert instance.ask("/status")[1]["listeners"][0]["connections"] < 128
        for writer in writers:
            writer.close()

    asyncio.run(hold())
    origin.released.set()
    until(lambda: instance.metric("balance_accept_paused") == 0, "recovery")
    assert instance.get("/")[0] == 200


CERTIFICATES = Path(__file__).resolve().parents[2] / "deployments" / "examples" / "certificates"
TLS = {"enabled": True, "cert_file": str(CERTIFICATES / "example.crt"), "key_file": str(CERTIFICATES / "example.key")}
PROXY = {"accept": True, "trusted": ["127.0.0.1"], "timeout": "1s"}
PLACES = 3


# What callers do with their place before they go, by what the listener has of its own.
ABUSES = {
    "broken requests": ({}, b"no HTTP\r\n\r\n"),
    "half a request": ({}, b"GET / HT"),
    "broken handshakes": ({"tls": TLS}, b"\x16\x03\x01\x00\x05hello"),
    "half a handshake": ({"tls": TLS | {"handshake_timeout": "1s"}}, b"\x16\x03\x01\x02\x00"),
    "silence where TLS is": ({"tls": TLS | {"handshake_timeout": "1s"}}, b""),
    "plain HTTP where TLS is": ({"tls": TLS}, b"GET / HTTP/1.1\r\n\r\n"),
    "no PROXY header": ({"proxy_protocol": PROXY}, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    "half a PROXY header": ({"proxy_protocol": PROXY}, b"PROXY TC"),
    "a silent PROXY peer": ({"proxy_protocol": PROXY}, b""),
    "TCP": ({"mode": "tcp"}, b"GET /held HTTP/1.1\r\nHost: a\r\n\r\n"),
    "requests that are given up": ({}, b"GET /held HTTP/1.1\r\nHost: a\r\n\r\n"),
}


@pytest.mark.long
@pytest.mark.parametrize("abuse", ABUSES)
def test_a_place_of_max_clients_is_free_again_whatever_became_of_its_client(run: Run, origins: Origins, abuse: str) -> None:
    own, sent = ABUSES[abuse]
    listener = {"name": "main", "listen": "127.0.0.1:0", "max_clients": PLACES, "timeouts": {"client_header": "1s"}} | own
    pools = {"p": {"backends": [{"address": origins().address}]}}
    instance = run(listeners=[listener], pools=pools, workers=2).ready()
    for stays in (False, True):  # they go at once, or wait for what comes
        for _ in range(2):
            socks = [socket.create_connection(("127.0.0.1", instance.port), PATIENCE_S) for _ in range(4 * PLACES)]
            for sock in socks:
                with contextlib.suppress(OSError):
                    sock.sendall(sent)
            if stays and abuse != "TCP":
                for sock in socks[:PLACES]:
                    with contextlib.suppress(OSError):
                        sock.recv(1000)
            for sock in socks:
                sock.close()
    until(lambda: instance.metric("balance_listener_connections") == 0, "nobody")
    if not own:
        assert called(instance.port, 20) == {"200": 20}
    assert "Traceback" not in instance.log


@pytest.mark.long
@pytest.mark.parametrize("mode", ["http", "tcp"])
def test_the_places_of_a_worker_that_is_killed_are_free_again(run: Run, origins: Origins, mode: str) -> None:
    instance = run(mode=mode, max_clients=PLACES, workers=2, backends=[{"address": origins().address}]).ready()
    for _ in range(2):
        socks = [socket.create_connection(("127.0.0.1", instance.port), PATIENCE_S) for _ in range(PLACES)]
        for sock in socks:
            sock.sendall(b"GET /held HTTP/1.1\r\nHost: a\r\n\r\n")
            assert sock.recv(100)
        for worker in instance.children("balance-worker"):
            os.kill(worker, signal.SIGKILL)
        for sock in socks:
            sock.close()
        until(lambda: len(instance.children("balance-worker")) == 2, "successors")
        assert called(instance.port, 4 * PLACES, path="/held") == {"200": 4 * PLACES}


@pytest.mark.parametrize(("mode", "workers"), [("http", 4), ("tcp", 2)])
def test_max_clients_hold_over_all_workers(run: Run, origins: Origins, mode: str, workers: int) -> None:
    origin = origins()
    instance = run(mode=mode, workers=workers, max_clients=6, backends=[{"address": origin.address}]).ready()
    assert called(instance.port, 60, keep_s=0.02, path="/held") == {"200": 60}
    assert 1 < origin.most_at_once <= 6  # counted there: rows of workers are not read at one moment
    assert instance.metric('balance_accept_pauses_total{reason="max_clients"}') > 0
    assert instance.ask("/status")[1]["listeners"][0]["max_clients"] == 6


def kept(port: int, count: int) -> Counter[str]:
    """How it goes for so many callers, one after the other, that keep their connections."""

    async def one_after_the_other() -> Iterable[str]:
        calls = []
        for _ in range(count):
            answered = asyncio.Event()
            calls.append(asyncio.create_task(call(port, 1000.0, answered)))
            async with asyncio.timeout(PATIENCE_S):
                await answered.wait()
        for each in calls:
            each.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        return ["200" for each in calls if each.cancelled()]

    return Counter(asyncio.run(one_after_the_other()))


def test_an_idle_client_of_any_worker_makes_room(run: Run, origins: Origins) -> None:
    instance = run(workers=2, max_clients=2, backends=[{"address": origins().address}]).ready()
    assert kept(instance.port, 10) == {"200": 10}
    # not 8: while others wait, a reply is its client's last one, and that client is not idle when it goes
    assert instance.metric("balance_idle_clients_closed_total") > 0


@pytest.mark.long
def test_an_idle_client_makes_room_also_over_a_restart_and_an_upgrade(run: Run, origins: Origins) -> None:
    instance = run(workers=2, max_clients=2, backends=[{"address": origins().address}]).ready()

    async def held_meanwhile(command: str) -> None:
        calls: list[asyncio.Task[str]] = []
        # One after the other, as a reply while another waits for a permit ends its connection; as many as it takes, as that is
        # told from worker to worker: the first may be closed for the second, and the second be told to close.
        while len(calls) < 2 or instance.metric("balance_listener_connections") < 1:
            assert len(calls) < 20
            answered = asyncio.Event()
            calls.append(asyncio.create_task(call(instance.port, 1000.0, answered)))
            async with asyncio.timeout(PATIENCE_S):
                await answered.wait()
        assert (await asyncio.to_thread(instance.command, command))[0] == 0
        assert await asyncio.gather(*(call(instance.port, 0.0) for _ in range(6))) == ["200"] * 6
        for each in calls:
            each.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        # else they would wait for room the next time, and be told to close: replies do while others wait
        await asyncio.to_thread(until, lambda: instance.metric("balance_listener_connections") == 0, "nobody")

    for command in ("restart", "upgrade"):
        asyncio.run(held_meanwhile(command))


def test_a_reload_changes_how_many_there_may_be(run: Run, origins: Origins) -> None:
    origin = origins()
    instance = run(max_clients=1, backends=[{"address": origin.address}]).ready()
    document = json.loads(instance.config.read_text())
    instance.config.write_text(json.dumps(document | {"max_clients": 50}))
    code, said = instance.command("reload")
    assert (code, "max_clients 1 -> 50" in said) == (0, True), said
    assert called(instance.port, 40, keep_s=0.2) == {"200": 40}
    assert instance.metric("balance_accept_pauses_total") == 0
    assert instance.metric("balance_listener_max_clients") == 50


def test_a_start_that_lacks_descriptors_says_what_it_needs(run: Run) -> None:
    instance = run(may_open(64), workers=2, backends=[{"address": "127.0.0.1:1"}, {"address": "127.0.0.1:2"}])
    assert instance.ended() == 1
    assert re.search(
        r"^balance: a process may open 64 file descriptors, and \d+ are needed at least for 1 listener, 2 workers and 2 "
        r"backends: raise `ulimit -Hn` \(systemd: LimitNOFILE=\)$",
        instance.log,
        re.MULTILINE,
    )
    assert "Traceback" not in instance.log


@pytest.mark.long
@pytest.mark.parametrize("files", [80, 110, 140, 160, 170, 180, 200])
def test_with_however_few_descriptors_it_serves_or_says_so(run: Run, origins: Origins, files: int) -> None:
    instance = run(may_open(files), backends=[{"address": origins().address}])
    until(lambda: "supervisor: ready" in instance.log or instance.process.poll() is not None, "an outcome")
    if instance.process.poll() is None:
        assert called(instance.port, 50) == {"200": 50}
    else:
        assert "are needed at least" in instance.log
    assert "Traceback" not in instance.log
