"""The sockets of a whole configuration: all or none, and to each process its own."""

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from balance.config.model import AdminConfig, Config, ListenerConfig, MetricsConfig
from balance.errors import StartError
from balance.model import Address, Mode
from balance.process.sockets.listen_address import SPREADS
from balance.process.sockets.listen_sockets import ListenSockets, ListenSocketsChange, open_all, open_changed, resolve_hosts


def config(*ports: int, admin: int = 0, metrics: int = 0) -> Config:
    return Config(
        listeners=tuple(
            ListenerConfig(f"l{index}", (Address("127.0.0.1", port),), Mode.TCP, "p") for index, port in enumerate(ports)
        ),
        pools=(),
        workers=2,
        admin=AdminConfig(address=Address("127.0.0.1", admin)),
        metrics=MetricsConfig(address=Address("127.0.0.1", metrics)),
    )


def test_each_worker_gets_its_own_socket_of_every_listener_and_control_the_admin_sockets() -> None:
    listen_sockets = open_all(config(0, 0))
    try:
        assert [name for name, _ in listen_sockets.for_worker(1)] == ["l0", "l1"]
        assert [listen_address.listener for listen_address in listen_sockets.admin_and_metrics] == ["admin", "metrics"]
        assert listen_sockets.for_worker(0)[0][1] is listen_sockets.listeners[0].sockets[0]
    finally:
        listen_sockets.close()


def test_one_address_that_cannot_be_had_gives_the_others_back() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        with pytest.raises(StartError, match="listener l1"):
            open_all(config(port, taken.getsockname()[1]))
        socket.create_server(("127.0.0.1", port)).close()


# --- another configuration ----------------------------------------------------------------------------------------


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


class FakeSupervisor:
    """What is listened on from one configuration to the next."""

    def __init__(self, stack: ExitStack, first: Config) -> None:
        self.config = first
        self.listen_sockets = open_all(first)
        self.sockets_change: ListenSocketsChange | None = None
        stack.callback(lambda: self.listen_sockets.close())

    def reopened(self, config: Config) -> ListenSockets:
        """What it would be, while nothing is decided."""
        new, self.sockets_change = open_changed(config, self.config, self.listen_sockets, resolve_hosts(config))
        return new

    def turned(self, config: Config) -> ListenSockets:
        """What it is after a reload."""
        new = self.reopened(config)
        assert self.sockets_change is not None
        self.sockets_change.commit()
        self.config, self.listen_sockets = config, new
        return new


def listening(*listeners: tuple[str, str], workers: int = 2, admin: str = "", metrics: str = "") -> Config:
    """`listeners` are names with their addresses, several of a name apart by commas."""
    return Config(
        listeners=tuple(
            ListenerConfig(name, tuple(map(Address.parse, addresses.split(","))), Mode.TCP, "p")
            for name, addresses in listeners
        ),
        pools=(),
        workers=workers,
        admin=AdminConfig(enabled=bool(admin), address=Address.parse(admin or "127.0.0.1:1")),
        metrics=MetricsConfig(address=Address.parse(metrics) if metrics else None),
    )


LOCAL = "127.0.0.1:0"


def sockets(listen_sockets: ListenSockets, name: str) -> list[socket.socket]:
    """Of one listener, those of an address in the order of its slots."""
    mine = [
        listen_address
        for listen_address in (*listen_sockets.listeners, *listen_sockets.admin_and_metrics)
        if listen_address.listener == name
    ]
    return list(dict.fromkeys(sock for listen_address in mine for sock in listen_address.sockets))


def ports(listen_sockets: ListenSockets, name: str) -> set[int]:
    return {
        listen_address.address.port
        for listen_address in (*listen_sockets.listeners, *listen_sockets.admin_and_metrics)
        if listen_address.listener == name
    }


def is_heard(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionRefusedError:
        return False
    return True


def test_the_admin_port_opens_where_it_is_configured(stack: ExitStack, tmp_path: Path) -> None:
    scene = FakeSupervisor(stack, listening(("web", LOCAL), admin=f"unix:{tmp_path}/admin.sock"))
    assert [str(listen_address.address) for listen_address in scene.listen_sockets.admin_and_metrics] == [
        f"unix:{tmp_path}/admin.sock"
    ]
    with socket.socket(socket.AF_UNIX) as caller:
        caller.connect(f"{tmp_path}/admin.sock")


def test_an_address_that_stays_keeps_its_sockets_in_their_slots_whatever_it_is_called(stack: ExitStack) -> None:
    scene = FakeSupervisor(stack, listening(("web", LOCAL), ("api", LOCAL), admin=LOCAL))
    before = scene.listen_sockets
    (port,) = ports(before, "api")
    after = scene.turned(listening(("other", f"127.0.0.1:{port}"), ("web", LOCAL), admin=LOCAL))
    for name, new_name in (("web", "web"), ("api", "other"), ("admin", "admin")):
        assert sockets(after, new_name) == sockets(before, name)
        assert ports(after, new_name) == ports(before, name)  # port 0 too: it was chosen once
    assert [name for name, _ in after.for_worker(1)] == ["other", "web"]
    assert all(sock.fileno() >= 0 for sock in after.sockets)


@pytest.mark.skipif(not SPREADS, reason="SO_REUSEPORT does not spread connections here")
@pytest.mark.parametrize("counts", [(2, 4, 2), (4, 1, 3), (2, 3, 4, 1, 2), (3, 2, 3)])
def test_no_socket_that_was_accepted_from_is_closed_while_the_number_of_workers_changes(
    stack: ExitStack, counts: tuple[int, ...]
) -> None:
    scene = FakeSupervisor(stack, listening(("web", LOCAL), workers=counts[0]))
    most = counts[0]
    before = sockets(scene.listen_sockets, "web")
    (port,) = ports(scene.listen_sockets, "web")
    for count in counts[1:]:
        after = scene.turned(listening(("web", LOCAL), workers=count))
        most = max(most, count)
        now = sockets(after, "web")
        assert now[: len(before)] == before
        assert len(now) == most
        assert {sock.getsockname()[1] for sock in now} == {port}
        taken = [sock for worker_number in range(count) for _, sock in after.for_worker(worker_number)]
        assert set(taken) == set(now)  # somebody accepts from each of them
        before = now


def test_a_reload_that_is_refused_leaves_the_old_sockets_and_closes_the_new(stack: ExitStack, tmp_path: Path) -> None:
    scene = FakeSupervisor(stack, listening(("web", LOCAL), ("file", f"unix:{tmp_path}/old"), admin=LOCAL))
    before = scene.listen_sockets
    (port,) = ports(before, "web")
    wider = listening(
        ("web", LOCAL), ("more", LOCAL), ("file", f"unix:{tmp_path}/old"), ("path", f"unix:{tmp_path}/new"), workers=4
    )
    after = scene.reopened(wider)
    assert (tmp_path / "new").exists()
    new = set(after.sockets) - set(before.sockets)
    assert len(new) == 2 + 4 + 1
    callers = [stack.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(32)]
    assert scene.sockets_change is not None
    scene.sockets_change.abort()
    assert {sock.fileno() for sock in new} == {-1}
    assert all(sock.fileno() >= 0 for sock in before.sockets)
    assert sorted(os.listdir(tmp_path)) == ["old"]
    assert len(callers) == sum(accepted(sock) for sock in sockets(before, "web"))  # none had come to a new one


def test_an_address_that_cannot_be_had_leaves_everything_as_it_was(stack: ExitStack, tmp_path: Path) -> None:
    scene = FakeSupervisor(stack, listening(("web", LOCAL), admin=LOCAL))
    before = scene.listen_sockets
    taken = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    with pytest.raises(StartError, match=r"^listener api: cannot listen on 127\.0\.0\.1:\d+: it is in use"):
        scene.reopened(
            listening(
                ("web", LOCAL), ("path", f"unix:{tmp_path}/new"), ("api", f"127.0.0.1:{taken.getsockname()[1]}"), workers=4
            )
        )
    assert os.listdir(tmp_path) == []
    assert all(sock.fileno() >= 0 for sock in before.sockets)
    assert is_heard(before.listeners[0].address.port)


def test_what_is_no_longer_configured_is_closed_once_that_is_decided(stack: ExitStack, tmp_path: Path) -> None:
    scene = FakeSupervisor(stack, listening(("web", LOCAL), ("old", LOCAL), ("path", f"unix:{tmp_path}/old"), metrics=LOCAL))
    (port,), (metrics,) = ports(scene.listen_sockets, "old"), ports(scene.listen_sockets, "metrics")
    scene.reopened(listening(("web", LOCAL)))
    assert is_heard(port)
    assert is_heard(metrics)
    assert scene.sockets_change is not None
    scene.sockets_change.abort()
    scene.turned(listening(("web", LOCAL)))
    assert not is_heard(port)
    assert not is_heard(metrics)
    assert os.listdir(tmp_path) == []


def test_an_address_moves_between_a_listener_and_the_admin_server(stack: ExitStack) -> None:
    scene = FakeSupervisor(stack, listening(("web", LOCAL), ("api", LOCAL), admin=LOCAL))
    (api,), (admin,) = ports(scene.listen_sockets, "api"), ports(scene.listen_sockets, "admin")
    before = scene.listen_sockets
    after = scene.turned(listening(("web", LOCAL), ("api", f"127.0.0.1:{admin}"), admin=f"127.0.0.1:{api}", metrics=LOCAL))
    assert (ports(after, "api"), ports(after, "admin")) == ({admin}, {api})
    assert set(sockets(after, "api")) >= set(sockets(before, "admin"))
    assert set(sockets(after, "admin")) <= set(sockets(before, "api"))
    assert is_heard(api)
    assert is_heard(admin)


def test_a_unix_socket_stays_where_it_is_and_its_file_goes_at_the_end(stack: ExitStack, tmp_path: Path) -> None:
    path = tmp_path / "web"
    scene = FakeSupervisor(stack, listening(("web", f"unix:{path}")))
    before, number = scene.listen_sockets.sockets, path.stat().st_ino
    for workers in (4, 1):
        after = scene.turned(listening(("new", f"unix:{path}"), workers=workers))
        assert after.sockets == before
        assert path.stat().st_ino == number
        assert after.owned_paths == [str(path)]
    scene.listen_sockets.close()
    assert not path.exists()


def test_a_name_on_port_0_keeps_every_address_that_it_stands_for(stack: ExitStack, monkeypatch: pytest.MonkeyPatch) -> None:
    def found(host: str, port: int, **how: object) -> list[tuple[object, ...]]:
        hosts = ("127.0.0.2", "127.0.0.3") if host == "two.example" else (host,)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port)) for host in hosts]

    monkeypatch.setattr("balance.process.sockets.listen_address.socket.getaddrinfo", found)
    scene = FakeSupervisor(stack, listening(("web", "two.example:0")))
    before = {(listen_address.address, listen_address.sockets) for listen_address in scene.listen_sockets.listeners}
    assert {address.host for address, _ in before} == {"127.0.0.2", "127.0.0.3"}
    after = scene.turned(listening(("web", "two.example:0")))
    assert {(listen_address.address, listen_address.sockets) for listen_address in after.listeners} == before


def test_another_configuration_is_listened_on_where_its_names_were_found_and_nobody_is_asked_again(
    stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    def resolve_host(host: str, *rest: object, **how: object) -> list[tuple[object, ...]]:
        raise AssertionError(f"{host} is asked for")

    scene = FakeSupervisor(stack, listening(("web", LOCAL)))
    monkeypatch.setattr("balance.process.sockets.listen_address.socket.getaddrinfo", resolve_host)
    hosts = {"one.example": ((socket.AF_INET, "127.0.0.2"), (socket.AF_INET, "127.0.0.3"))}
    new, sockets_change = open_changed(listening(("web", "one.example:0")), scene.config, scene.listen_sockets, hosts)
    assert {listen_address.address.host for listen_address in new.listeners} == {"127.0.0.2", "127.0.0.3"}
    sockets_change.abort()


def test_only_what_is_listened_on_is_asked_for_and_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def resolve_host(host: str, port: int, **how: object) -> list[tuple[object, ...]]:
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.2", port))] * 2

    monkeypatch.setattr("balance.process.sockets.listen_address.socket.getaddrinfo", resolve_host)
    shown = listening(("web", "a.example:1,:2,unix:/run/web"), ("api", "a.example:3"), metrics="m.example:4")
    assert resolve_hosts(shown) == dict.fromkeys(("a.example", "m.example"), ((socket.AF_INET, "127.0.0.2"),))
    assert asked == ["a.example", "m.example"]  # and not for that of the admin port, which is off


def accepted(sock: socket.socket) -> int:
    count = 0
    while True:
        try:
            sock.accept()[0].close()
        except BlockingIOError:
            return count
        count += 1
