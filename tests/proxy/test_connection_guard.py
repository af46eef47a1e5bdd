"""The connection guard on real connections."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import socket
from dataclasses import replace

import pytest
from rawclient import Wire, get, ok
from stage import Stage, is_reset, serve, until

from balance.config.model import ConnectionProtection, Timeouts
from balance.model import Mode, Why
from balance.runtime import counters

PLENTY = 1000


def at_most(connections: int = PLENTY, rate: int = PLENTY, read_timeout_s: float = 10.0) -> ConnectionProtection:
    return ConnectionProtection(True, connections, rate, read_timeout_s)


async def is_served(client: Wire) -> bool:
    try:
        await client.send(get())
        return (await client.reply()).body == b"ok"
    except ConnectionError:
        return False


@pytest.mark.parametrize("mode", list(Mode))
async def test_who_has_too_many_connections_is_reset(stage: Stage, mode: Mode, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "balance.worker")
    stage.backend(serve(ok()))
    await stage.open(mode=mode, protection=at_most(2))
    first, second = await stage.client(), await stage.client()
    assert await is_served(first)
    assert await is_served(second)
    for _ in range(3):
        assert await is_reset(stage)
    assert stage.whys[Why.TOO_MANY_CONNECTIONS] == 3
    slot = stage.snapshot.listeners[0].slot
    assert stage.cell(counters.block(slot) + counters.REFUSED_COUNT) == 3
    assert await is_served(first)
    second.close()
    await until(lambda: stage.worker.descriptors.clients == 1)
    assert await is_served(await stage.client())  # its place is free again
    assert [record.getMessage() for record in caplog.records] == [
        "listener main: 127.0.0.1 has 2 connections; one more is reset"
    ]


async def test_who_opens_too_many_a_second_is_reset(stage: Stage) -> None:
    stage.backend(serve(ok()))
    await stage.open(protection=at_most(rate=3))
    ended = [await is_reset(stage) if number > 2 else not await is_served(await stage.client()) for number in range(6)]
    assert ended == [False] * 3 + [True] * 3
    assert stage.whys[Why.CONNECTION_RATE] == 3
    await until(
        lambda: stage.worker.client_counts.opened(stage.worker.client_counts.place(b"\x7f\0\0\1"), stage.loop.time()) < 3
    )
    assert await is_served(await stage.client())


async def test_the_guard_counts_each_address_by_itself(stage: Stage) -> None:
    stage.backend(serve(ok()))
    await stage.open(protection=at_most(1))
    assert await is_served(await stage.client())
    sock = socket.socket()
    sock.bind(("127.0.0.2", 0))
    sock.setblocking(False)
    await stage.loop.sock_connect(sock, ("127.0.0.1", stage.address.port))
    other = Wire(sock)
    assert await is_served(other)
    other.close()


@pytest.mark.parametrize("listen", ["trusted", "unix", "off"])
async def test_those_who_stand_for_many_have_no_bound(stage: Stage, listen: str) -> None:
    stage.backend(serve(ok()))
    await stage.open(
        listen=str(stage.folder / "front.sock") if listen == "unix" else "127.0.0.1",
        trusted=(ipaddress.ip_network("127.0.0.0/8"),) if listen == "trusted" else (),
        protection=ConnectionProtection(listen != "off", 1, 1),
    )
    for _ in range(4):
        assert await is_served(await stage.client())


async def test_a_slow_head_and_a_slow_body_have_the_guards_time(stage: Stage) -> None:
    stage.backend(serve(ok()))
    await stage.open(protection=at_most(read_timeout_s=0.1), timeouts=Timeouts(client_header_s=30.0, client_body_s=0.0))
    silent, head, body = await stage.client(), await stage.client(), await stage.client()
    await head.send(b"GET / HT")
    await body.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab")
    async with asyncio.timeout(5.0):  # half of the default
        assert await silent.ending() == "eof"
        assert (await head.reply()).status == 408
        assert (await body.reply()).status == 408


def test_a_shorter_timeout_stays_and_zero_leaves_all() -> None:
    timeouts = Timeouts(client_header_s=2.0, client_body_s=60.0)
    assert at_most(read_timeout_s=5.0).bounded(timeouts) == replace(timeouts, client_body_s=5.0)
    assert at_most(read_timeout_s=0.0).bounded(timeouts) is timeouts
    assert ConnectionProtection(False).bounded(timeouts) is timeouts


async def test_a_reload_turns_it_on_and_off(stage: Stage) -> None:
    stage.backend(serve(ok()))
    await stage.open()
    config = stage.snapshot.config
    guarded = replace(config, listeners=(replace(config.listeners[0], protection=at_most(1)),))
    before = await stage.client()
    assert await is_served(before)
    await stage.reload(guarded)
    counted = await stage.client()
    assert await is_served(counted)  # who came before the guard is not counted
    assert await is_reset(stage)
    await stage.reload(config)
    assert await is_served(await stage.client())
    counted.close()
    await until(lambda: stage.worker.descriptors.clients == 2)
    await stage.reload(guarded)
    assert await is_served(await stage.client())
    assert await is_reset(stage)


async def test_a_guarded_client_gives_way_when_the_listener_is_full(stage: Stage) -> None:
    stage.backend(serve(ok()))
    await stage.open(protection=at_most(5))
    config = stage.snapshot.config
    await stage.reload(replace(config, listeners=(replace(config.listeners[0], max_clients=1),)))
    first = await stage.client()
    assert await is_served(first)
    assert await is_served(await stage.client())
    assert await first.ending() == "eof"


async def test_places_are_given_back_whatever_a_connection_became(stage: Stage) -> None:
    stage.backend(serve(ok()))
    await stage.open(protection=at_most(50))
    counts = stage.worker.client_counts
    place = counts.place(b"\x7f\0\0\1")
    clients = [await stage.client() for _ in range(20)]
    await until(lambda: counts.connections(place, stage.loop.time()) == 20)
    for number, client in enumerate(clients):
        if number % 2:
            await client.send(b"garbage\r\n\r\n")
            await client.has_ended()
        client.close()
    await until(lambda: counts.connections(place, stage.loop.time()) == 0)
