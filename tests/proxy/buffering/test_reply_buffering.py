"""Replies that are taken at the backend's speed: the backend is free while a slow client reads, and nothing is lost or late."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from rawclient import Ended, Wire, chunked, get, ok, post
from scripts import CHUNKED, failures
from stage import Stage, serve, until

from balance.config.model import HttpConfig, Timeouts
from balance.config.route_model import Buffering
from balance.model import Why
from balance.proxy.http.client import HttpClient

BODY = bytes(range(256)) * 16_000  # 4 MB; the kernel and the transport hold a part of it
SIZE = 8_000_000
HTTP = HttpConfig(buffering=Buffering(response_bytes=SIZE))
SMALL = 20_000  # bytes of the sockets' buffers, so that a client that does not read is soon noticed


@asynccontextmanager
async def nothing_stays_held(stage: Stage) -> AsyncIterator[None]:
    yield
    await until(lambda: not stage.worker.buffered.held, "all is released")


async def slow_client(stage: Stage, request: bytes = b"") -> Wire:
    """A client that has asked and does not read."""
    client = await stage.client(receive_buffer=SMALL)
    await client.send(request or get())
    return client


def active(stage: Stage) -> int:
    return sum(backend.load.active for backend in stage.backend_states)


async def test_backend_is_free_while_a_slow_client_reads(stage: Stage) -> None:
    backend = stage.backend(serve(ok(BODY)))
    await stage.open(http=HTTP, send_buffer=SMALL, limits=[1])
    async with nothing_stays_held(stage):
        client = await slow_client(stage)
        await until(lambda: stage.whys == {Why.OK: 1}, "the backend is done")
        assert active(stage) == 0
        assert stage.worker.buffered.held > 1_000_000
        other = await stage.client()
        await other.send(get())
        assert (await other.reply()).body == BODY
        assert len(backend.wires) == 1
        assert (await client.reply()).body == BODY
        await client.send(get())
        assert (await client.reply()).body == BODY


@pytest.mark.parametrize("way", ["chunks", "close", "http10", "connection_close"])
async def test_every_framing_is_complete(stage: Stage, way: str) -> None:
    async def script(wire: Wire) -> None:
        while await wire.request() is not None:
            if way in ("chunks", "http10"):
                await wire.send(CHUNKED + chunked(*(BODY[at : at + 50_000] for at in range(0, len(BODY), 50_000))))
            elif way == "close":
                await wire.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + BODY)
                return
            else:
                await wire.send(ok(BODY))

    stage.backend(script)
    await stage.open(http=HTTP, send_buffer=SMALL)
    request = get("/", "Connection: close") if way == "connection_close" else get()
    async with nothing_stays_held(stage):
        client = await slow_client(stage, request.replace(b"1.1", b"1.0") if way == "http10" else request)
        await until(lambda: stage.whys == {Why.OK: 1}, "the backend is done")
        reply = await client.head()
        assert reply is not None
        await asyncio.sleep(0.01)
        await client.body(reply, is_reply=True)
        assert reply.body == BODY


async def test_beyond_the_limit_the_backend_waits_as_without_buffering(stage: Stage) -> None:
    size = 30_000_000
    sent = 0

    async def script(wire: Wire) -> None:
        nonlocal sent
        await wire.request()
        await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        for _ in range(size // 100_000):
            await wire.send(b"x" * 100_000)
            sent += 100_000

    stage.backend(script)
    await stage.open(http=replace(HTTP, buffering=Buffering(response_bytes=1_000_000)), send_buffer=SMALL)
    async with nothing_stays_held(stage):
        client = await slow_client(stage)
        await until(lambda: stage.worker.buffered.held >= 1_000_000, "the buffer is full")
        before = -1
        while before != sent:
            before = sent
            await asyncio.sleep(0.1)
        assert sent < size / 2
        assert stage.worker.buffered.held < 1_000_000 + 300_000
        peak = 0
        reply = await client.head()
        assert reply is not None
        left = size
        while left:
            left -= len(await client.some())
            peak = max(peak, stage.worker.buffered.held)
        assert peak < 1_000_000 + 300_000


async def test_without_room_in_the_worker_backends_wait_and_nothing_fails(stage: Stage) -> None:
    stage.backend(serve(ok(BODY)))
    await stage.open(http=replace(HTTP, buffering=Buffering(0, SIZE, total_bytes=1_000_000)), send_buffer=SMALL)
    async with nothing_stays_held(stage):
        clients = [await slow_client(stage) for _ in range(3)]
        await until(lambda: stage.worker.buffered.held >= 1_000_000, "the budget is used up")
        assert active(stage)
        replies = await asyncio.gather(*(client.reply() for client in clients))
        assert all(reply.body == BODY for reply in replies)
        assert stage.worker.buffered.held < 1_000_000 + 3 * 300_000
    assert stage.whys == {Why.OK: 3}


@pytest.mark.parametrize("is_whole", [True, False])
@pytest.mark.parametrize("way", ["close", "reset"])
async def test_client_that_leaves_frees_what_it_had_not_read(stage: Stage, way: str, is_whole: bool) -> None:
    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.send(ok(BODY)[: None if is_whole else -1])
        await wire.has_ended()

    stage.backend(script)
    await stage.open(http=HTTP, send_buffer=SMALL)
    async with nothing_stays_held(stage):
        client = await slow_client(stage)
        await until(lambda: stage.worker.buffered.held > 1_000_000, "it is buffered")
        if is_whole:
            await until(lambda: stage.whys, "the backend is done")
        getattr(client, way)()
        await until(lambda: not stage.worker.connections, "it is gone")
    assert stage.whys == {Why.OK if is_whole else Why.CLIENT_ABORT: 1}
    assert failures(stage) == [0]


@pytest.mark.parametrize("request_bytes", [get(), get("/", "Connection: close")])
async def test_client_that_never_reads_is_given_up_after_the_write_timeout(stage: Stage, request_bytes: bytes) -> None:
    stage.backend(serve(ok(BODY)))
    await stage.open(http=HTTP, send_buffer=SMALL, timeouts=Timeouts(write_s=0.2, keepalive_s=60))
    async with nothing_stays_held(stage):
        client = await slow_client(stage, request_bytes)
        await until(lambda: stage.whys == {Why.OK: 1}, "the backend is done")
        await until(lambda: not stage.worker.connections, "it is given up")
        with pytest.raises((Ended, ConnectionResetError)):
            await client.reply()


async def test_client_that_reads_slowly_is_waited_for(stage: Stage) -> None:
    stage.backend(serve(ok(BODY)))
    await stage.open(http=HTTP, send_buffer=SMALL, timeouts=Timeouts(write_s=0.4, keepalive_s=0.4))
    async with nothing_stays_held(stage):
        client = await slow_client(stage)
        reply = await client.head()
        assert reply is not None
        for _ in range(12):
            await asyncio.sleep(0.1)
            reply.body += await client.exactly(100_000)
        reply.body += await client.exactly(len(BODY) - len(reply.body))
        assert reply.body == BODY
        await client.send(get())
        assert (await client.head()) is not None


async def test_idle_client_is_closed_after_keepalive_from_its_last_byte_on(stage: Stage) -> None:
    stage.backend(serve(ok(BODY)))
    await stage.open(http=HTTP, send_buffer=SMALL, timeouts=Timeouts(keepalive_s=0.2))
    client = await slow_client(stage)
    await until(lambda: stage.whys == {Why.OK: 1}, "the backend is done")
    assert (await client.reply()).body == BODY
    assert await client.ending() == "eof"


async def test_a_reply_that_breaks_off_does_not_look_complete(stage: Stage) -> None:
    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.send(ok(BODY)[:-1])

    stage.backend(script)
    await stage.open(http=HTTP, send_buffer=SMALL)
    async with nothing_stays_held(stage):
        client = await slow_client(stage)
        await until(lambda: stage.whys == {Why.RESET_MID_RESPONSE: 1}, "it breaks off")
        with pytest.raises(Ended) as ended:
            await client.reply()
        assert ended.value.part == BODY[:-1]


async def test_a_reply_until_the_close_that_breaks_off_ends_with_a_reset(stage: Stage) -> None:
    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.send(CHUNKED + b"%x\r\n" % len(BODY) + BODY)

    stage.backend(script)
    await stage.open(http=HTTP, send_buffer=SMALL)
    async with nothing_stays_held(stage):
        client = await slow_client(stage, get().replace(b"1.1", b"1.0"))
        await until(lambda: stage.whys == {Why.RESET_MID_RESPONSE: 1}, "it breaks off")
        assert await client.head()
        assert await client.exactly(len(BODY)) == BODY
        assert await client.ending() == "reset"


async def test_a_reply_before_the_end_of_the_body_arrives_whole(stage: Stage) -> None:
    """We close after it, and go on reading what the client sends meanwhile, so that no reset destroys it."""

    async def script(wire: Wire) -> None:
        await wire.head()
        await wire.send(ok(BODY))
        await wire.has_ended()

    stage.backend(script)
    await stage.open(http=HTTP, send_buffer=SMALL)
    async with nothing_stays_held(stage):
        client = await slow_client(stage, post(b"x" * 1000)[:-500])
        await until(lambda: stage.whys == {Why.OK: 1}, "the backend is done")
        await client.send(b"x" * 100)
        assert (await client.reply()).body == BODY
        assert await client.ending() == "eof"


async def test_events_pass_at_once(stage: Stage) -> None:
    received = asyncio.Event()

    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        for number in range(4):
            await wire.send(chunked(b"data: %d\n\n" % number)[:-5])
            await received.wait()
            received.clear()
        await wire.send(b"0\r\n\r\n")

    stage.backend(script)
    await stage.open(http=HTTP)
    client = await stage.client()
    await client.send(get())
    await client.head()
    for number in range(4):
        assert b"data: %d" % number in await client.until(b"\n\n\r\n")
        received.set()
    assert stage.worker.buffered.held == 0


async def test_a_tunnel_is_held_back_as_without_buffering(stage: Stage) -> None:
    sent = 0

    async def script(wire: Wire) -> None:
        nonlocal sent
        await wire.head()
        await wire.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
        for _ in range(100):
            await wire.send(b"x" * 100_000)
            sent += 100_000

    stage.backend(script)
    await stage.open(http=HTTP, send_buffer=SMALL)
    client = await slow_client(stage, get("/", "Connection: Upgrade", "Upgrade: x"))
    before = -1
    while before != sent or not sent:
        before = sent
        await asyncio.sleep(0.1)
    assert sent < 10_000_000
    assert stage.worker.buffered.held == 0
    assert await client.head()
    assert await client.exactly(10_000_000) == b"x" * 10_000_000


async def test_a_drain_waits_for_the_clients_last_byte(stage: Stage) -> None:
    stage.backend(serve(ok(BODY)))
    await stage.open(http=HTTP, send_buffer=SMALL)
    async with nothing_stays_held(stage):
        client = await slow_client(stage)
        await until(lambda: stage.whys == {Why.OK: 1}, "the backend is done")
        draining = asyncio.get_running_loop().create_task(stage.listener_server.drain(10.0))
        await asyncio.sleep(0.1)
        assert not draining.done()
        assert (await client.reply()).body == BODY
        assert await client.ending() == "eof"
        assert await draining == 0


async def test_the_end_of_a_drain_cuts_who_still_reads(stage: Stage) -> None:
    stage.backend(serve(ok(BODY)))
    await stage.open(http=HTTP, send_buffer=SMALL)
    async with nothing_stays_held(stage):
        await slow_client(stage)
        await until(lambda: stage.whys == {Why.OK: 1}, "the backend is done")
        assert await stage.listener_server.drain(0.2) == 1


async def test_who_still_reads_is_not_idle(stage: Stage) -> None:
    stage.backend(serve(ok(BODY)))
    await stage.open(http=HTTP, send_buffer=SMALL)
    client = await slow_client(stage)
    await until(lambda: stage.whys == {Why.OK: 1}, "the backend is done")
    (connection,) = stage.worker.connections
    assert isinstance(connection, HttpClient)
    assert connection.idle_since(1e9) == float("inf")
    assert not connection.reclaim()
    assert (await client.reply()).body == BODY
    await until(lambda: connection.idle_since(1e9) < 1e9, "it is idle")


async def test_pipelined_requests_are_answered_one_buffer_at_a_time(stage: Stage) -> None:
    stage.backend(serve(ok(BODY)))
    await stage.open(http=HTTP, send_buffer=SMALL)
    async with nothing_stays_held(stage):
        client = await slow_client(stage, get() * 3)
        await until(lambda: stage.whys == {Why.OK: 1}, "the backend is done with the first")
        await asyncio.sleep(0.05)
        assert stage.worker.buffered.held <= len(BODY)
        assert stage.whys == {Why.OK: 1}
        for _ in range(3):
            assert (await client.reply()).body == BODY
