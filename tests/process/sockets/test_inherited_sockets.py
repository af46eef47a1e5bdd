"""Sockets that were bound before: which address means them, how they are shared out, and whose they stay."""

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from balance.config.model import AdminConfig, Config, ListenerConfig, MetricsConfig
from balance.errors import StartError
from balance.model import Address, Mode
from balance.process.sockets.inherited_sockets import InheritedSockets
from balance.process.sockets.listen_address import SPREADS, ListenAddress, listen
from balance.process.sockets.listen_sockets import ListenSockets, open_all


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def bound(
    stack: ExitStack, host: str = "127.0.0.1", port: int = 0, *, reuse: bool = False, dual: bool = False
) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = stack.enter_context(socket.socket(family))
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, not dual)
    if reuse:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sock.bind((host, port))
    sock.listen()
    sock.setblocking(False)
    return sock


def unix(stack: ExitStack, path: Path) -> socket.socket:
    sock = stack.enter_context(socket.socket(socket.AF_UNIX))
    sock.bind(str(path))
    sock.listen()
    sock.setblocking(False)
    return sock


def port_of(sock: socket.socket) -> int:
    return int(sock.getsockname()[1])


def listened(stack: ExitStack, address: str, slots: int, *inherited: socket.socket) -> tuple[ListenAddress, ...]:
    listen_sockets = listen("web", Address.parse(address), slots, InheritedSockets(inherited))
    for listen_address in listen_sockets:
        stack.callback(listen_address.close)
    return listen_sockets


@pytest.mark.parametrize(
    ("configured", "host", "dual", "shown"),
    [
        ("127.0.0.1:{}", "127.0.0.1", False, "127.0.0.1:{}"),
        ("localhost:{}", "127.0.0.1", False, "127.0.0.1:{}"),
        ("0.0.0.0:{}", "0.0.0.0", False, ":{}"),
        (":{}", "0.0.0.0", False, ":{}"),
        (":{}", "::", True, ":{}"),
        (":{}", "::", False, "[::]:{}"),
        ("[::]:{}", "::", False, "[::]:{}"),
        ("[::1]:{}", "::1", False, "[::1]:{}"),
    ],
)
def test_socket_is_taken_where_its_address_is_configured(
    stack: ExitStack, configured: str, host: str, dual: bool, shown: str
) -> None:
    try:
        sock = bound(stack, host, dual=dual)
    except OSError:
        pytest.skip("no IPv6 here")
    port = port_of(sock)
    listen_sockets = listened(stack, configured.format(port), 1, sock)
    taken = [listen_address for listen_address in listen_sockets if listen_address.sockets == (sock,)]
    assert [str(listen_address.address) for listen_address in taken] == [shown.format(port)]


def test_every_address_is_both_families_where_each_was_bound_by_itself(stack: ExitStack) -> None:
    four = bound(stack, "0.0.0.0")
    try:
        six = bound(stack, "::", port_of(four))
    except OSError:
        pytest.skip("no IPv6 here")
    listen_sockets = listened(stack, f":{port_of(four)}", 2, four, six)
    assert {listen_address.sockets for listen_address in listen_sockets} == {(four, four), (six, six)}


def test_name_with_two_addresses_takes_one_and_binds_the_other(stack: ExitStack) -> None:
    found = {str(entry[4][0]) for entry in socket.getaddrinfo("localhost", 1, type=socket.SOCK_STREAM)}
    four = bound(stack)
    hosts = {listen_address.address.host for listen_address in listened(stack, f"localhost:{port_of(four)}", 1, four)}
    assert "127.0.0.1" in hosts
    assert hosts <= found


def test_socket_of_another_address_is_not_taken(stack: ExitStack) -> None:
    other = bound(stack)
    inherited_sockets = InheritedSockets((other,))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = port_of(free)
    (listen_address,) = listen("web", Address("127.0.0.1", port), 1, inherited_sockets)
    stack.callback(listen_address.close)
    assert listen_address.sockets[0] is not other
    (unsure,) = listen("web", Address("127.0.0.1", 0), 1, inherited_sockets)  # port 0 is no certain one
    stack.callback(unsure.close)
    assert unsure.sockets[0] is not other


def test_socket_outside_a_group_is_shared_by_all_slots(stack: ExitStack) -> None:
    sock = bound(stack)
    (listen_address,) = listened(stack, f"127.0.0.1:{port_of(sock)}", 3, sock)
    assert listen_address.sockets == (sock, sock, sock)


@pytest.mark.skipif(not SPREADS, reason="SO_REUSEPORT does not spread connections here")
def test_slots_without_a_socket_of_a_group_join_it(stack: ExitStack) -> None:
    first = bound(stack, reuse=True)
    second = bound(stack, port=port_of(first), reuse=True)
    (listen_address,) = listened(stack, f"127.0.0.1:{port_of(first)}", 4, first, second)
    assert listen_address.sockets[:2] == (first, second)
    assert len(set(listen_address.sockets)) == 4
    assert {port_of(sock) for sock in listen_address.sockets} == {port_of(first)}
    calls(stack, first, 64)
    assert accepted(first) + accepted(second) == 64  # nobody may ever accept from the others: none waits there
    for sock in listen_address.sockets[2:]:
        sock.listen()  # as a worker does when it begins to accept
    calls(stack, first, 64)
    assert sum(accepted(sock) for sock in listen_address.sockets) == 64


def calls(stack: ExitStack, sock: socket.socket, count: int) -> None:
    for _ in range(count):
        stack.enter_context(socket.create_connection(sock.getsockname()))


def accepted(sock: socket.socket) -> int:
    count = 0
    while True:
        try:
            sock.accept()[0].close()
        except BlockingIOError:
            return count
        count += 1


@pytest.mark.skipif(not SPREADS, reason="SO_REUSEPORT does not spread connections here")
def test_sockets_beyond_the_slots_go_on_being_accepted_from(stack: ExitStack) -> None:
    first = bound(stack, reuse=True)
    group = [first, *(bound(stack, port=port_of(first), reuse=True) for _ in range(4))]
    listen_sockets = listened(stack, f"127.0.0.1:{port_of(first)}", 2, *group)
    assert [listen_address.sockets for listen_address in listen_sockets] == [
        (group[0], group[1]),
        (group[2], group[3]),
        (group[4], group[4]),
    ]


# --- Unix sockets -------------------------------------------------------------------------------------------------


def test_file_that_somebody_else_made_stays_at_the_end(stack: ExitStack, tmp_path: Path) -> None:
    sock = unix(stack, tmp_path / "app.sock")
    (listen_address,) = listened(stack, f"unix:{tmp_path}/app.sock", 2, sock)
    assert listen_address.sockets == (sock, sock)
    listen_address.unlink()
    assert (tmp_path / "app.sock").exists()


def test_file_that_a_predecessor_made_is_removed_at_the_end(stack: ExitStack, tmp_path: Path) -> None:
    path = str(tmp_path / "app.sock")
    sock = unix(stack, Path(path))
    (listen_address,) = listen("web", Address.parse(f"unix:{path}"), 1, InheritedSockets((sock,), owned_paths=(path,)))
    listen_address.unlink()
    assert not os.path.exists(path)


@pytest.mark.parametrize("is_ours", [False, True])
def test_path_by_another_name_is_the_same_path(stack: ExitStack, tmp_path: Path, is_ours: bool) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "var").symlink_to("run")
    path = tmp_path / "run" / "app.sock"
    sock = unix(stack, path)
    inherited_sockets = InheritedSockets((sock,), owned_paths=(str(path),) if is_ours else ())
    (listen_address,) = listen("web", Address.parse(f"unix:{tmp_path}/var/app.sock"), 1, inherited_sockets)
    assert listen_address.sockets == (sock,)
    listen_address.unlink()
    assert path.exists() is not is_ours


# --- ports that the kernel chose --------------------------------------------------------------------------------------


def test_listener_on_port_0_is_given_the_port_that_was_chosen_for_it(stack: ExitStack) -> None:
    sock = bound(stack)
    wanted = Address("127.0.0.1", 0)
    inherited_sockets = InheritedSockets((sock,), ephemeral_ports={("web", wanted): Address("127.0.0.1", port_of(sock))})
    (other,) = listen("api", wanted, 1, inherited_sockets)  # it was not chosen for this one
    stack.callback(other.close)
    assert other.sockets != (sock,)
    (listen_address,) = listen("web", wanted, 1, inherited_sockets)
    assert (listen_address.sockets, listen_address.address.port) == ((sock,), port_of(sock))
    assert list(inherited_sockets.unclaimed) == []


# --- a whole configuration ----------------------------------------------------------------------------------------


def config(*addresses: Address, admin: int = 0) -> Config:
    return Config(
        listeners=tuple(ListenerConfig(f"l{index}", (address,), Mode.TCP, "p") for index, address in enumerate(addresses)),
        pools=(),
        workers=2,
        admin=AdminConfig(address=Address("127.0.0.1", admin)),
        metrics=MetricsConfig(address=None),
    )


def test_listeners_and_admin_claim_their_sockets_and_the_rest_is_closed_with_a_warning(
    stack: ExitStack, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    web, admin, stray, path = bound(stack), bound(stack), bound(stack), unix(stack, tmp_path / "stray")
    abstract = stack.enter_context(socket.socket(socket.AF_UNIX))
    name = f"balance-test-{os.getpid()}"
    abstract.bind("\0" + name)
    stray_port = port_of(stray)
    listen_sockets: ListenSockets = open_all(
        config(Address("127.0.0.1", port_of(web)), Address("127.0.0.1", 0), admin=port_of(admin)),
        (stray, admin, web, path, abstract),
    )
    stack.callback(listen_sockets.close)
    assert listen_sockets.listeners[0].sockets == (web, web)
    assert listen_sockets.admin[0].sockets == (admin,)
    assert (stray.fileno(), path.fileno(), abstract.fileno()) == (-1, -1, -1)
    assert caplog.messages == [
        f"inherited socket {name} belongs to no configured address; closing it"
        for name in (f"127.0.0.1:{stray_port}", f"unix:{tmp_path}/stray", f"unix:@{name}")
    ]


def test_start_that_fails_leaves_what_was_inherited_to_its_giver(stack: ExitStack, tmp_path: Path) -> None:
    path = str(tmp_path / "app.sock")
    web, mine, taken, stray = bound(stack, reuse=True), unix(stack, Path(path)), bound(stack), bound(stack)
    with pytest.raises(StartError, match="listener l2"):
        open_all(
            config(Address("127.0.0.1", port_of(web)), Address("", 0, path), Address("127.0.0.1", port_of(taken))),
            (web, mine, stray),
            owned_paths=(path,),
        )
    for sock in (web, mine, stray):
        family_socket = stack.enter_context(socket.socket(sock.family))
        family_socket.connect(sock.getsockname())
        assert accepted(sock) == 1
    # The socket that joined for the second worker is gone: every caller comes to the one that is left.
    for _ in range(16):
        stack.enter_context(socket.create_connection(web.getsockname()))
    assert accepted(web) == 16
