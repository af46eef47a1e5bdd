"""What follows a 101: bytes unparsed both ways, from the first to the last, and both sides gone when either leaves."""

import asyncio
import json
import os

import pytest
import websockets
from rawclient import Message, Wire, get, ok, post
from routed import http, to
from stage import Stage, until
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection
from websockets.asyncio.server import serve as serve_websockets

from balance.config.model import HttpConfig, Timeouts
from balance.model import Address, Why
from balance.proxy.http.client import HttpClient
from balance.runtime import counters

UPGRADE = get("/ws", "Connection: Upgrade", "Upgrade: websocket")
SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"


async def echo(wire: Wire) -> None:
    await wire.head()
    await wire.send(SWITCHING)
    while data := await wire.some(1 << 18):
        await wire.send(data)


async def opened(stage: Stage) -> Wire:
    client = await stage.client()
    await client.send(UPGRADE)
    reply = await client.head()
    assert reply is not None and reply.status == 101
    assert reply.get("upgrade") == "websocket"
    assert (reply.get("connection") or "").lower() == "upgrade"
    return client


# --- WebSocket as users have it ------------------------------------------------------------------------------


async def test_websocket_messages_pass_both_ways(stage: Stage) -> None:
    async def talk(connection: ServerConnection) -> None:
        assert connection.request is not None
        await connection.send(connection.request.headers["X-Forwarded-For"])
        async for message in connection:
            await connection.send(message)

    async with serve_websockets(talk, "127.0.0.1", 0, max_size=None) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        await stage.open(Address("127.0.0.1", port))
        async with connect(f"ws://127.0.0.1:{stage.address.port}/chat", max_size=None) as client:
            assert await client.recv() == "127.0.0.1"
            for message in ("hello", b"bytes", "x" * 1_000_000, os.urandom(3_000_000)):
                await client.send(message)
                assert await client.recv() == message
            await client.ping()
            assert stage.active == 1
        assert client.close_code == 1000
        await stage.settled()


async def test_websocket_that_the_server_closes_is_closed_with_its_reason(stage: Stage) -> None:
    async def talk(connection: ServerConnection) -> None:
        await connection.close(4001, "go away")

    async with serve_websockets(talk, "127.0.0.1", 0) as server:
        await stage.open(Address("127.0.0.1", next(iter(server.sockets)).getsockname()[1]))
        async with connect(f"ws://127.0.0.1:{stage.address.port}/") as client:
            with pytest.raises(websockets.ConnectionClosedError):
                await client.recv()
        assert (client.close_code, client.close_reason) == (4001, "go away")


async def test_websocket_that_the_server_refuses_is_refused(stage: Stage) -> None:
    async def never(connection: ServerConnection) -> None:
        raise AssertionError

    def refuse(connection: ServerConnection, request: object) -> object:
        return connection.respond(403, "not you\n")

    async with serve_websockets(never, "127.0.0.1", 0, process_request=refuse) as server:  # type: ignore[arg-type]
        await stage.open(Address("127.0.0.1", next(iter(server.sockets)).getsockname()[1]))
        with pytest.raises(websockets.InvalidStatus) as refused:
            await connect(f"ws://127.0.0.1:{stage.address.port}/")
        assert refused.value.response.status_code == 403
        assert refused.value.response.body == b"not you\n"


# --- the switch ----------------------------------------------------------------------------------------------


async def test_bytes_behind_the_101_and_behind_the_request_arrive(stage: Stage) -> None:
    async def script(wire: Wire) -> None:
        await wire.head()
        await wire.send(SWITCHING + b"server first")
        assert await wire.exactly(12) == b"client first"
        await wire.send(b"done")

    stage.backend(script)
    await stage.open()
    client = await stage.client()
    client.send_now(UPGRADE + b"client first")
    await client.head()
    assert await client.rest() == b"server firstdone"


async def test_much_that_came_before_the_101_arrives_and_is_bounded(stage: Stage) -> None:
    go = asyncio.Event()
    data = os.urandom(3_000_000)

    async def script(wire: Wire) -> None:
        await wire.head()
        await go.wait()
        await wire.send(SWITCHING)
        assert await wire.exactly(len(data)) == data
        await wire.send(b"all of it")

    stage.backend(script)
    await stage.open()
    client = await stage.client()
    sending = asyncio.get_running_loop().create_task(client.send(UPGRADE + data))
    await until(lambda: any(isinstance(it, HttpClient) and it._paused_for for it in stage.worker.connections))
    go.set()
    await client.head()
    assert await client.rest() == b"all of it"
    await sending


async def test_client_that_does_not_read_before_its_101_is_not_held_in_memory(stage: Stage) -> None:
    """The switch comes while earlier bytes still wait for the client."""

    async def script(wire: Wire) -> None:
        await wire.head()
        for _ in range(30):
            await wire.send(b"HTTP/1.1 103 Early Hints\r\nX: " + b"y" * 7000 + b"\r\n\r\n")
        await wire.send(SWITCHING)
        while True:
            await wire.send(b"z" * 100_000)

    stage.backend(script)
    await stage.open(send_buffer=4096)
    client = await stage.client(receive_buffer=4096)
    await client.send(UPGRADE)
    peak = 0
    for _ in range(300):
        await asyncio.sleep(0.001)
        peak = max(peak, stage.buffered if stage.worker.connections else 0)
    assert 0 < peak < 64 * 1024 + 2 * 256 * 1024


async def test_101_that_nobody_asked_for_is_502(stage: Stage) -> None:
    backend = stage.backend(echo)
    await stage.open()
    client = await stage.client()
    await client.send(get())
    reply = await client.reply()
    assert (reply.status, json.loads(reply.body)["why"]) == (502, "bad_response")
    assert stage.count(backend, counters.FAILURES) == 1
    await until(lambda: stage.of(backend).open_count == 0)


async def test_101_to_another_protocol_than_was_offered_is_502(stage: Stage) -> None:
    async def script(wire: Wire) -> None:
        await wire.head()
        await wire.send(SWITCHING.replace(b"websocket", b"foo"))
        await wire.has_ended()

    stage.backend(script)
    await stage.open()
    client = await stage.client()
    await client.send(UPGRADE)
    assert (await client.reply()).status == 502


async def test_upgrade_is_not_offered_where_websocket_is_off(stage: Stage) -> None:
    seen: list[Message] = []

    async def script(wire: Wire) -> None:
        while (request := await wire.request()) is not None:
            seen.append(request)
            await wire.send(ok())

    stage.backend(script)
    await stage.open(http=HttpConfig(websocket=False))
    client = await stage.client()
    for request in (UPGRADE, post(b"hello", "Connection: Upgrade", "Upgrade: tcp")):
        await client.send(request)
        assert (await client.reply()).status == 200
    assert [(request.get("upgrade"), request.get("connection")) for request in seen] == [(None, None)] * 2
    assert seen[1].body == b"hello"


async def test_other_answer_than_101_leaves_it_at_http(stage: Stage) -> None:
    backend = stage.backend(lambda wire: plain(wire))

    async def plain(wire: Wire) -> None:
        while (request := await wire.request()) is not None:
            await wire.send(ok(request.target.encode()))

    await stage.open()
    client = await stage.client()
    client.send_now(UPGRADE + get("/next"))
    assert [(await client.reply()).body for _ in range(2)] == [b"/ws", b"/next"]
    assert len(backend.wires) == 1


# --- the end -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["close", "reset"])
async def test_client_that_leaves_takes_the_backends_side_with_it(stage: Stage, how: str) -> None:
    ended = asyncio.Event()

    async def script(wire: Wire) -> None:
        await wire.head()
        await wire.send(SWITCHING)
        await wire.has_ended()
        ended.set()

    backend = stage.backend(script)
    await stage.open()
    client = await opened(stage)
    assert (stage.of(backend).open_count, stage.active) == (1, 1)
    getattr(client, how)()
    await ended.wait()
    await stage.settled()
    assert (stage.of(backend).open_count, stage.active) == (0, 0)
    assert stage.count(backend, counters.FAILURES) == 0


@pytest.mark.parametrize(("how", "seen"), [("close", "eof"), ("reset", "reset")])
async def test_backend_that_leaves_takes_the_client_with_it(stage: Stage, how: str, seen: str) -> None:
    go = asyncio.Event()

    async def script(wire: Wire) -> None:
        await wire.head()
        await wire.send(SWITCHING)
        await go.wait()
        getattr(wire, how)()

    backend = stage.backend(script)
    await stage.open()
    client = await opened(stage)
    go.set()
    assert await client.ending() == seen
    client.close()
    await stage.settled()
    assert stage.of(backend).open_count == 0


async def test_tunnel_is_counted_for_its_request_and_for_its_end(stage: Stage) -> None:
    stage.backend(echo)
    await stage.open()
    client = await opened(stage)
    before = stage.cell(counters.BYTES_OUT)
    await client.send(b"x" * 1000)
    await client.exactly(1000)
    client.close()
    await stage.settled()
    assert stage.whys == {Why.OK: 2}
    assert stage.cell(counters.BYTES_OUT) - before == 1000


async def test_silent_tunnel_is_cut_at_its_own_timeout(stage: Stage) -> None:
    stage.backend(echo)
    await stage.open(timeouts=Timeouts(tunnel_s=0.2, read_s=0.05, keepalive_s=0.05, client_header_s=0.05, write_s=0.05))
    client = await opened(stage)
    await client.send(b"still here")
    await client.exactly(10)
    assert await client.ending() == "reset"


async def test_tunnel_to_a_routes_pool_is_cut_at_the_timeout_of_that_pool(stage: Stage) -> None:
    stage.backend(echo)
    await stage.open(http=http(to("r", timeouts=Timeouts(tunnel_s=0.2))), timeouts=Timeouts(tunnel_s=600))
    client = await opened(stage)
    assert await client.ending() == "reset"


async def test_tunnel_outlives_the_limit_of_a_request(stage: Stage) -> None:
    stage.backend(echo)
    await stage.open(timeouts=Timeouts(request_s=0.1))
    client = await opened(stage)
    for _ in range(5):
        await asyncio.sleep(0.05)
        await client.send(b".")
        await client.exactly(1)


async def test_tunnel_lives_through_a_drain_until_the_deadline(stage: Stage) -> None:
    stage.backend(echo)
    await stage.open()
    client = await opened(stage)
    draining = asyncio.get_running_loop().create_task(stage.listener_server.drain(0.4))
    await asyncio.sleep(0.1)
    await client.send(b"still here")
    assert await client.exactly(10) == b"still here"
    assert await client.ending() == "reset"
    assert await draining == 1


async def test_switch_during_a_drain_is_still_made(stage: Stage) -> None:
    go = asyncio.Event()

    async def script(wire: Wire) -> None:
        await wire.head()
        await go.wait()
        await wire.send(SWITCHING)
        await wire.has_ended()

    backend = stage.backend(script)
    await stage.open()
    client = await stage.client()
    await client.send(UPGRADE)
    await until(lambda: backend.wires and backend.wires[0].seen)
    draining = asyncio.get_running_loop().create_task(stage.listener_server.drain(5.0))
    await until(lambda: stage.worker.is_draining)
    go.set()
    reply = await client.head()
    assert reply is not None and reply.status == 101
    client.close()
    assert await draining == 0


async def test_no_memory_and_no_connection_is_left_of_many_tunnels(stage: Stage) -> None:
    backend = stage.backend(echo)
    await stage.open()
    for number in range(200):
        client = await opened(stage)
        await client.send(b"x")
        await client.exactly(1)
        client.reset() if number % 2 else client.close()
    await stage.settled()
    assert stage.of(backend).open_count == 0


async def test_upgrade_that_is_never_passed_on_does_not_stop_its_body(stage: Stage) -> None:
    """h2c is taken out; the second reader of the chunks must not take what follows for another protocol either."""
    seen: list[Message] = []

    async def script(wire: Wire) -> None:
        while (request := await wire.request()) is not None:
            seen.append(request)
            await wire.send(ok(request.body))

    stage.backend(script)
    await stage.open()
    client = await stage.client()
    head = b"POST / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nTransfer-Encoding: chunked\r\n\r\n"
    for part in (head, b"3\r\none\r\n", b"3\r\ntwo\r\n0\r\n\r\n"):
        await client.send(part)
    assert (await client.reply()).body == b"onetwo"
    assert (seen[0].get("upgrade"), seen[0].get("connection")) == (None, None)
