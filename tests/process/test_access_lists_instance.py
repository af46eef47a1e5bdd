"""Access lists of a whole instance: in every worker, from files that change, and at run time through crash and reload."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from instance_process import Instance, Origin, until

TEXT = """\
listen: "127.0.0.1:0"
workers: 2
admin: {{listen: "127.0.0.1:0"}}
shutdown: {{delay: 0s}}
backends: [{{address: "{address}"}}]
security: {{ip_blocklist: {{files: [blocked.txt]}}}}
"""


@pytest.fixture
def origin() -> Iterator[Origin]:
    made = Origin("app")
    yield made
    made.stop()


@pytest.fixture
def instance(tmp_path: Path, origin: Origin) -> Iterator[Instance]:
    (tmp_path / "blocked.txt").write_text("198.51.100.0/24\n")
    made = Instance(tmp_path, TEXT.format(address=origin.address)).ready()
    yield made
    made.destroy()


def is_served(instance: Instance, source: str = "127.0.0.1") -> bool:
    """Whether every one of several new connections is served: they meet both workers."""
    for _ in range(8):
        try:
            with socket.create_connection(("127.0.0.1", instance.port), 5, (source, 0)) as sock:
                sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                if not sock.recv(100).startswith(b"HTTP/1.1 200"):
                    return False
        except ConnectionResetError:
            return False
    return True


def is_refused(instance: Instance, source: str = "127.0.0.1") -> bool:
    """Whether none of several new connections is served."""
    for _ in range(8):
        try:
            with socket.create_connection(("127.0.0.1", instance.port), 5, (source, 0)) as sock:
                sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                if sock.recv(100):
                    return False
        except (ConnectionResetError, BrokenPipeError):
            pass
    return True


def test_a_block_holds_in_every_worker_through_crash_and_reload_until_it_is_taken_back(instance: Instance) -> None:
    assert is_served(instance, "127.0.0.2")
    assert instance.command("block", "127.0.0.2", "--for", "10m") == (0, "block 127.0.0.2 for 600s\n")
    until(lambda: is_refused(instance, "127.0.0.2"), "refused")
    assert is_served(instance)
    workers = instance.children("balance-worker")
    os.kill(workers[0], signal.SIGKILL)
    until(lambda: len(set(instance.children("balance-worker")) - {workers[0]}) == 2, "a new worker")
    until(lambda: instance.ask("/ready")[0] == 200 and is_served(instance), "served")
    assert is_refused(instance, "127.0.0.2")
    instance.config.write_text(instance.config.read_text() + "timeouts: {connect: 4s}\n")
    assert instance.command("reload")[0] == 0
    assert is_refused(instance, "127.0.0.2")
    (control,) = instance.children("balance-control")
    os.kill(control, signal.SIGKILL)
    until(lambda: instance.ask("/blocklist")[1]["blocked"][0]["address"] == "127.0.0.2", "shown again")
    assert instance.metric("balance_connections_refused_total") >= 24
    assert instance.command("unblock", "127.0.0.2")[0] == 0
    until(lambda: is_served(instance, "127.0.0.2"), "served again")


@pytest.mark.long
def test_a_list_that_changes_holds_without_a_reload_and_a_wrong_one_changes_nothing(instance: Instance) -> None:
    file = instance.config.parent / "blocked.txt"
    file.write_text("198.51.100.0/24\n127.0.0.3\n")
    instance.saying(r"configuration 2 is served \(an access list has changed\)")
    assert is_refused(instance, "127.0.0.3")
    assert is_served(instance)
    file.write_text("127.0.0.4\noops\n")
    instance.saying(r"the access list blocked.txt stays as it was: .*/blocked.txt:2: 'oops' is not an address")
    assert is_refused(instance, "127.0.0.3")
    assert is_served(instance, "127.0.0.4")
    assert instance.command("reload")[0] == 1
    assert is_refused(instance, "127.0.0.3")


def test_a_bound_holds_for_all_workers_and_a_crash_gives_places_back(tmp_path: Path, origin: Origin) -> None:
    text = TEXT.format(address=origin.address).replace(
        "ip_blocklist: {files: [blocked.txt]}",
        "connection_protection: {enabled: true, max_connections_per_ip: 6, max_connection_rate: 0}",
    )
    instance = Instance(tmp_path, text).ready()
    held: list[socket.socket] = []
    try:
        until(lambda: instance.metric("balance_workers") == 2, "both workers")

        def hold() -> int:
            """Open connections until one is refused. Returns how many are there."""
            while len(held) < 20:
                try:
                    sock = socket.create_connection(("127.0.0.1", instance.port), 5)
                    sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                    if not sock.recv(100):
                        break
                except (ConnectionResetError, BrokenPipeError):
                    break
                held.append(sock)
            return len(held)

        assert hold() == 6
        for worker in instance.children("balance-worker"):
            os.kill(worker, signal.SIGKILL)
        held.clear()
        until(lambda: hold() == 6, "places are free again")
    finally:
        for sock in held:
            sock.close()
        instance.destroy()
