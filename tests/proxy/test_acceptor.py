"""A listening socket: nobody is taken whom there is no room for; over reloads who comes in is served as configured now, and who
is in as it began."""

from __future__ import annotations

import asyncio
import gc
import os
import resource
import socket
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from rawclient import Wire, get, ok
from stage import Script, Stage, serve, until

from balance.config.model import BackendConfig, Config, HttpConfig, Retry, Timeouts
from balance.model import Address, Mode, Why
from balance.proxy.listener_server import Pause
from balance.runtime import counters


def listening(stage: Stage, **changes: Any) -> Config:
    """The same with another listener."""
    config = stage.snapshot.config
    return replace(config, listeners=(replace(config.listeners[0], **changes),))


def serving(stage: Stage, *addresses: Address, **changes: Any) -> Config:
    """The same with other backends; each is called after its port."""
    config = stage.snapshot.config
    backends = tuple(BackendConfig(f"p{address.port}", address) for address in addresses)
    return replace(config, pools=(replace(config.pools[0], backends=backends, **changes),))


async def ask(client: Wire, request: bytes = b"") -> bytes:
    await client.send(request or get())
    return (await client.reply()).body


async def pages(client: Wire) -> bytes:
    """The page of a refusal: no request is like this."""
    await client.send(b"GET / HTTP/1.1\r\n\r\n")
    return (await client.reply()).body


def another(stage: Stage) -> tuple[socket.socket, Address]:
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    sock.setblocking(False)
    return sock, Address("127.0.0.1", sock.getsockname()[1])


async def is_refused(stage: Stage, address: Address) -> bool:
    before, stage.address = stage.address, address
    try:
        await stage.client()
    except ConnectionRefusedError:
        return True
    finally:
        stage.address = before
    return False


async def test_a_reload_that_changes_nothing_of_a_listener_changes_no_entry(stage: Stage) -> None:
    stage.backend(serve(ok()))
    await stage.open()
    (acceptor,) = stage.listener_server._acceptors.values()
    before = acceptor._settings
    await stage.reload(stage.snapshot.config)
    assert acceptor._settings is before
    assert before is not None
    assert before.held.successor is None


async def test_a_connection_goes_over_with_its_next_request_and_who_comes_in_begins_with_it(stage: Stage) -> None:
    stage.backend(serve(ok()))
    await stage.open(http=HttpConfig(error_pages=((400, "old"),)))
    waiting = await stage.client()
    await ask(waiting)
    await stage.reload(listening(stage, http=HttpConfig(error_pages=((400, "new"),))))
    assert await pages(waiting) == b"new"
    assert await pages(await stage.client()) == b"new"


async def test_over_many_reloads_a_connection_goes_over_to_the_last_one(stage: Stage) -> None:
    stage.backend(serve(ok()))
    await stage.open()
    client = await stage.client()
    await ask(client)
    for number in range(5):
        await stage.reload(listening(stage, http=HttpConfig(error_pages=((400, f"page {number}"),))))
    (acceptor,) = stage.listener_server._acceptors.values()
    # None of those in between is kept for a connection that came before them.
    assert [each for each in acceptor._settings_in_use if each.held.successor not in (None, acceptor._settings)] == []
    assert len(acceptor._settings_in_use) == 2
    assert await pages(client) == b"page 4"


async def test_a_connection_that_stays_keeps_nothing_of_what_was_served_in_between(stage: Stage) -> None:
    stage.backend(serve(ok(b"served")))
    await stage.open()
    client = await stage.client()
    assert await ask(client) == b"served"
    (acceptor,) = stage.listener_server._acceptors.values()
    settings_in_use = []
    for turn in range(4):
        await stage.reload(listening(stage, timeouts=Timeouts(read_s=10.0 + turn)))
        assert acceptor._settings is not None
        settings_in_use.append(weakref.ref(acceptor._settings))
    gc.collect()
    assert [settings() is not None for settings in settings_in_use] == [False, False, False, True]
    assert await ask(client) == b"served"


async def test_a_large_configuration_is_changed_over_to_in_small_steps(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Pause, "SPAN_S", 0.0)  # a turn of the loop at every opportunity
    addresses = [Address("127.0.0.1", 1000 + number) for number in range(4)]
    await stage.open()
    await stage.reload(serving(stage, *addresses))
    turns = 0
    is_over = False

    async def turn() -> None:
        nonlocal turns
        while not is_over:
            turns += 1
            await asyncio.sleep(0)

    turning = asyncio.ensure_future(turn())
    config = serving(stage, *addresses[:3])
    backends = tuple(replace(backend, weight=2) for backend in config.pools[0].backends)
    await stage.reload(replace(config, pools=(replace(config.pools[0], backends=backends),)))
    is_over = True
    await turning
    assert turns >= 3 + 1 + 4  # each that stays, the one that goes, and what is done for all of them at once


async def test_a_request_under_way_ends_with_what_it_began_with(stage: Stage) -> None:
    go = asyncio.Event()
    seen: list[str | None] = []

    async def slow(wire: Wire) -> None:
        while (request := await wire.request()) is not None:
            seen.append(request.get("via"))
            await go.wait()
            await wire.send(ok(b"slow"))

    stage.backend(slow)
    fast = stage.backend(serve(ok(b"fast")))
    await stage.open()
    await stage.reload(serving(stage, stage.backends[0].address))
    client = await stage.client()
    await client.send(get() + get("/next"))  # pipelined: the second is another request
    await until(lambda: seen)
    await stage.reload(serving(stage, fast.address))
    go.set()
    assert [(await client.reply()).body for _ in range(2)] == [b"slow", b"fast"]
    await until(lambda: not stage.listener_server.leaving)


async def test_what_a_backend_is_told_of_a_client_follows_the_listener(stage: Stage) -> None:
    seen: list[str | None] = []

    async def telling(wire: Wire) -> None:
        while (request := await wire.request()) is not None:
            seen.append(request.get("x-forwarded-for"))
            await wire.send(ok())

    stage.backend(telling)
    await stage.open(http=HttpConfig(forwarded="none"))
    client = await stage.client()
    await ask(client)
    await stage.reload(listening(stage, http=HttpConfig()))
    await ask(client)
    assert seen == [None, "127.0.0.1"]


async def test_timeouts_of_the_next_request_are_the_new_ones(stage: Stage) -> None:
    stage.backend(serve(ok()))
    await stage.open(timeouts=Timeouts(keepalive_s=600.0))
    client = await stage.client()
    await ask(client)
    await stage.reload(listening(stage, timeouts=Timeouts(keepalive_s=0.2)))
    await ask(client)
    assert await client.ending() == "eof"


async def test_a_socket_that_is_closed_refuses_who_comes_and_ends_who_is_in_after_one_more_answer(stage: Stage) -> None:
    stage.backend(serve(ok()))
    await stage.open()
    old, client = stage.address, await stage.client()
    await ask(client)
    sock, stage.address = another(stage)
    await stage.reload(stage.snapshot.config, [("main", sock)])
    assert await is_refused(stage, old)
    assert await ask(await stage.client()) == b"ok"
    await client.send(get())
    assert (await client.reply()).get("connection") == "close"
    assert await client.ending() == "eof"


async def test_a_connection_that_the_kernel_had_taken_when_its_socket_closed_is_served(stage: Stage) -> None:
    stage.backend(serve(ok()))
    await stage.open()
    client = await stage.client()
    client.send_now(get())
    sock, stage.address = another(stage)
    await stage.reload(stage.snapshot.config, [("main", sock)])
    assert (await client.reply()).body == b"ok"


async def test_sockets_of_one_listener_come_and_go(stage: Stage) -> None:
    stage.backend(serve(ok()))
    await stage.open()
    first, where = stage.sockets[0][1], stage.address
    sock, other = another(stage)
    await stage.reload(stage.snapshot.config, [("main", sock), ("main", first)])
    for stage.address in (where, other):
        assert await ask(await stage.client()) == b"ok"
    await stage.reload(stage.snapshot.config, [("main", sock)])
    assert first.fileno() == -1
    assert await is_refused(stage, where)


async def test_a_socket_may_lead_to_another_listener(stage: Stage) -> None:
    stage.backend(serve(ok()))
    await stage.open(http=HttpConfig(error_pages=((400, "old"),)))
    client = await stage.client()
    await ask(client)
    listener = replace(stage.snapshot.config.listeners[0], name="other", http=HttpConfig(error_pages=((400, "other"),)))
    config = replace(stage.snapshot.config, listeners=(listener,))
    await stage.reload(config, [("other", stage.sockets[0][1])])
    assert await pages(client) == b"other"


async def test_from_http_to_tcp_and_back_everybody_ends_in_the_mode_that_it_came_in(stage: Stage) -> None:
    async def echo(wire: Wire) -> None:
        while data := await wire.some():
            await wire.send(ok() if data.startswith(b"GET") else data)

    stage.backend(echo)
    await stage.open()
    http = await stage.client()
    assert await ask(http) == b"ok"
    await stage.reload(listening(stage, mode=Mode.TCP))
    tcp = await stage.client()
    await tcp.send(b"hello")
    assert await tcp.exactly(5) == b"hello"
    await http.send(get())
    assert (await http.reply()).get("connection") == "close"
    await stage.reload(listening(stage, mode=Mode.HTTP))
    await tcp.send(b"still here")
    assert await tcp.exactly(10) == b"still here"
    assert await ask(await stage.client()) == b"ok"


async def test_a_listener_that_is_retried_for_is_so_from_the_next_request_on(stage: Stage) -> None:
    refusing = stage.refusing()
    stage.backend(serve(ok()))
    await stage.open(refusing)
    config = stage.snapshot.config
    await stage.reload(replace(config, pools=(replace(config.pools[0], retry=Retry(enabled=True, max_attempts=3)),)))
    (listener,) = stage.snapshot.listeners
    (acceptor,) = stage.listener_server._acceptors.values()
    assert acceptor._settings is not None
    assert acceptor._settings.held.retrying is listener.retrying is not None


@pytest.mark.parametrize("count", [1, 20])
async def test_reloads_under_traffic_fail_no_request(stage: Stage, count: int) -> None:
    first, second = stage.backend(serve(ok(b"1"))), stage.backend(serve(ok(b"2")))
    await stage.open()
    over = False
    answers: list[bytes] = []

    async def ask_on() -> None:
        client = await stage.client()
        while not over:
            answers.append(await ask(client))

    async with asyncio.TaskGroup() as group:
        for _ in range(5):
            group.create_task(ask_on())
        for number in range(count):
            asked = len(answers)
            await stage.reload(serving(stage, (first, second)[number % 2].address))
            await until(lambda asked=asked: len(answers) > asked + 5)
        over = True
    assert set(answers) <= {b"1", b"2"}
    await until(lambda: stage.cell(counters.CONNECTIONS) == 5)
    await until(lambda: not stage.listener_server.leaving)


# --- room -------------------------------------------------------------------------------------------------


def held(go: asyncio.Event) -> Script:
    """A backend that answers when it is told to."""

    async def script(wire: Wire) -> None:
        while await wire.request() is not None:
            await go.wait()
            await wire.send(ok())

    return script


def open_clients(stage: Stage) -> int:
    return len(stage.worker.connections)


@contextmanager
def no_descriptors() -> Iterator[None]:
    """Not one more can be opened."""
    lowest = os.dup(0)
    os.close(lowest)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def full(stage: Stage, how: str, most: int) -> None:
    """From now on there is room for so many clients."""
    if how == "max_clients":
        await stage.reload(listening(stage, max_clients=most))
    else:
        stage.worker.descriptors.most = most


HOW = ["max_clients", "descriptors"]


@pytest.mark.parametrize("how", HOW)
async def test_who_finds_no_room_waits_and_is_served_in_turn(stage: Stage, how: str) -> None:
    go = asyncio.Event()
    stage.backend(held(go))
    await stage.open()
    await full(stage, how, 2)
    clients = [await stage.client() for _ in range(6)]
    for client in clients:
        await client.send(get())
    await until(lambda: stage.cell(counters.PAUSED) == 1)
    assert open_clients(stage) == 2
    assert stage.cell(counters.PAUSES_FULL if how == "max_clients" else counters.PAUSES_SHORT) == 1
    go.set()
    for client in clients:
        assert (await client.reply()).body == b"ok"
        client.close()
    await until(lambda: stage.cell(counters.PAUSED) == 0)
    assert stage.whys == {Why.OK: 6}


@pytest.mark.parametrize("how", HOW)
async def test_in_tcp_mode_who_finds_no_room_waits_and_is_served_in_turn(stage: Stage, how: str) -> None:
    stage.backend(serve(ok()))
    await stage.open(mode=Mode.TCP)
    await full(stage, how, 2)
    clients = [await stage.client() for _ in range(5)]
    for client in clients:
        await client.send(get())
    await until(lambda: stage.cell(counters.PAUSED) == 1)
    for client in clients:
        assert (await client.reply()).body == b"ok"
        assert open_clients(stage) <= 2
        client.close()


async def test_on_a_unix_socket_who_finds_no_room_waits(stage: Stage) -> None:
    stage.backend(serve(ok()))
    await stage.open(listen=str(stage.folder / "front.sock"))
    await full(stage, "descriptors", 1)
    for client in [await stage.client() for _ in range(3)]:
        assert await ask(client) == b"ok"


@pytest.mark.parametrize("how", HOW)
async def test_the_oldest_idle_client_makes_room_at_once(stage: Stage, how: str) -> None:
    stage.backend(serve(ok()))
    await stage.open()
    first, second = await stage.client(), await stage.client()
    for client in (first, second):
        assert await ask(client) == b"ok"
    await full(stage, how, 2)
    third = await stage.client()
    assert await ask(third) == b"ok"
    assert await first.ending() == "eof"
    assert stage.cell(counters.CLIENTS_RECLAIMED) == 1
    assert await ask(second) == b"ok"


async def test_a_client_that_has_just_come_is_not_idle(stage: Stage) -> None:
    stage.backend(serve(ok()))
    await stage.open()
    await full(stage, "max_clients", 1)
    first = await stage.client()
    await until(lambda: open_clients(stage) == 1)
    second = await stage.client()
    second.send_now(get())
    await until(lambda: stage.cell(counters.PAUSED) == 1)
    assert await ask(first) == b"ok"
    assert (await second.reply()).body == b"ok"


async def test_while_callers_wait_a_reply_is_the_last_one_so_that_all_are_served(stage: Stage) -> None:
    go = asyncio.Event()
    stage.backend(held(go))
    await stage.open()
    await full(stage, "max_clients", 1)
    first, second = await stage.client(), await stage.client()
    for client in (first, second):
        client.send_now(get())
    await until(lambda: stage.cell(counters.PAUSED) == 1)
    go.set()
    assert (await first.reply()).get("connection") == "close"
    assert (await second.reply()).get("connection") is None
    assert await ask(second) == b"ok"


async def test_a_limit_may_come_and_go_with_a_reload(stage: Stage) -> None:
    go = asyncio.Event()
    stage.backend(held(go))
    await stage.open()
    await full(stage, "max_clients", 1)
    clients = [await stage.client() for _ in range(3)]
    for client in clients:
        await client.send(get())
    await until(lambda: stage.cell(counters.PAUSED) == 1)
    await full(stage, "max_clients", 0)
    await until(lambda: open_clients(stage) == 3)
    go.set()
    for client in clients:
        assert (await client.reply()).body == b"ok"


async def test_a_listener_of_another_name_takes_over_who_waits(stage: Stage) -> None:
    go = asyncio.Event()
    stage.backend(held(go))
    await stage.open()
    await full(stage, "max_clients", 1)
    clients = [await stage.client() for _ in range(3)]
    for client in clients:
        await client.send(get())
    await until(lambda: stage.cell(counters.PAUSED) == 1)
    config = stage.snapshot.config
    renamed = replace(config, listeners=(replace(config.listeners[0], name="other", max_clients=0),))
    await stage.reload(renamed, [("other", stage.sockets[0][1])])
    await until(lambda: open_clients(stage) == 3)
    go.set()
    for client in clients:
        assert (await client.reply()).body == b"ok"
        client.close()
    await until(lambda: list(stage.listener_server._clients) == ["other"])


async def test_when_the_kernel_has_no_descriptor_callers_wait_until_it_has(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    stage.backend(serve(ok()))
    await stage.open()
    sock = socket.socket()
    sock.setblocking(False)
    client = Wire(sock)
    stage.wires.append(client)
    with no_descriptors():
        await stage.loop.sock_connect(sock, (stage.address.host, stage.address.port))
        await until(lambda: stage.cell(counters.PAUSED) == 1)
        cpu = os.times().user
        await asyncio.sleep(0.3)  # what would spin meanwhile
        assert os.times().user - cpu < 0.2
    assert await ask(client) == b"ok"
    said = [record.getMessage() for record in caplog.records if "cannot accept" in record.getMessage()]
    assert said == ["listener main: cannot accept: too many open files; callers wait in the backlog"]


async def test_many_that_come_at_once_are_all_taken(stage: Stage) -> None:
    stage.backend(serve(ok()))
    await stage.open()
    clients = [await stage.client() for _ in range(300)]
    assert [await ask(client) for client in clients] == [b"ok"] * 300
    assert stage.cell(counters.CONNECTIONS) == 300


async def test_parked_connections_give_way_to_those_that_are_needed(stage: Stage) -> None:
    for number in range(4):
        stage.backend(serve(ok(b"%d" % number)))
    await stage.open()
    client = await stage.client()
    stage.worker.descriptors.most = 2
    assert [await ask(client) for _ in range(4)] == [b"0", b"1", b"2", b"3"]
    assert stage.worker.descriptors.upstreams <= 2
    assert await ask(client) == b"0"


async def test_a_drain_takes_whoever_the_kernel_has_taken(stage: Stage) -> None:
    stage.backend(serve(ok()))
    await stage.open()
    clients = [await stage.client() for _ in range(100)]
    for client in clients:
        client.send_now(get())
    draining = asyncio.ensure_future(stage.listener_server.drain(10.0))
    for client in clients:
        assert (await client.reply()).body == b"ok"
    assert await draining == 0


async def test_a_tunnel_keeps_its_place_to_its_end(stage: Stage) -> None:
    async def agreeing(wire: Wire) -> None:
        await wire.request()
        await wire.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: raw\r\n\r\n")
        await wire.send(await wire.exactly(5))

    stage.backend(agreeing)
    await stage.open()
    await full(stage, "max_clients", 1)
    tunnel = await stage.client()
    await tunnel.send(get("/", "Connection: upgrade", "Upgrade: raw"))
    assert (await tunnel.reply()).status == 101
    other = await stage.client()
    other.send_now(get())
    await until(lambda: stage.cell(counters.PAUSED) == 1)
    await tunnel.send(b"hello")
    assert await tunnel.exactly(5) == b"hello"
    tunnel.close()
    await until(lambda: stage.cell(counters.PAUSED) == 0)
    other.close()
