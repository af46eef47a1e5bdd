"""Listening sockets: one per slot, exclusive against every other process, and every failure is one line."""

import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from balance.errors import StartError
from balance.model import Address
from balance.process.sockets.listen_address import SPREADS, ListenAddress, listen


@contextmanager
def listening(address: str, slots: int = 1) -> Iterator[tuple[ListenAddress, ...]]:
    listen_sockets = listen("web", Address.parse(address), slots)
    try:
        yield listen_sockets
    finally:
        for listen_address in listen_sockets:
            listen_address.close()
            listen_address.unlink()


def accepted(listen_address: ListenAddress) -> int:
    """How many connections wait, over all slots."""
    count = 0
    for sock in dict.fromkeys(listen_address.sockets):
        while True:
            try:
                sock.accept()[0].close()
            except BlockingIOError:
                break
            count += 1
    return count


def test_port_0_is_one_port_for_every_slot() -> None:
    with listening("127.0.0.1:0", slots=3) as (listen_address,):
        assert {sock.getsockname()[1] for sock in listen_address.sockets} == {listen_address.address.port}
        assert listen_address.address.port != 0
        assert len(set(listen_address.sockets)) == (3 if SPREADS else 1)


def test_the_kernel_spreads_connections_over_the_slots() -> None:
    with listening("127.0.0.1:0", slots=2) as (listen_address,):
        callers = [socket.create_connection(("127.0.0.1", listen_address.address.port)) for _ in range(64)]
        waiting = [accepted(ListenAddress("web", listen_address.address, (sock,))) for sock in listen_address.sockets]
        for caller in callers:
            caller.close()
    assert sum(waiting) == 64
    assert min(waiting) > 0 or not SPREADS


@pytest.mark.parametrize("slots", [1, 2])
@pytest.mark.parametrize("second", ["127.0.0.1", "0.0.0.0", ""])
def test_a_second_instance_is_refused_even_where_the_port_is_shared_between_slots(slots: int, second: str) -> None:
    with listening("127.0.0.1:0", slots) as (listen_address,):
        address = Address(second, listen_address.address.port)
        with pytest.raises(StartError, match=r"^listener web: cannot listen on .*: it is in use by another process") as e:
            listen("web", address, slots)
    assert "\n" not in str(e.value)


def test_a_port_without_a_host_takes_ipv4_and_ipv6_callers() -> None:
    with listening(":0") as (listen_address,):
        hosts = ["127.0.0.1", *(["::1"] if listen_address.sockets[0].family == socket.AF_INET6 else [])]
        for host in hosts:
            socket.create_connection((host, listen_address.address.port)).close()
        assert accepted(listen_address) == len(hosts)


def test_a_name_is_listened_on_at_all_its_addresses_with_one_port() -> None:
    with listening("localhost:0") as listen_sockets:
        assert len({listen_address.address.port for listen_address in listen_sockets}) == 1
        for listen_address in listen_sockets:
            socket.create_connection((listen_address.address.host, listen_address.address.port)).close()
            assert accepted(listen_address) == 1


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("192.0.2.7:0", "listener web: cannot listen on 192.0.2.7:0: this machine has no such address"),
        ("nowhere.invalid:80", "listener web: cannot listen on nowhere.invalid:80: the name 'nowhere.invalid' does not"),
        ("unix:/nonexistent/app.sock", "unix:/nonexistent/app.sock: the directory /nonexistent does not exist"),
    ],
)
def test_what_cannot_be_listened_on_is_named_with_the_reason(address: str, words: str) -> None:
    with pytest.raises(StartError) as e:
        listen("web", Address.parse(address), 1)
    assert words in str(e.value)


def test_a_unix_socket_is_open_to_owner_and_group_and_gone_afterwards(tmp_path: Path) -> None:
    path = tmp_path / "app.sock"
    with listening(f"unix:{path}", slots=2) as (listen_address,):
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o660
        assert listen_address.sockets[0] is listen_address.sockets[1]
        with socket.socket(socket.AF_UNIX) as caller:
            caller.connect(str(path))
        assert accepted(listen_address) == 1
    assert not path.exists()


def test_a_socket_file_that_nobody_answers_on_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "app.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with listening(f"unix:{path}") as (listen_address,):
        assert listen_address.address.path == str(path)


def test_a_socket_file_in_use_is_left_alone(tmp_path: Path) -> None:
    with listening(f"unix:{tmp_path}/app.sock"):
        with pytest.raises(StartError, match="in use by another process"):
            listen("web", Address.parse(f"unix:{tmp_path}/app.sock"), 1)
        with socket.socket(socket.AF_UNIX) as caller:
            caller.connect(f"{tmp_path}/app.sock")


def test_another_kind_of_file_is_never_removed(tmp_path: Path) -> None:
    path = tmp_path / "precious.txt"
    path.write_text("keep me")
    with pytest.raises(StartError, match="a file that is not a socket is in the way"):
        listen("web", Address.parse(f"unix:{path}"), 1)
    assert path.read_text() == "keep me"
