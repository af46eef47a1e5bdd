"""gRPC calls on streams of a backend's connection: what it is told of deadlines and tries, and when it is told to stop."""

from __future__ import annotations

import asyncio

from h2.errors import ErrorCodes
from h2_backend import Asked, H2Backend, Peer
from rawclient import Message
from routed import http, prefix, to
from stage import Stage, until

from balance.config.model import HttpConfig, RateLimit, Retry, Timeouts
from balance.grpc.deadline import read_timeout_s
from balance.model import Why
from balance.runtime import counters

WEB = HttpConfig(grpc_web=True)
MESSAGE = b"\x00\x00\x00\x00\x03abc"


def call(*fields: str, path: str = "/pkg.Service/Method") -> bytes:
    lines = "".join(f"{field}\r\n" for field in fields)
    head = f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Type: application/grpc-web+proto\r\n{lines}Content-Length: 8\r\n\r\n"
    return head.encode() + MESSAGE


async def ask(stage: Stage, request: bytes) -> Message:
    client = await stage.client()
    await client.send(request)
    return await client.reply()


def well(peer: Peer, asked: Asked) -> None:
    peer.h2.send_headers(asked.stream_id, [(":status", "200"), ("content-type", "application/grpc+proto")])
    peer.h2.send_data(asked.stream_id, MESSAGE)
    peer.h2.send_headers(asked.stream_id, [("grpc-status", "0")], end_stream=True)


def unavailable(peer: Peer, asked: Asked) -> None:
    fields = [(":status", "200"), ("content-type", "application/grpc"), ("grpc-status", "14")]
    peer.h2.send_headers(asked.stream_id, fields, end_stream=True)


def silent(peer: Peer, asked: Asked) -> None:
    """It never answers."""


async def test_at_its_deadline_a_call_is_cancelled_and_the_connection_stays(stage: Stage) -> None:
    played = H2Backend(lambda peer, asked: silent(peer, asked) if "slow" in asked.path else well(peer, asked))
    stage.backend(played.script)
    await stage.open(http=WEB, protocol="h2c")
    assert (await ask(stage, call("grpc-timeout: 100m", path="/slow"))).get("grpc-status") == "4"
    await until(lambda: played.asked[0].reset == ErrorCodes.CANCEL)
    assert (await ask(stage, call())).body.startswith(MESSAGE)
    assert len(played.peers) == 1
    asked = played.asked[1]
    assert (asked.get("te"), asked.get("content-type"), bytes(asked.body)) == ("trailers", "application/grpc+proto", MESSAGE)


async def test_a_listed_status_goes_to_another_backend_and_the_connection_stays(stage: Stage) -> None:
    first, second = H2Backend(unavailable), H2Backend(well)
    stage.backend(first.script)
    stage.backend(second.script)
    await stage.open(http=WEB, protocol="h2c", retry=Retry(on=("unavailable",), backoff_base_s=0.01))
    for _ in range(3):
        assert (await ask(stage, call())).body.startswith(MESSAGE)
    assert len(first.peers) == len(second.peers) == 1
    again = [asked for asked in second.asked if asked.get("grpc-previous-rpc-attempts") == "1"]
    assert len(again) == len(first.asked) > 0
    assert stage.cell(stage.backend_states[0].block + counters.RETRIES) == len(first.asked)


async def test_the_time_in_a_queue_is_taken_off_the_deadline(stage: Stage) -> None:
    waiting: list[tuple[Peer, Asked]] = []

    def answer(peer: Peer, asked: Asked) -> None:
        if waiting:
            well(peer, asked)
        else:
            waiting.append((peer, asked))

    played = H2Backend(answer)
    stage.backend(played.script)
    await stage.open(http=WEB, protocol="h2c", limits=[1])
    first, second = await stage.client(), await stage.client()
    await first.send(call())
    await until(lambda: waiting)
    await second.send(call("grpc-timeout: 10S"))
    await asyncio.sleep(0.4)
    well(*waiting[0])
    await waiting[0][0].flush()
    assert (await second.reply()).status == 200
    assert 5 < read_timeout_s((played.asked[1].get("grpc-timeout") or "").encode()) <= 9.65


async def test_a_routes_timeout_bounds_deadlines_and_not_calls_without_one(stage: Stage) -> None:
    waiting: list[tuple[Peer, Asked]] = []
    played = H2Backend(lambda peer, asked: waiting.append((peer, asked)))
    stage.backend(played.script)
    await stage.open(http=http(to("all", timeouts=Timeouts(request_s=0.2)), grpc_web=True), protocol="h2c")
    client = await stage.client()
    await client.send(call())
    await until(lambda: waiting)
    assert (await ask(stage, call("grpc-timeout: 1M"))).get("grpc-status") == "4"
    told = played.asked[1].get("grpc-timeout") or ""
    assert read_timeout_s(told.encode()) <= 0.2
    await asyncio.sleep(0.3)
    well(*waiting[0])
    await waiting[0][0].flush()
    assert (await client.reply()).body.startswith(MESSAGE)


async def test_what_routes_and_limits_refuse_is_a_status(stage: Stage) -> None:
    played = H2Backend(well)
    stage.backend(played.script)
    once = RateLimit(enabled=True, requests_per_second=0.1, burst=1)
    await stage.open(http=http(to("one", match=prefix("/one"), rate_limit=once), grpc_web=True), protocol="h2c")
    assert (await ask(stage, call(path="/other/A"))).get("grpc-status") == "12"
    assert (await ask(stage, call(path="/one/A"))).body.startswith(MESSAGE)
    refused = await ask(stage, call(path="/one/A"))
    assert (refused.status, refused.get("grpc-status")) == (200, "8")
    assert refused.get("retry-after") is not None
    assert stage.whys == {Why.NO_ROUTE: 1, Why.OK: 1, Why.RATE_LIMITED: 1}
