"""A listening socket over reloads: who comes in is served as configured now, and who is in as it began."""

from __future__ import annotations

import asyncio
import gc
import socket
import weakref
from dataclasses import replace
from typing import Any

import pytest
from rawclient import Wire, get, ok
from stage import Stage, serve, until

from balance.config.model import BackendConfig, Config, HttpConfig, Retry, Timeouts
from balance.model import Address, Mode
from balance.proxy.traffic import Pause
from balance.runtime import cells


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
    (door,) = stage.traffic._doors.values()
    before = door._entry
    await stage.reload(stage.snapshot.config)
    assert door._entry is before
    assert before is not None
    assert before.successor is None


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
    (door,) = stage.traffic._doors.values()
    # None of those in between is kept for a connection that came before them.
    assert [entry for entry in door._entries if entry.successor not in (None, door._entry)] == []
    assert len(door._entries) == 2
    assert await pages(client) == b"page 4"


async def test_a_connection_that_stays_keeps_nothing_of_what_was_served_in_between(stage: Stage) -> None:
    stage.backend(serve(ok(b"served")))
    await stage.open()
    client = await stage.client()
    assert await ask(client) == b"served"
    (door,) = stage.traffic._doors.values()
    entries = []
    for turn in range(4):
        await stage.reload(listening(stage, timeouts=Timeouts(read_s=10.0 + turn)))
        assert door._entry is not None
        entries.append(weakref.ref(door._entry))
    gc.collect()
    assert [entry() is not None for entry in entries] == [False, False, False, True]
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
    await until(lambda: not stage.traffic.leaving)


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


async def test_a_door_that_is_closed_refuses_who_comes_and_ends_who_is_in_after_one_more_answer(stage: Stage) -> None:
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


async def test_a_connection_that_the_kernel_had_taken_when_its_door_closed_is_served(stage: Stage) -> None:
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


async def test_a_door_may_lead_to_another_listener(stage: Stage) -> None:
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
    (door,) = stage.traffic._doors.values()
    assert door._entry is not None
    assert door._entry.retrying is listener.retrying is not None


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
    await until(lambda: stage.cell(cells.CONNECTIONS) == 5)
    await until(lambda: not stage.traffic.leaving)
