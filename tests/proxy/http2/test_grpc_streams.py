"""gRPC calls over HTTP/2: what a client's library takes for a status arrives as one, whoever has said it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from h2_backend import Asked, H2Backend, Peer, replies
from http2_client import Reply, connect
from rawclient import Message, Wire, chunked
from routed import http, prefix, to
from scripts import never, says_and_waits
from stage import Script, Stage, serve, until

from balance.config.model import ConnectionProtection, HealthCheck, HttpConfig, Limits, PassiveChecks, Timeouts
from balance.config.route_model import Buffering
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


def begin(peer: Peer, asked: Asked) -> None:
    peer.h2.send_headers(asked.stream_id, [(":status", "200"), ("content-type", "application/grpc")])


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
    assert (got.get(b"grpc-message") or b"").endswith(b" (header_too_large)")
    assert stage.whys == {Why.HEADER_TOO_LARGE: 1}


async def test_other_posts_get_pages_as_ever(stage: Stage) -> None:
    await stage.open(stage.refusing(), http=H2C)
    got = await call(stage, kind=((b"content-type", b"application/json"),))
    assert (got.status, got.get(b"grpc-status")) == (502, None)
    assert calls(stage) == {}


async def test_a_deadline_is_told_as_such(stage: Stage) -> None:
    stage.backend(says_and_waits())
    await stage.open(http=H2C)
    got = await call(stage, (b"grpc-timeout", b"600m"))  # long enough for a busy machine to dial
    assert (got.status, got.get(b"grpc-status")) == (200, b"4")
    assert stage.cell(stage.backend_states[0].block + counters.FAILURES) == 1


async def test_a_watch_outlives_the_timeouts_of_other_requests(stage: Stage) -> None:
    played = H2Backend(begin, at_head=True)
    stage.backend(played.script)
    await stage.open(http=H2C, protocol="h2c", timeouts=Timeouts(read_s=0.1, client_body_s=0.1, request_s=0.1))
    client = await connect(stage)
    stream = await client.request("/watch", *GRPC, method="POST", body=MESSAGE, ends=False)
    await until(lambda: played.asked)
    await asyncio.sleep(0.5)
    peer = played.peers[0]
    peer.h2.send_data(1, MESSAGE)
    peer.h2.send_headers(1, [("grpc-status", "0")], end_stream=True)
    await peer.flush()
    got = await client.reply(stream)
    assert (got.body, got.trailers) == (MESSAGE, [(b"grpc-status", b"0")])


@pytest.mark.parametrize("is_half_closed", [True, False])
async def test_a_quiet_watch_is_nobodys_fault(stage: Stage, is_half_closed: bool) -> None:
    def answer(peer: Peer, asked: Asked) -> None:
        begin(peer, asked)
        peer.h2.send_data(asked.stream_id, MESSAGE)

    stage.backend(H2Backend(answer, at_head=True).script)
    await stage.open(http=H2C, protocol="h2c", timeouts=Timeouts(tunnel_s=0.15))
    client = await connect(stage)
    stream = await client.request("/watch", *GRPC, method="POST", body=MESSAGE, ends=is_half_closed)
    assert (await client.reply(stream)).reset is not None
    assert stage.whys == {Why.IDLE_TIMEOUT: 1}
    assert stage.cell(stage.backend_states[0].block + counters.FAILURES) == 0


async def test_a_call_that_is_not_answered_at_all_is_the_backends_fault(stage: Stage) -> None:
    stage.backend(H2Backend(lambda peer, asked: None).script)
    await stage.open(http=H2C, protocol="h2c", timeouts=Timeouts(tunnel_s=0.15))
    assert (await call(stage)).get(b"grpc-status") == b"14"
    assert stage.whys == {Why.RESPONSE_HEADER_TIMEOUT: 1}
    assert stage.cell(stage.backend_states[0].block + counters.FAILURES) == 1


# --- backends that speak no HTTP/2 can't serve a call: there it is a POST as any other ---------------------------

RATE = ConnectionProtection(enabled=True, min_body_rate=1_000_000, min_body_rate_grace_s=0.2)
BEHIND = pytest.mark.parametrize("is_routed", [False, True], ids=["listener", "route"])


async def open_posts(stage: Stage, script: Script, *, is_routed: bool, buffering: Buffering | None = None, **more: Any) -> None:
    """A backend of HTTP/1: that of the listener, or that of a route, while the listener's own pool speaks HTTP/2."""
    posts = stage.backend(script)
    buffering = buffering or Buffering()
    if not is_routed:
        await stage.open(http=HttpConfig(h2c=True, buffering=buffering), **more)
        return
    stage.backend(replies().script)
    route = to("posts", "posts", match=prefix("/"), timeouts=more.get("timeouts"), buffering=buffering)
    await stage.open(http=http(route, h2c=True), pools={"posts": [posts]}, protocol="h2c", **more)


@BEHIND
@pytest.mark.parametrize(
    ("timeouts", "protection", "why"),
    [
        (Timeouts(client_body_s=0.2), None, Why.BODY_TIMEOUT),
        (Timeouts(request_s=0.2), None, Why.TOTAL_TIMEOUT),
        (Timeouts(), RATE, Why.BODY_TIMEOUT),
    ],
    ids=["client_body", "request", "min_body_rate"],
)
async def test_a_slow_body_is_no_call_where_no_backend_speaks_http2(
    stage: Stage, is_routed: bool, timeouts: Timeouts, protection: ConnectionProtection | None, why: Why
) -> None:
    await open_posts(stage, never, is_routed=is_routed, timeouts=timeouts, protection=protection)
    client = await connect(stage)
    stream = await client.request("/", *GRPC, method="POST", body=b"slow", ends=False)
    got = await client.reply(stream)
    assert (got.status, stage.whys) == (200, {why: 1})
    assert got.get(b"grpc-status") == (b"4" if why is Why.TOTAL_TIMEOUT else b"1")


@BEHIND
async def test_a_reply_that_does_not_come_is_waited_for_as_others_are_where_no_backend_speaks_http2(
    stage: Stage, is_routed: bool
) -> None:
    await open_posts(stage, never, is_routed=is_routed, timeouts=Timeouts(read_s=0.2))
    assert (await call(stage)).get(b"grpc-status") == b"14"
    assert stage.whys == {Why.RESPONSE_HEADER_TIMEOUT: 1}


@BEHIND
async def test_a_body_is_buffered_where_no_backend_speaks_http2(stage: Stage, is_routed: bool) -> None:
    seen: list[Message] = []

    def reply(request: Message) -> bytes:
        seen.append(request)
        return answer()

    await open_posts(stage, serve(reply), is_routed=is_routed, buffering=Buffering(request_bytes=100_000))
    client = await connect(stage)
    stream = await client.request("/", *GRPC, method="POST", body=MESSAGE, ends=False)
    await client.reply(await client.request("/other"))
    await client.send(stream, MESSAGE, ends=True)
    assert (await client.reply(stream)).trailers == [(b"grpc-status", b"0")]
    assert [(request.get("content-length"), request.body) for request in seen] == [(None, b""), ("16", MESSAGE * 2)]


@BEHIND
async def test_a_slow_body_is_a_call_where_backends_speak_http2(stage: Stage, is_routed: bool) -> None:
    played = H2Backend(begin, at_head=True)
    stage.backend(played.script)
    timeouts = Timeouts(read_s=0.2, client_body_s=0.2, request_s=0.2)
    routes = [to("watch", match=prefix("/"), timeouts=timeouts)] if is_routed else []
    await stage.open(http=http(*routes, h2c=True), protocol="h2c", timeouts=timeouts, protection=RATE)
    client = await connect(stage)
    stream = await client.request("/watch", *GRPC, method="POST", body=MESSAGE, ends=False)
    await until(lambda: played.asked)
    await asyncio.sleep(0.5)
    played.peers[0].h2.send_headers(1, [("grpc-status", "0")], end_stream=True)
    await played.peers[0].flush()
    assert (await client.reply(stream)).trailers == [(b"grpc-status", b"0")]


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
