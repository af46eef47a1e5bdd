"""TLS passes through to a pool by the name in its ClientHello, and every byte arrives as it was sent."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from client_hellos import extension, hello, real_hello, sni
from rawclient import Wire
from stage import Stage, until

from balance.config.model import SniRoute
from balance.model import Mode, Why
from balance.tls.settings import ServerTls

UNRECOGNIZED_NAME = b"\x15\x03\x01\x00\x02\x02\x70"
DECODE_ERROR = b"\x15\x03\x01\x00\x02\x02\x32"


class Pools:
    """A pool of the listener, one for b.example and one for *.c.example; each says its name, then what came."""

    def __init__(self) -> None:
        self.received: dict[str, bytes] = {}

    async def open(self, stage: Stage, *, has_own: bool = True, timeout_s: float = 10.0) -> None:
        def named(name: str):  # type: ignore[no-untyped-def]
            async def script(wire: Wire) -> None:
                await wire.send(name.encode())
                while data := await wire.some():
                    self.received[name] = self.received.get(name, b"") + data

            return script

        own, b, c = (stage.backend(named(name)) for name in ("own", "b", "c"))
        assert own
        await stage.open(mode=Mode.TCP, pools={"b": [b], "c": [c]})
        (listener,) = stage.snapshot.config.listeners
        routes = (SniRoute("b.example", "b"), SniRoute("*.c.example", "c"))
        tls = ServerTls(handshake_timeout_s=timeout_s)
        changed = replace(listener, sni_routes=routes, tls=tls, pool=listener.pool if has_own else "")
        await stage.reload(replace(stage.snapshot.config, listeners=(changed,)))


@pytest.mark.parametrize(
    ("sent", "pool"),
    [
        (real_hello("b.example"), "b"),
        (real_hello("B.Example"), "b"),
        (hello(sni(b"b.example.")), "b"),
        (real_hello("x.c.example"), "c"),
        (real_hello("c.example"), "own"),
        (real_hello("y.x.c.example"), "own"),
        (real_hello("other.example"), "own"),
        (real_hello(None), "own"),
        (hello(extension(51, bytes(9000)) + sni(b"b.example"), (700,) * 13), "b"),  # large, over records
        (b"\x00\x00\x00\x08\x04\xd2\x16\x2f", "own"),  # PostgreSQL's SSLRequest
        (b"junk\r\n", "own"),
    ],
)
async def test_a_name_leads_to_its_pool(stage: Stage, sent: bytes, pool: str) -> None:
    pools = Pools()
    await pools.open(stage)
    client = await stage.client()
    await client.send(sent + b"more")
    assert await client.exactly(len(pool)) == pool.encode()
    await until(lambda: pools.received == {pool: sent + b"more"})


async def test_a_hello_may_come_byte_by_byte(stage: Stage) -> None:
    pools = Pools()
    await pools.open(stage)
    client = await stage.client()
    sent = hello(sni(b"b.example"), (1,) * 100)
    for at in range(len(sent)):
        await client.send(sent[at : at + 1])
        await asyncio.sleep(0)
    assert await client.exactly(1) == b"b"
    await until(lambda: pools.received == {"b": sent})


@pytest.mark.parametrize(
    ("sent", "answer", "why", "has_own"),
    [
        (hello(sni(b"b.example") + sni(b"x")), DECODE_ERROR, Why.TLS_PROTOCOL, True),  # not to those without a name
        (b"\x16\x03\x01\x40\x00\x01\x00\x50\x00", DECODE_ERROR, Why.TLS_PROTOCOL, True),
        (real_hello("other.example"), UNRECOGNIZED_NAME, Why.TLS_UNKNOWN_NAME, False),
        (real_hello(None), UNRECOGNIZED_NAME, Why.TLS_UNKNOWN_NAME, False),
        (b"junk\r\n", b"", Why.TLS_NOT_TLS, False),
        (b"", b"", Why.TLS_TIMEOUT, True),
        (real_hello("b.example")[:-1], b"", Why.TLS_TIMEOUT, True),
    ],
)
async def test_who_leads_nowhere_is_closed(stage: Stage, sent: bytes, answer: bytes, why: Why, has_own: bool) -> None:
    pools = Pools()
    await pools.open(stage, has_own=has_own, timeout_s=0.3)
    client = await stage.client()
    await client.send(sent)
    if answer:
        assert await client.rest() == answer
    else:
        await client.has_ended()
    await until(lambda: stage.whys == {why: 1})
    assert pools.received == {}
    await until(lambda: not stage.worker.descriptors.clients)
