"""Copies for a mirror, over real connections: what the mirror gets, and that the client never feels it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from rawclient import Message, Wire, get, ok, post
from routed import http, to
from stage import Backend, Script, Stage, serve, until

from balance.config.route_model import Mirror, TrafficPolicy
from balance.proxy.mirroring import copy_queue
from balance.proxy.mirroring.copy_queue import MAX_CONNECTIONS, MAX_COPY, MAX_QUEUED
from balance.runtime import counters

OK = ok(b"primary")


def recorded(
    into: list[Message], reply: bytes = b"HTTP/1.1 200 OK\r\nSet-Cookie: m=1\r\nContent-Length: 6\r\n\r\nmirror"
) -> Script:
    def answer(request: Message) -> bytes:
        into.append(request)
        return reply

    return serve(answer)


async def mirrored(stage: Stage, script: Script, mirror: Mirror | None = None, **more: Any) -> tuple[Wire, Backend]:
    """A client of a route whose requests are copied to a backend that plays the script."""
    stage.backend(serve(OK))
    backend = stage.backend(script)
    policy = TrafficPolicy(mirror=mirror or Mirror("shadow"))
    route = to("r", "pool", "shadow", policy=policy, **more)
    await stage.open(http=http(route), pools={"shadow": [backend]})
    return await stage.client(), backend


def counts(stage: Stage) -> tuple[int, int]:
    """Copies that were answered, and that were dropped."""
    block = counters.block(stage.snapshot.slots["/", "main/r"])
    return stage.cell(block + counters.ROUTE_MIRRORED), stage.cell(block + counters.ROUTE_MIRROR_DROPPED)


async def ask(wire: Wire, request: bytes) -> Message:
    await wire.send(request)
    reply = await wire.reply(request.split(b" ", 1)[0].decode())
    assert reply.status == 200
    return reply


async def test_a_copy_is_the_request_as_the_primary_got_it_with_its_host_and_a_mark(stage: Stage) -> None:
    seen: list[Message] = []
    at_primary: list[Message] = []
    stage.backend(recorded(at_primary, OK))
    shadow = stage.backend(recorded(seen))
    route = to("r", "pool", "shadow", policy=TrafficPolicy(mirror=Mirror("shadow")))
    await stage.open(http=http(route), pools={"shadow": [shadow]})
    wire = await stage.client()
    await ask(wire, b"GET /a%2Fb?q=1 HTTP/1.1\r\nHost: Shop.Example\r\nAuthorization: Basic eA==\r\nX-A: 1\r\n\r\n")
    await until(lambda: seen)
    copy, primary = seen[0], at_primary[0]
    assert copy.line == primary.line == "GET /a%2Fb?q=1 HTTP/1.1"
    assert copy.fields == [*primary.fields, ("X-Balance-Mirror", "1")]
    assert copy.get("host") == "Shop.Example"


async def test_the_client_sees_nothing_of_the_mirrors_reply(stage: Stage) -> None:
    seen: list[Message] = []
    wire, _ = await mirrored(stage, recorded(seen))
    for _ in range(5):
        reply = await ask(wire, get("/"))
        assert reply.body == b"primary"
        assert reply.get("set-cookie") is None
    await until(lambda: counts(stage) == (5, 0))


async def test_connections_are_the_mirrors_own_kept_between_copies_and_only_copies_are_counted_there(stage: Stage) -> None:
    seen: list[Message] = []
    wire, backend = await mirrored(stage, recorded(seen))
    for number in range(1, 6):
        await ask(wire, get("/"))
        await until(lambda number=number: counts(stage) == (number, 0))
    assert len(backend.wires) == 1
    known = next(known for known in stage.snapshot.pools["shadow"].backends if known.address == backend.address)
    assert (known.open_count, len(known.idle), known.load.active) == (0, 0, 0)
    for cell in (counters.LEASES, counters.CONNECTS, counters.FAILURES, counters.BLAMED, counters.RECEIVED_BYTES):
        assert stage.cell(known.block + cell) == 0
    assert stage.cell(known.block + counters.COPIES) == 5


@pytest.mark.parametrize(
    "request_bytes",
    [
        post(b"x" * 1000),
        post(b"x" * MAX_COPY),
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n",
        post(b""),
    ],
)
async def test_a_body_is_copied_whole_however_it_comes(stage: Stage, request_bytes: bytes) -> None:
    seen: list[Message] = []
    wire, _ = await mirrored(stage, recorded(seen), Mirror("shadow", unsafe_methods=True))
    await ask(wire, request_bytes)
    for at in range(0, len(request_bytes), max(1, len(request_bytes) // 20)):
        await wire.send(request_bytes[at : at + max(1, len(request_bytes) // 20)])
        await asyncio.sleep(0)
    assert (await wire.reply()).body == b"primary"
    await until(lambda: counts(stage) == (2, 0))
    assert seen[0].body == seen[1].body
    assert (seen[0].get("content-length") is None) == (b"chunked" in request_bytes)
    assert len(seen[0].body) == (7 if b"chunked" in request_bytes else int(seen[0].get("content-length") or 0))


async def test_a_larger_body_is_not_copied_at_all(stage: Stage) -> None:
    seen: list[Message] = []
    wire, backend = await mirrored(stage, recorded(seen), Mirror("shadow", unsafe_methods=True))
    await ask(wire, post(b"x" * (MAX_COPY + 1)))
    await ask(wire, get("/after"))
    await until(lambda: counts(stage) == (1, 1))
    assert [message.target for message in seen] == ["/after"]
    assert len(backend.wires) == 1


async def test_a_body_that_the_client_breaks_off_is_dropped(stage: Stage) -> None:
    seen: list[Message] = []
    wire, backend = await mirrored(stage, recorded(seen), Mirror("shadow", unsafe_methods=True))
    await wire.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc")
    await until(lambda: stage.active == 1)
    wire.reset()
    await stage.settled()
    assert not backend.wires
    assert counts(stage) == (0, 1)


async def test_a_body_that_the_backend_does_not_wait_for_is_dropped(stage: Stage) -> None:
    async def hurry(wire: Wire) -> None:
        await wire.send(b"HTTP/1.1 413 No\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")

    stage.backend(hurry)
    shadow = stage.backend(recorded([]))
    route = to("r", "pool", "shadow", policy=TrafficPolicy(mirror=Mirror("shadow", unsafe_methods=True)))
    await stage.open(http=http(route), pools={"shadow": [shadow]})
    wire = await stage.client()
    await wire.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc")
    assert (await wire.reply("POST")).status == 413
    await stage.settled()
    assert counts(stage) == (0, 1)
    assert not shadow.wires


@pytest.mark.parametrize(
    ("mirror", "request_bytes", "copies"),
    [
        (Mirror("shadow"), post(b"x"), 0),
        (Mirror("shadow"), b"DELETE / HTTP/1.1\r\nHost: a\r\n\r\n", 0),
        (Mirror("shadow", unsafe_methods=True), post(b"x"), 1),
        (Mirror("shadow"), b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", 1),
        (Mirror("shadow"), get("/", "X-Balance-Mirror: 1"), 0),
        (Mirror("shadow", percent=0), get("/"), 0),
        (Mirror("shadow", percent=1.5), get("/"), 1),
        (Mirror("shadow", percent=1), get("/"), 0),
    ],
)
async def test_what_is_copied(stage: Stage, mirror: Mirror, request_bytes: bytes, copies: int) -> None:
    seen: list[Message] = []
    wire, _ = await mirrored(stage, recorded(seen), mirror)
    stage.worker.rand = lambda: 0.01
    for _ in range(2):
        await ask(wire, request_bytes)
    await until(lambda: counts(stage) == (2 * copies, 0))
    wire.close()
    await stage.settled()
    assert counts(stage) == (2 * copies, 0)


async def hang(wire: Wire) -> None:
    await wire.request()
    await wire.has_ended()


async def test_a_mirror_that_hangs_delays_nobody_and_what_is_too_much_is_dropped(stage: Stage) -> None:
    over = asyncio.Event()

    async def hang_on(wire: Wire) -> None:
        await wire.request()
        await over.wait()

    wire, backend = await mirrored(stage, hang_on)
    for _ in range(MAX_CONNECTIONS):
        await ask(wire, get("/"))
    await until(lambda: len(backend.wires) == MAX_CONNECTIONS)
    for _ in range(MAX_QUEUED + 7):
        await ask(wire, get("/"))
    assert counts(stage) == (0, 7)
    assert len(backend.wires) == MAX_CONNECTIONS
    over.set()
    await until(lambda: counts(stage) == (0, MAX_CONNECTIONS + MAX_QUEUED + 7))


async def test_a_mirror_that_is_not_there_delays_nobody(stage: Stage) -> None:
    async def gone(wire: Wire) -> None:
        pass  # whoever was accepted before it went

    wire, backend = await mirrored(stage, gone)
    backend.stop_listening()
    for _ in range(20):
        await ask(wire, get("/"))
    await until(lambda: counts(stage) == (0, 20))
    assert stage.cell(counters.DIALS_FAILED_HERE) == 0


async def test_a_mirror_out_of_service_gets_nothing(stage: Stage) -> None:
    seen: list[Message] = []
    wire, _ = await mirrored(stage, recorded(seen))
    pool = stage.snapshot.pools["shadow"]
    pool.set_ready(pool.backends[0], False)
    await ask(wire, get("/"))
    await until(lambda: counts(stage) == (0, 1))
    assert not seen


@pytest.mark.pure
async def test_a_copy_has_its_own_time(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copy_queue, "TIMEOUT_S", 0.05)
    wire, backend = await mirrored(stage, hang)
    await ask(wire, get("/"))
    await until(lambda: counts(stage) == (0, 1))
    await until(lambda: not stage.worker.descriptors.upstreams or len(stage.backend_states[0].idle) == 1)
    assert len(backend.wires) == 1


REPLIES = [
    (b"HTTP/1.1 204 No Content\r\n\r\n", True),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", True),
    (b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 500 No\r\nContent-Length: 2\r\n\r\nno", True),
    (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", False),
    (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", False),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", False),
]


@pytest.mark.parametrize(("reply", "is_kept"), REPLIES)
async def test_any_reply_ends_and_a_clean_connection_is_used_again(stage: Stage, reply: bytes, is_kept: bool) -> None:
    seen: list[Message] = []
    wire, backend = await mirrored(stage, recorded(seen, reply))
    for number in (1, 2):
        await ask(wire, get("/"))
        await until(lambda number=number: counts(stage)[0] == number)
    assert len(backend.wires) == (1 if is_kept else 2)
    assert counts(stage) == (2, 0)


async def large(wire: Wire) -> None:
    await wire.request()
    await wire.send(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        await wire.send(b"x" * 65536)


async def nonsense(wire: Wire) -> None:
    await wire.request()
    await wire.send(b"220 smtp.example ESMTP\r\n")
    await wire.has_ended()


async def ends_with_the_connection(wire: Wire) -> None:
    await wire.request()
    await wire.send(b"HTTP/1.1 200 OK\r\n\r\nsome")


@pytest.mark.parametrize(("script", "expected"), [(large, (1, 0)), (nonsense, (0, 1)), (ends_with_the_connection, (1, 0))])
async def test_hostile_mirrors_are_left_after_a_while(stage: Stage, script: Script, expected: Sequence[int]) -> None:
    wire, _ = await mirrored(stage, script)
    await ask(wire, get("/"))
    await until(lambda: counts(stage) == tuple(expected))


async def test_a_connection_that_the_mirror_closed_meanwhile_is_made_anew(stage: Stage) -> None:
    async def once(wire: Wire) -> None:
        await wire.request()
        await wire.send(OK)

    wire, backend = await mirrored(stage, once)
    for number in range(1, 4):
        await ask(wire, get("/"))
        await until(lambda number=number: counts(stage) == (number, 0))
    assert len(backend.wires) == 3
