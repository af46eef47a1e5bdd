"""Descriptors run out: what is open goes on, the admin port answers, the log says it once, and accepting recovers by itself."""

from __future__ import annotations

import contextlib
import http.client
import os
import resource
import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from instance_process import PATIENCE_S, Instance, Origin, until

Run = Callable[..., Instance]
Origins = Callable[..., Origin]

CERTIFICATES = Path(__file__).resolve().parents[2] / "deployments" / "examples" / "certificates"
FILES = 256
MAY_OPEN = f"import resource; resource.setrlimit(resource.RLIMIT_NOFILE, ({FILES}, {FILES}))"
HELD = 20
CALLERS = 400
TLS = {"enabled": True, "cert_file": str(CERTIFICATES / "example.crt"), "key_file": str(CERTIFICATES / "example.key")}


def connected(port: int, scheme: str) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", port), PATIENCE_S)
    if scheme == "http":
        return sock
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context.wrap_socket(sock)


def status_of(sock: socket.socket, path: str = "/") -> int:
    sock.sendall(f"GET {path} HTTP/1.1\r\nHost: a.example\r\n\r\n".encode())
    return answered(sock)


def answered(sock: socket.socket) -> int:
    response = http.client.HTTPResponse(sock)
    response.begin()
    response.read()
    return response.status


def open_in(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


@contextlib.contextmanager
def silent(port: int, count: int) -> Iterator[None]:
    """So many connections that send nothing; those that find no room in the backlog are not waited for."""
    socks = []
    try:
        for _ in range(count):
            sock = socket.socket()
            sock.setblocking(False)
            sock.connect_ex(("127.0.0.1", port))
            socks.append(sock)
        yield
    finally:
        for sock in socks:
            sock.close()


@pytest.mark.long
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_more_callers_than_descriptors_leave_no_trace(run: Run, origins: Origins, scheme: str) -> None:
    origin = origins()
    listener = {"name": "main", "listen": "127.0.0.1:0"} | ({"tls": TLS} if scheme == "https" else {})
    pools = {"p": {"backends": [{"address": origin.address}]}}
    instance = run(MAY_OPEN, listeners=[listener], pools=pools, timeouts={"client_header": "60s", "connect": "5s"}).ready()
    (worker,) = instance.children("balance-worker")
    kept = connected(instance.port, scheme)
    assert status_of(kept) == 200
    kept.close()
    until(lambda: instance.metric("balance_listener_connections") == 0, "nobody")
    before = open_in(worker)
    held = [connected(instance.port, scheme) for _ in range(HELD)]
    for sock in held:
        sock.sendall(b"GET /slow HTTP/1.1\r\nHost: a.example\r\n\r\n")
    until(lambda: instance.metric("balance_active_requests") >= HELD or open_in(worker) >= before + 2 * HELD, "requests")
    with silent(instance.port, CALLERS):
        instance.saying(f"worker 0: listener main: .*{FILES} file descriptors")
        until(lambda: instance.metric("balance_accept_paused") > 0 or open_in(worker) > FILES * 3 // 4, "no room")
        assert open_in(worker) < FILES  # the reserve stays
        for _ in range(5):
            assert instance.ask("/status")[0] == 200
        code, said = instance.command("reload")
        assert code == 0, said
        origin.released.set()
        assert [answered(sock) for sock in held] == [200] * HELD
    for sock in held:
        sock.close()
    until(lambda: instance.metric("balance_accept_paused") == 0, "recovery")
    again = connected(instance.port, scheme)
    assert status_of(again) == 200
    again.close()
    until(lambda: instance.metric("balance_listener_connections") == 0, "nobody")
    until(lambda: open_in(worker) <= before + 2, lambda: f"{open_in(worker)} descriptors, {before} before")
    said = [line.partition("warning ")[2] for line in instance.lines if "file descriptors allow" in line]
    assert len(said) == len({line.rpartition(";")[2] for line in said}), said  # each of the two ways out once
    assert instance.metric("balance_backend_connect_failures_total") == 0
    assert "Traceback" not in instance.log


def last_descriptor(pid: int) -> int:
    return max(map(int, os.listdir(f"/proc/{pid}/fd"))) + 1


@pytest.mark.long
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_limit_that_is_reached_in_accept_itself_is_survived(run: Run, origins: Origins, scheme: str) -> None:
    listener = {"name": "main", "listen": "127.0.0.1:0"} | ({"tls": TLS} if scheme == "https" else {})
    instance = run(listeners=[listener], pools={"p": {"backends": [{"address": origins().address}]}}).ready()
    (worker,) = instance.children("balance-worker")
    fresh = connected(instance.port, scheme)
    kept = connected(instance.port, scheme)
    assert (status_of(fresh), status_of(kept)) == (200, 200)
    old = resource.prlimit(worker, resource.RLIMIT_NOFILE)
    resource.prlimit(worker, resource.RLIMIT_NOFILE, (3, old[1]))
    with silent(instance.port, 20):
        instance.saying("listener main: cannot accept: too many open files")
        assert instance.ask("/status")[0] == 200
        resource.prlimit(worker, resource.RLIMIT_NOFILE, old)
        late = connected(instance.port, scheme)
        assert status_of(late) == 200
    said = [line.partition("warning ")[2] for line in instance.lines if "cannot accept" in line]
    assert len(said) == len(set(said)), said
    assert "Traceback" not in instance.log


@pytest.mark.long
def test_an_admin_port_without_descriptors_recovers_and_traffic_never_knows(run: Run, origins: Origins) -> None:
    instance = run(MAY_OPEN, backends=[{"address": origins().address}]).ready()
    (control,) = instance.children("balance-control")
    before = open_in(control)
    with silent(instance.admin_port, CALLERS):
        until(lambda: open_in(control) > before + 100, "a flood")
        for _ in range(20):
            assert instance.get("/")[0] == 200
    until(lambda: instance.ask("/status")[0] == 200, "recovery")
    until(lambda: open_in(control) <= before + 4, lambda: f"{open_in(control)} descriptors, {before} before")
    assert instance.children("balance-control") == [control]
    assert "Traceback" not in instance.log, instance.log
