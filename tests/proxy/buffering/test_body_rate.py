"""Bodies that come too slowly, and those that only seem to."""

from __future__ import annotations

import asyncio
import json

import pytest
from rawclient import Wire, chunked, ok, post
from scripts import never
from stage import Stage, serve, until

from balance.config.model import ConnectionProtection, HttpConfig, Timeouts
from balance.config.route_model import Buffering
from balance.proxy.buffering.body_rate import BodyRate
from balance.proxy.net.timer_wheel import NEVER
from balance.runtime import counters

GRACE_S = 0.1
BUFFERED = HttpConfig(buffering=Buffering(request_bytes=1 << 20))


def guard(rate: int, grace_s: float = GRACE_S, *, enabled: bool = True) -> ConnectionProtection:
    return ConnectionProtection(enabled, 1000, 1000, 10.0, rate, grace_s)


def test_each_stretch_is_judged_by_itself() -> None:
    rate = BodyRate(100, 10.0)
    assert rate.due == NEVER
    assert rate.bounded(30.0, 1.0) == 10.0
    assert rate.bounded(2.0, 5.0) == 2.0  # the inactivity timeout is earlier
    assert rate.bounded(30.0, 9.0) == 2.0
    assert rate.is_kept(1_000_000)
    assert rate.bounded(30.0, 12.0) == 10.0
    assert rate.is_kept(1_001_000)
    assert rate.bounded(30.0, 22.0) == 10.0
    assert not rate.is_kept(1_001_999)  # what came fast before buys no time


def test_time_in_which_nothing_is_read_does_not_count() -> None:
    rate = BodyRate(100, 10.0)
    rate.pause(0.0)
    assert rate.bounded(30.0, 1.0) == 10.0
    rate.pause(4.0)
    rate.pause(5.0)
    assert rate.due == NEVER
    assert rate.bounded(30.0, 1000.0) == 7.0
    assert rate.is_kept(1000)
    assert rate.bounded(30.0, 1008.0) == 10.0


async def drip(client: Wire, data: bytes, every_s: float) -> None:
    for byte in data:
        await asyncio.sleep(every_s)
        await client.send(bytes((byte,)))


@pytest.mark.parametrize(
    ("framing", "http"),
    [
        (b"Content-Length: 1000", None),
        (b"Transfer-Encoding: chunked", BUFFERED),
        pytest.param(b"Content-Length: 1000", BUFFERED, marks=pytest.mark.long),
        pytest.param(b"Transfer-Encoding: chunked", None, marks=pytest.mark.long),
    ],
)
async def test_a_body_that_comes_too_slowly_is_answered_408(stage: Stage, framing: bytes, http: HttpConfig | None) -> None:
    backend = stage.backend(never)
    await stage.open(protection=guard(1000), http=http)  # 100 bytes in each stretch
    client = await stage.client()
    await client.send(b"POST / HTTP/1.1\r\nHost: x\r\n%b\r\n\r\n" % framing)
    await client.send(b"200\r\n")  # 512 are to follow; or four bytes of 1000
    dripping = asyncio.create_task(drip(client, b"x" * 1000, 0.01))
    async with asyncio.timeout(5.0):  # half of the inactivity timeout, which never comes
        reply = await client.reply()
    dripping.cancel()
    assert (reply.status, json.loads(reply.body)["why"]) == (408, "body_timeout")
    assert b"slower than 1000 bytes a second" in reply.body
    assert stage.count(backend, counters.FAILURES) == 0


@pytest.mark.long
@pytest.mark.parametrize("http", [None, BUFFERED], ids=["streamed", "buffered"])
async def test_a_body_that_keeps_the_rate_goes_on(stage: Stage, http: HttpConfig | None) -> None:
    stage.backend(serve(lambda request: ok(request.body)))
    await stage.open(protection=guard(20), http=http)  # 2 bytes in each stretch
    in_chunks = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(b"x" * 20)
    for request in (post(b"x" * 30), in_chunks):
        client = await stage.client()
        await client.send(request[:-30])
        await drip(client, request[-30:], 0.01)
        assert (await client.reply()).status == 200


@pytest.mark.long
@pytest.mark.parametrize("protection", [guard(0), guard(1_000_000, enabled=False)])
async def test_off_is_off(stage: Stage, protection: ConnectionProtection) -> None:
    stage.backend(serve(lambda request: ok(request.body)))
    await stage.open(protection=protection)
    client = await stage.client()
    request = post(b"1234")
    await client.send(request[:-4])
    await drip(client, b"1234", GRACE_S / 2)
    assert (await client.reply()).body == b"1234"


async def test_a_client_that_is_not_read_from_is_not_blamed(stage: Stage) -> None:
    """The backend takes nothing for three stretches: neither does Balance take anything of the client."""
    release = asyncio.Event()

    async def late(wire: Wire) -> None:
        assert await wire.head() is not None
        await release.wait()
        await wire.exactly(1 << 22)
        await wire.send(ok())

    stage.backend(late, receive_buffer=4096)
    await stage.open(protection=guard(1_000_000), timeouts=Timeouts(write_s=30.0))
    client = await stage.client()
    sending = asyncio.create_task(client.send(post(b"x" * (1 << 22))))
    (connection,) = await until_connected(stage)
    await until(lambda: connection._paused_for)
    await asyncio.sleep(3 * GRACE_S)
    release.set()
    await sending
    assert (await client.reply()).status == 200


async def until_connected(stage: Stage) -> list:  # type: ignore[type-arg]
    await until(lambda: stage.worker.connections)
    return list(stage.worker.connections)


@pytest.mark.long
async def test_a_client_that_waits_for_a_100_is_not_blamed(stage: Stage) -> None:
    async def slow(wire: Wire) -> None:
        head = await wire.head()
        assert head is not None
        await asyncio.sleep(3 * GRACE_S)
        await wire.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        await wire.body(head)
        await wire.send(ok())

    stage.backend(slow)
    await stage.open(protection=guard(100))
    client = await stage.client()
    request = post(b"x" * 100, "Expect: 100-continue")
    await client.send(request[:-100])
    assert b"100 Continue" in await client.until(b"\r\n\r\n")
    await client.send(request[-100:])
    assert (await client.reply()).status == 200


@pytest.mark.long
async def test_a_tunnel_has_no_rate(stage: Stage) -> None:
    async def switching(wire: Wire) -> None:
        await wire.head()
        await wire.send(b"HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: tcp\r\n\r\n")
        await wire.send(await wire.exactly(1))

    stage.backend(switching)
    await stage.open(protection=guard(1_000_000))
    client = await stage.client()
    await client.send(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: tcp\r\n\r\n")
    assert (await client.reply()).status == 101
    await asyncio.sleep(2 * GRACE_S)
    await client.send(b"x")
    assert await client.exactly(1) == b"x"
