"""The admin servers over reloads: on exactly the sockets that are given, and an order's answer still goes out."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

import pytest
from child_contexts import context, eventually
from descriptors import open_descriptors

from balance.admin.state_view import StateView
from balance.config.model import AdminConfig
from balance.model import Address
from balance.process.children.child_context import new_event_loop
from balance.process.control import admin_servers
from balance.process.control.admin_servers import AdminServers
from balance.process.sockets.listen_sockets import inode


class Case:
    def __init__(self) -> None:
        child_context = context()
        state = child_context.board.state
        self.view = StateView(
            child_context.config,
            child_context.slots,
            child_context.board,
            1,
            1,
            0.0,
            (),
            lambda slot: None,
            lambda slot, *_: state(slot)[0],
        )
        self.admin_servers = AdminServers(asyncio.get_running_loop(), self.view)


def play(act: Callable[[Case], Coroutine[Any, Any, None]]) -> None:
    async def stage() -> None:
        case = Case()
        async with asyncio.timeout(20):
            await act(case)
            await case.admin_servers.close()

    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(stage())


def bound() -> socket.socket:
    sock = socket.create_server(("127.0.0.1", 0))
    sock.setblocking(False)
    return sock


async def get(sock_or_port: socket.socket | int, path: str) -> int | None:
    """The status of an answer; None when nobody is there."""
    port = sock_or_port if isinstance(sock_or_port, int) else sock_or_port.getsockname()[1]
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        line = await reader.readline()
        writer.close()
    except ConnectionError:
        return None
    return int(line.split()[1])


async def refused(port: int) -> bool:
    while await get(port, "/metrics") is not None:  # noqa: ASYNC110 - nobody says when a port is free
        await asyncio.sleep(0.01)
    return True


def test_each_admin_server_uses_its_own_sockets_only() -> None:
    async def act(case: Case) -> None:
        admin, metrics = bound(), bound()
        case.admin_servers.listen_on([("admin", admin), ("metrics", metrics)])
        assert case.admin_servers.sockets == {inode(admin): admin, inode(metrics): metrics}
        assert await get(admin, "/status") == await get(metrics, "/metrics") == 200
        assert await get(metrics, "/status") == 404
        for sock in (admin, metrics):
            sock.close()

    play(act)


def test_an_unchanged_admin_server_keeps_its_connections() -> None:
    async def act(case: Case) -> None:
        admin = bound()
        case.admin_servers.listen_on([("admin", admin)])
        reader, writer = await asyncio.open_connection(*admin.getsockname())
        for _ in range(3):
            case.admin_servers.listen_on([("admin", admin)])
            writer.write(b"GET /version HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert (await reader.readline()).startswith(b"HTTP/1.1 200")
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))
            await reader.readexactly(int(length.split(b":")[1]))
        writer.close()
        admin.close()

    play(act)


def test_an_admin_server_that_moves_answers_on_both_addresses_for_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admin_servers, "CLOSE_DELAY_S", 0.1)

    async def act(case: Case) -> None:
        old, new = bound(), bound()
        port = old.getsockname()[1]
        case.admin_servers.listen_on([("admin", old)])
        assert await get(old, "/version") == 200
        case.admin_servers.listen_on([("admin", new)])
        assert old.fileno() == -1
        assert await get(port, "/version") == 200  # the answer to whoever ordered it goes out this way
        assert await get(new, "/version") == 200
        assert await refused(port)
        assert case.admin_servers.sockets == {inode(new): new}
        new.close()

    play(act)


def test_servers_swap_sockets_in_one_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admin_servers, "CLOSE_DELAY_S", 0.0)

    async def act(case: Case) -> None:
        first, second, third = bound(), bound(), bound()
        case.admin_servers.listen_on([("admin", first), ("metrics", second)])
        case.admin_servers.listen_on([("admin", second), ("metrics", first)])
        case.admin_servers.listen_on([("admin", third), ("metrics", second)])  # what was the admin port is the metrics' now
        assert (second.fileno() >= 0, third.fileno() >= 0, first.fileno()) == (True, True, -1)
        await asyncio.sleep(0.05)  # the servers before are gone
        assert await get(third, "/status") == await get(second, "/metrics") == 200
        assert await get(second, "/status") == 404
        for sock in (second, third):
            sock.close()

    play(act)


def test_an_admin_server_is_opened_and_closed_by_a_reload(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admin_servers, "CLOSE_DELAY_S", 0.0)

    async def act(case: Case) -> None:
        before = 0
        for number in range(5):
            if number == 1:  # the loop keeps one descriptor in reserve once it listens
                gc.collect()
                before = open_descriptors()
            metrics = bound()
            port = metrics.getsockname()[1]
            case.admin_servers.listen_on([("metrics", metrics)])
            assert await get(port, "/metrics") == 200
            case.admin_servers.listen_on([])
            assert case.admin_servers.sockets == {}
            assert await refused(port)
        await eventually(lambda: open_descriptors() <= before)

    play(act)


def test_what_a_page_shows_follows_the_configuration_without_another_server() -> None:
    async def act(case: Case) -> None:
        admin = bound()
        case.admin_servers.listen_on([("admin", admin)])
        assert await get(admin, "/metrics") == 200
        config = case.view.config
        case.view.config = replace(
            config, admin=AdminConfig(address=Address("127.0.0.1", 0)), metrics=replace(config.metrics, enabled=False)
        )
        case.admin_servers.listen_on([("admin", admin)])
        assert await get(admin, "/metrics") == 404
        admin.close()

    play(act)


def everywhere() -> socket.socket:
    sock = socket.create_server(("0.0.0.0", 0))
    sock.setblocking(False)
    return sock


def test_access_is_judged_by_the_bound_socket_not_by_the_configuration() -> None:
    async def act(case: Case) -> None:
        public, inward = everywhere(), bound()
        port = public.getsockname()[1]
        case.admin_servers.listen_on([("admin", public)])
        assert (await get(public, "/status"), await get(public, "/version")) == (403, 200)
        # The configuration is committed before the doors follow, and the old one answers for a moment more.
        case.view.config = replace(case.view.config, admin=AdminConfig(address=Address("127.0.0.1", 0)))
        assert await get(public, "/status") == 403
        case.admin_servers.listen_on([("admin", inward)])
        assert await get(port, "/status") == 403
        assert await get(inward, "/status") == 200
        case.view.config = replace(case.view.config, admin=AdminConfig(address=Address("", 0)))
        assert await get(inward, "/status") == 200
        inward.close()

    play(act)


def test_one_public_address_forbids_orders_on_all() -> None:
    async def act(case: Case) -> None:
        socks = [bound(), everywhere()]
        case.admin_servers.listen_on([("admin", sock) for sock in socks])
        assert [await get(sock, "/status") for sock in socks] == [403, 403]
        for sock in socks:
            sock.close()

    play(act)


def test_no_process_that_accepts_on_a_socket_is_held_up_while_another_begins_to() -> None:
    with socket.create_server(("127.0.0.1", 0)) as inherited:
        os.set_blocking(inherited.fileno(), False)  # as the one before has it; this object does not know
        assert inherited.gettimeout() is None
        with admin_servers.double(inherited) as other:
            assert (os.get_blocking(other.fileno()), inode(other)) == (False, inode(inherited))
