"""gRPC calls over HTTP/2: what a client's library takes for a status arrives as one, whoever has said it."""

from __future__ import annotations

import asyncio

import pytest
from http2_client import Reply, connect
from rawclient import Message, Wire, chunked
from scripts import never, says_and_waits
from stage import Stage, serve, until

from balance.config.model import HealthCheck, HttpConfig, Limits, PassiveChecks, Timeouts
from balance.grpc.web_frames import trailers_frame
from balance.http2.errors import CANCEL
from balance.model import Why
from balance.runtime import counters

H2C = HttpConfig(h2c=True)
MESSAGE = b"\x00\x00\x00\x00\x03abc"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/grpc\r\nTransfer-Encoding: chunked\r\n\r\n"
GRPC = ((b"content-type", b"application/grpc"), (b"te", b"trailers"))


def answer(status: int = 0) -> bytes:
    return HEAD + chunked(MESSAGE, trailers=b"grpc-status: %d\r\n" % status)


async def call(stage: Stage, *fields: tuple[bytes, bytes], kind: tuple[tuple[bytes, bytes], ...] = GRPC) -> Reply:
    client = await connect(stage)
    return await client.reply(await client.request("/pkg.Service/Method", *kind, *fields, method="POST", body=MESSAGE))


def calls(stage: Stage) -> dict[int, int]:
    """gRPC calls by their status."""
    counts: dict[int, int] = {}
    for at in counters.series_pairs(stage.row.cells):
        _, kind, status, _ = counters.series_parts(stage.cell(at))
        if kind == counters.GRPC_CALLS:
            counts[status] = stage.cell(at + 1)
    return counts


async def test_the_status_comes_in_trailers_behind_the_messages(stage: Stage) -> None:
    seen: list[Message] = []

    def reply(request: Message) -> bytes:
        seen.append(request)
        return answer(5)

    stage.backend(serve(reply))
    await stage.open(http=H2C)
    got = await call(stage)
    assert (got.status, got.body, got.trailers) == (200, MESSAGE, [(b"grpc-status", b"5")])
    assert (seen[0].get("te"), seen[0].body) == ("trailers", MESSAGE)
    assert calls(stage) == {5: 1}


async def test_trailers_only_is_one_head_that_ends_the_stream(stage: Stage) -> None:
    """An empty DATA behind it would lose the status; a length makes it another message."""
    stage.backend(serve(b"HTTP/1.1 200 OK\r\nContent-Type: application/grpc\r\nGrpc-Status: 7\r\nContent-Length: 0\r\n\r\n"))
    await stage.open(http=H2C)
    got = await call(stage)
    assert (got.get(b"grpc-status"), got.get(b"content-length"), got.trailers, got.body) == (b"7", None, [], b"")
    assert calls(stage) == {7: 1}


@pytest.mark.parametrize("kind", [b"application/grpc", b"application/grpc+json"])
async def test_an_error_of_ours_is_trailers_only(stage: Stage, kind: bytes) -> None:
    await stage.open(stage.refusing(), http=H2C)
    got = await call(stage, kind=((b"content-type", kind),))
    assert (got.status, got.get(b"content-type"), got.get(b"grpc-status")) == (200, b"application/grpc", b"14")
    assert got.get(b"grpc-message") == b"the backend could not be reached (connect_refused)"
    assert (got.get(b"content-length"), got.body, got.trailers) == (None, b"", [])
    assert calls(stage) == {14: 1}


async def test_a_head_that_is_refused_is_a_status_too(stage: Stage) -> None:
    stage.backend(serve(answer()))
    await stage.open(http=HttpConfig(h2c=True, limits=Limits(line_bytes=200)))
    got = await call(stage, (b"x-long", b"v" * 300))
    assert (got.status, got.get(b"grpc-status")) == (200, b"8")
    assert stage.whys == {Why.HEADER_TOO_LARGE: 1}


async def test_other_posts_get_pages_as_ever(stage: Stage) -> None:
    await stage.open(stage.refusing(), http=H2C)
    got = await call(stage, kind=((b"content-type", b"application/json"),))
    assert (got.status, got.get(b"grpc-status")) == (502, None)
    assert calls(stage) == {}


async def test_a_deadline_is_told_as_such(stage: Stage) -> None:
    stage.backend(says_and_waits())
    await stage.open(http=H2C)
    got = await call(stage, (b"grpc-timeout", b"100m"))
    assert (got.status, got.get(b"grpc-status")) == (200, b"4")
    assert stage.cell(stage.backend_states[0].block + counters.FAILURES) == 1


async def test_a_watch_outlives_the_timeouts_of_other_requests(stage: Stage) -> None:
    go = asyncio.Event()

    async def script(wire: Wire) -> None:
        await wire.head()
        await wire.send(HEAD)
        await go.wait()
        await wire.send(chunked(MESSAGE, trailers=b"grpc-status: 0\r\n"))

    stage.backend(script)
    await stage.open(http=H2C, timeouts=Timeouts(read_s=0.1, client_body_s=0.1, request_s=0.1))
    client = await connect(stage)
    stream = await client.request("/watch", *GRPC, method="POST", body=MESSAGE, ends=False)
    asyncio.get_running_loop().call_later(0.5, go.set)
    got = await client.reply(stream)
    assert (got.body, got.trailers) == (MESSAGE, [(b"grpc-status", b"0")])


@pytest.mark.parametrize("is_half_closed", [True, False])
async def test_a_quiet_watch_is_nobodys_fault(stage: Stage, is_half_closed: bool) -> None:
    async def script(wire: Wire) -> None:
        await wire.head()
        await wire.send(HEAD + chunked(MESSAGE)[:-5])
        await wire.has_ended()

    stage.backend(script)
    await stage.open(http=H2C, timeouts=Timeouts(tunnel_s=0.15))
    client = await connect(stage)
    stream = await client.request("/watch", *GRPC, method="POST", body=MESSAGE, ends=is_half_closed)
    assert (await client.reply(stream)).reset is not None
    assert stage.whys == {Why.IDLE_TIMEOUT: 1}
    assert stage.cell(stage.backend_states[0].block + counters.FAILURES) == 0


async def test_a_call_that_is_not_answered_at_all_is_the_backends_fault(stage: Stage) -> None:
    stage.backend(never)
    await stage.open(http=H2C, timeouts=Timeouts(tunnel_s=0.15))
    assert (await call(stage)).get(b"grpc-status") == b"14"
    assert stage.whys == {Why.RESPONSE_HEADER_TIMEOUT: 1}
    assert stage.cell(stage.backend_states[0].block + counters.FAILURES) == 1


async def test_a_cancelled_call_is_the_clients(stage: Stage) -> None:
    gone = asyncio.Event()

    async def script(wire: Wire) -> None:
        await wire.head()
        await wire.has_ended()
        gone.set()

    stage.backend(script)
    await stage.open(http=H2C)
    client = await connect(stage)
    stream = await client.request("/a", *GRPC, method="POST", body=MESSAGE, ends=False)
    await until(lambda: stage.active)
    client.h2.reset_stream(stream, CANCEL)
    await client.flush()
    await gone.wait()
    await until(lambda: calls(stage) == {1: 1})
    assert stage.cell(stage.backend_states[0].block + counters.FAILURES) == 0


async def test_a_backend_that_speaks_grpc_web_itself_is_not_blamed_for_it(stage: Stage) -> None:
    """Its status is a part of the body, which nobody looks into."""
    frame = trailers_frame(b"grpc-status:0\r\n")
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/grpc-web\r\nContent-Length: %d\r\n\r\n" % len(MESSAGE + frame)
    stage.backend(serve(head + MESSAGE + frame))
    await stage.open(http=H2C, health_check=HealthCheck(passive=PassiveChecks()))
    got = await call(stage, kind=((b"content-type", b"application/grpc-web"),))
    assert got.body == MESSAGE + frame
    assert stage.cell(stage.backend_states[0].block + counters.BLAMED) == 0
    assert calls(stage) == {}


async def test_a_call_of_the_web_gets_its_status_in_the_body_alone(stage: Stage) -> None:
    stage.backend(serve(answer()))
    await stage.open(http=HttpConfig(h2c=True, grpc_web=True))
    got = await call(stage, kind=((b"content-type", b"application/grpc-web"),))
    assert (got.get(b"content-type"), got.body) == (b"application/grpc-web", MESSAGE + trailers_frame(b"grpc-status:0\r\n"))
    assert got.trailers == []
