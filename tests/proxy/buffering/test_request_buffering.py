"""Requests whose body is read before a backend is chosen: what clients and backends see of it, and who holds what meanwhile."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from rawclient import Message, Wire, chunked, get, ok, post
from routed import to
from scripts import failures, never
from stage import Stage, serve, until

from balance.config.model import HttpConfig, Limits, QueueConfig, Retry, Timeouts
from balance.config.route_model import Buffering, FixedResponse
from balance.model import Why

SIZE = 100_000
HTTP = HttpConfig(buffering=Buffering(request_bytes=SIZE))
CHUNKED = b"POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n%b\r\n"


def said(request: Message) -> bytes:
    """What a backend got, as its answer."""
    names = ("content-length", "transfer-encoding", "expect", "trailer")
    fields = {name: request.all(name) for name in names if request.all(name)}
    return ok(json.dumps([fields, len(request.body), request.trailers]).encode())


@asynccontextmanager
async def nothing_stays_held(stage: Stage) -> AsyncIterator[None]:
    yield
    await until(lambda: not stage.worker.buffered.held, "all is released")


async def halfway(stage: Stage, *fields: str, size: int = 1000) -> Wire:
    """A client that has sent half of its body."""
    client = await stage.client()
    before = stage.worker.buffered.held
    request = post(b"x" * size, *fields)
    await client.send(request[: -size // 2])
    await until(lambda: stage.worker.buffered.held == before + size // 2, "half of it is read")
    return client


# --- a backend is chosen when the body is there -----------------------------------------------------------


async def test_a_slow_body_holds_no_backend(stage: Stage) -> None:
    """With room for one request at the backend, ten bodies under way keep nobody from it."""
    backend = stage.backend(serve(said))
    await stage.open(http=HTTP, limits=[1], queue=QueueConfig(size=0))
    async with nothing_stays_held(stage):
        slow = [await halfway(stage) for _ in range(10)]
        assert backend.wires == []
        client = await stage.client()
        await client.send(get())
        assert (await client.reply()).status == 200
        for each in slow:
            await each.send(b"x" * 500)
            reply = await each.reply()
            assert json.loads(reply.body) == [{"content-length": ["1000"]}, 1000, []]


@pytest.mark.parametrize("size", [0, 1, 1000, SIZE])
async def test_chunks_arrive_as_one_body_with_its_length_and_without_trailers(stage: Stage, size: int) -> None:
    """gunicorn passes no length of a chunked body on, and Django reads none then (gunicorn's issue 2947)."""
    stage.backend(serve(said))
    await stage.open(http=HTTP)
    async with nothing_stays_held(stage):
        client = await stage.client()
        parts = [b"x" * len(range(at, size)[:999]) for at in range(0, size, 999)]
        for _ in range(2):
            await client.send(CHUNKED % b"Trailer: X-Sum\r\n" + chunked(*parts, trailers=b"X-Sum: 1\r\n"))
            assert json.loads((await client.reply()).body) == [{"content-length": [str(size)]}, size, []]


async def test_chunks_may_come_in_any_two_parts(stage: Stage) -> None:
    stage.backend(serve(said))
    await stage.open(http=HTTP)
    client = await stage.client()
    request = CHUNKED % b"" + b"5;a=b\r\nhello\r\n3\r\nyou\r\n0\r\nX: 1\r\n\r\n"
    for cut in range(CHUNKED.find(b"%b"), len(request)):
        client.send_now(request[:cut])
        await asyncio.sleep(0.001)
        client.send_now(request[cut:])
        assert json.loads((await client.reply()).body) == [{"content-length": ["8"]}, 8, []]
    assert len(stage.backends[0].wires) == 1


async def test_the_next_request_may_follow_in_the_bodys_last_packet(stage: Stage) -> None:
    stage.backend(serve(said))
    await stage.open(http=HTTP)
    client = await halfway(stage)
    await client.send(b"x" * 500 + get("/next"))
    assert json.loads((await client.reply()).body)[1] == 1000
    assert json.loads((await client.reply()).body)[1] == 0


async def test_the_next_request_is_read_where_the_first_was_refused_as_its_body_was_whole(stage: Stage) -> None:
    backend = stage.backend(never)
    await stage.open(http=HTTP, limits=[1], queue=QueueConfig(size=0))
    busy = await stage.client()
    await busy.send(get())
    await until(lambda: backend.wires, "the backend has as many as it may have")
    client = await halfway(stage)
    await client.send(b"x" * 500 + get("/next"))
    assert [(await client.reply()).status for _ in range(2)] == [503, 503]


@pytest.mark.parametrize("http_minor", [0, 1])
async def test_a_body_in_one_packet_passes_as_without_buffering(stage: Stage, http_minor: int) -> None:
    stage.backend(serve(said))
    await stage.open(http=HTTP)
    client = await stage.client()
    await client.send(post(b"x" * 10).replace(b"HTTP/1.1", b"HTTP/1.%d" % http_minor))
    assert json.loads((await client.reply()).body) == [{"content-length": ["10"]}, 10, []]


# --- larger ones stream -----------------------------------------------------------------------------------


async def test_a_longer_body_streams_from_its_first_byte(stage: Stage) -> None:
    backend = stage.backend(serve(said))
    await stage.open(http=HTTP)
    client = await stage.client()
    await client.send(post(b"x" * (SIZE + 1))[:-SIZE])
    await until(lambda: backend.wires, "the backend is called")
    assert stage.worker.buffered.held == 0
    await client.send(b"x" * SIZE)
    assert json.loads((await client.reply()).body)[1] == SIZE + 1


@pytest.mark.parametrize("expects", [b"", b"Expect: 100-continue\r\n"])
async def test_chunks_that_outgrow_the_limit_stream_as_chunks(stage: Stage, expects: bytes) -> None:
    backend = stage.backend(serve(said))
    await stage.open(http=HTTP)
    async with nothing_stays_held(stage):
        client = await stage.client()
        await client.send(CHUNKED % expects)
        if expects:
            assert (await client.reply()).status == 100
        for _ in range(10):
            await client.send(chunked(b"x" * (SIZE // 10))[:-5])
        await until(lambda: stage.worker.buffered.held == SIZE, "all is held")
        assert backend.wires == []
        await client.send(b"5\r\nhel")
        await until(lambda: backend.wires, "the backend is called")
        await client.send(b"lo\r\n0\r\nX-Sum: 1\r\n\r\n")
        reply = json.loads((await client.reply()).body)
        assert reply == [{"transfer-encoding": ["chunked"]}, SIZE + 5, [["X-Sum", "1"]]]


async def test_a_body_without_room_in_the_worker_streams_and_fails_nowhere(stage: Stage) -> None:
    backend = stage.backend(serve(said))
    await stage.open(http=replace(HTTP, buffering=Buffering(request_bytes=SIZE, total_bytes=1700)))
    async with nothing_stays_held(stage):
        clients = [await halfway(stage) for _ in range(3)]
        assert backend.wires == []
        late = await stage.client()
        await late.send(post(b"x" * 1000)[:-500])
        await until(lambda: backend.wires, "the fourth streams")
        assert stage.worker.buffered.held <= 1700 + 500
        for client in (late, *clients):
            await client.send(b"x" * 500)
            assert json.loads((await client.reply()).body)[1] == 1000
    assert stage.whys == {Why.OK: 4}


# --- Expect -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["length", "chunks"])
async def test_expectation_is_met_here_and_goes_no_further(stage: Stage, way: str) -> None:
    backend = stage.backend(serve(said))
    await stage.open(http=HTTP)
    client = await stage.client()
    request = post(b"hello", "Expect: 100-continue")
    if way == "chunks":
        request = CHUNKED % b"Expect: 100-continue\r\n" + chunked(b"hello")
    head, end, body = request.partition(b"\r\n\r\n")
    for _ in range(2):
        await client.send(head + end)
        assert (await client.reply()).status == 100
        await client.send(body)
        assert json.loads((await client.reply()).body) == [{"content-length": ["5"]}, 5, []]
    assert len(backend.wires) == 1


async def test_a_body_that_came_with_its_head_is_not_asked_for(stage: Stage) -> None:
    stage.backend(serve(said))
    await stage.open(http=HTTP)
    client = await stage.client()
    await client.send(post(b"hello", "Expect: 100-continue"))
    assert json.loads((await client.reply()).body) == [{"content-length": ["5"]}, 5, []]


async def test_too_long_a_body_is_refused_before_it_is_asked_for(stage: Stage) -> None:
    backend = stage.backend(never)
    await stage.open(http=replace(HTTP, limits=Limits(body_bytes=999)))
    client = await stage.client()
    await client.send(post(b"x" * 1000, "Expect: 100-continue")[:-1000])
    assert (await client.reply()).status == 413
    assert await client.ending() == "eof"
    assert backend.wires == []


async def test_chunks_beyond_the_limit_of_bodies_are_refused_without_a_backend(stage: Stage) -> None:
    backend = stage.backend(never)
    await stage.open(http=replace(HTTP, limits=Limits(body_bytes=999)))
    async with nothing_stays_held(stage):
        client = await stage.client()
        await client.send(CHUNKED % b"" + b"258\r\n" + b"x" * 600)
        await until(lambda: stage.worker.buffered.held == 600, "it is held")
        await client.send(b"\r\n258\r\n" + b"x" * 600)
        assert (await client.reply()).status == 413
    assert backend.wires == []
    assert stage.whys == {Why.BODY_TOO_LARGE: 1}


# --- early ends -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["close", "half_close", "reset"])
async def test_client_that_leaves_halfway_never_comes_to_a_backend(stage: Stage, way: str) -> None:
    backend = stage.backend(never)
    await stage.open(http=HTTP)
    async with nothing_stays_held(stage):
        client = await halfway(stage)
        getattr(client, way)()
        await until(lambda: stage.whys, "it is counted")
    assert stage.whys == {Why.CLIENT_ABORT: 1}
    assert backend.wires == []
    assert failures(stage) == [0]


async def test_body_that_does_not_come_is_answered_408(stage: Stage) -> None:
    backend = stage.backend(never)
    await stage.open(http=HTTP, timeouts=Timeouts(client_body_s=0.3))
    async with nothing_stays_held(stage):
        client = await halfway(stage)
        for _ in range(4):  # as long as some of it comes, it is waited for
            await asyncio.sleep(0.15)
            await client.send(b"x")
        reply = await client.reply()
        assert (reply.status, json.loads(reply.body)["why"]) == (408, "body_timeout")
    assert backend.wires == []


async def test_malformed_chunks_are_refused_without_a_backend(stage: Stage) -> None:
    backend = stage.backend(never)
    await stage.open(http=HTTP)
    async with nothing_stays_held(stage):
        client = await stage.client()
        await client.send(CHUNKED % b"" + b"5\r\nhello\r\n")
        await until(lambda: stage.worker.buffered.held, "it is held")
        await client.send(b"x\r\n")
        assert (await client.reply()).status == 400
    assert backend.wires == []


async def test_an_end_of_the_drain_ends_what_is_still_read(stage: Stage) -> None:
    stage.backend(never)
    await stage.open(http=HTTP)
    async with nothing_stays_held(stage):
        client = await halfway(stage)
        await stage.listener_server.drain(0.2)
        assert (await client.reply()).status == 503


# --- tries ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "statuses"), [(b"PUT", [200]), (b"POST", [502])])
async def test_a_whole_body_of_any_size_is_sent_again_where_the_method_allows(
    stage: Stage, method: bytes, statuses: list[int]
) -> None:
    async def resets(wire: Wire) -> None:
        await wire.request()
        wire.reset()

    stage.backend(resets)
    stage.backend(serve(said))
    await stage.open(http=HTTP, retry=Retry())
    async with nothing_stays_held(stage):
        client = await stage.client()
        request = post(b"x" * SIZE).replace(b"POST", method)
        await client.send(request[:-500])
        await client.send(request[-500:])
        reply = await client.reply()
        assert [reply.status] == statuses


async def test_what_is_held_is_released_as_the_backend_takes_it(stage: Stage) -> None:
    """A body that won't be sent again is not kept while the backend works."""
    release = asyncio.Event()

    async def works(wire: Wire) -> None:
        await wire.request()
        await release.wait()
        await wire.send(ok())

    stage.backend(works)
    await stage.open(http=replace(HTTP, buffering=Buffering(request_bytes=3_000_000)))
    client = await stage.client()
    request = post(b"x" * 2_000_000)
    await client.send(request[:1_000_000])
    await until(lambda: stage.worker.buffered.held, "it is held")
    await client.send(request[1_000_000:])
    await until(lambda: not stage.worker.buffered.held, "it is released")
    release.set()
    assert (await client.reply()).status == 200


async def test_a_head_that_names_its_backend_has_the_bodys_length_at_every_try(stage: Stage) -> None:
    async def resets(wire: Wire) -> None:
        await wire.request()
        wire.reset()

    stage.backend(resets)
    stage.backend(serve(said))
    route = to("all", host="backend", retry=Retry(), buffering=HTTP.buffering)
    await stage.open(http=HttpConfig(routes=(route,)), retry=Retry())
    async with nothing_stays_held(stage):
        client = await stage.client()
        await client.send((CHUNKED % b"").replace(b"POST", b"PUT") + b"5\r\nhello\r\n")
        await until(lambda: stage.worker.buffered.held == 5, "it is held")
        await client.send(b"0\r\n\r\n")
        assert json.loads((await client.reply()).body) == [{"content-length": ["5"]}, 5, []]
    assert len(stage.backends[0].wires) == 1


async def test_a_route_that_denies_asks_for_no_body(stage: Stage) -> None:
    backend = stage.backend(never)
    route = to("deny", "", respond=FixedResponse(status=403), buffering=HTTP.buffering)
    await stage.open(http=HttpConfig(routes=(route,), buffering=HTTP.buffering))
    client = await stage.client()
    await client.send(post(b"x" * 1000, "Expect: 100-continue")[:-1000])
    assert (await client.reply()).status == 403
    assert backend.wires == []
