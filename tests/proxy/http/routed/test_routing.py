"""Routes over real connections: who serves a request, what is told of it, and what a stage may do with it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rawclient import Message, Wire, get, ok, post
from routed import http, prefix, to
from stage import Backend, Stage, serve, until

import balance.stages
from balance.config.model import AccessLog, Limits, Timeouts
from balance.config.route_model import Condition, HeaderChange, RouteConfig, RouteMatch, TrafficPolicy, Transform
from balance.config.route_model import Rule as Denial
from balance.model import Why
from balance.runtime import counters
from balance.stages.environment import StageEnvironment
from balance.stages.request_context import RequestContext
from balance.stages.stage import Reply, ReplyHead, Wait
from balance.stages.stage import Stage as Rule


def named(name: str) -> Callable[[Message], bytes]:
    return lambda request: ok(name.encode())


def two(stage: Stage) -> dict[str, list[Backend]]:
    """Backends of the pools `pool` and `api`."""
    stage.backend(serve(named("web")))
    return {"api": [stage.backend(serve(named("api")))]}


async def ask(wire: Wire, path: str, *fields: str) -> Message:
    await wire.send(get(path, *fields))
    return await wire.reply()


async def test_a_request_goes_to_the_pool_of_its_route_on_one_connection(stage: Stage) -> None:
    await stage.open(http=http(to("api", "api", match=prefix("/api")), to("rest")), pools=two(stage))
    wire = await stage.client()
    assert [(await ask(wire, path)).body for path in ("/", "/api/x", "/apix", "/api?q", "/")] == [
        b"web", b"api", b"web", b"api", b"web"
    ]  # fmt: skip


async def test_a_request_that_no_route_is_for_is_answered_404_and_the_connection_stays(stage: Stage) -> None:
    await stage.open(http=http(to("api", "api", match=prefix("/api"))), pools=two(stage))
    wire = await stage.client()
    reply = await ask(wire, "/other")
    assert (reply.status, json.loads(reply.body)["why"]) == (404, "no_route")
    assert (await ask(wire, "/api")).body == b"api"
    assert stage.whys == {Why.NO_ROUTE: 1, Why.OK: 1}


async def test_a_body_that_no_route_is_for_is_not_taken_for_a_request(stage: Stage) -> None:
    await stage.open(http=http(to("api", "api", match=prefix("/api"))), pools=two(stage))
    wire = await stage.client()
    await wire.send(post(b"GET /api HTTP/1.1\r\nHost: x\r\n\r\n", target="/other"))
    assert (await wire.reply()).status == 404
    assert (await ask(wire, "/api")).body == b"api"


async def test_the_log_and_the_counters_name_the_route(stage: Stage, tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    access = AccessLog(enabled=True, output=str(log))
    await stage.open(http=http(to("api", "api", match=prefix("/api")), to("rest")), pools=two(stage), access=access)
    wire = await stage.client()
    for path in ("/api", "/", "/api"):
        await ask(wire, path)
    await until(lambda: log.read_text().count("\n") == 3)
    assert [json.loads(line)["route"] for line in log.read_text().splitlines()] == ["api", "rest", "api"]
    slot = stage.snapshot.slots["/", "main/api"]
    assert stage.cell(counters.block(slot) + counters.ROUTE_HITS) == 2
    assert stage.cell(counters.block(slot) + counters.ROUTE_LAST_US) > 0
    assert {counters.series_parts(stage.cell(at))[3] for at in counters.series_pairs(stage.row.cells) if stage.cell(at)} == {
        slot,
        stage.snapshot.slots["/", "main/rest"],
    }


async def test_a_denial_says_when_to_ask_again_if_the_rule_does(stage: Stage) -> None:
    def denial(**more: Any) -> TrafficPolicy:
        return TrafficPolicy(rules=(Denial(Condition("prefix", "path", value="/"), "deny", status=503, **more),))

    routes = to("closed", match=prefix("/closed"), policy=denial(retry_after_s=600)), to("rest", policy=denial())
    await stage.open(http=http(*routes))
    wire = await stage.client()
    assert [(await ask(wire, path)).get("retry-after") for path in ("/closed", "/")] == ["600", None]


async def test_a_route_has_its_own_timeouts(stage: Stage) -> None:
    async def silent(wire: Wire) -> None:
        await wire.request()
        await asyncio.Event().wait()

    stage.backend(silent)
    quick = to("quick", match=prefix("/quick"), timeouts=Timeouts(read_s=0.1))
    await stage.open(http=http(quick, to("rest")), timeouts=Timeouts(read_s=30))
    patient = await stage.client()
    await patient.send(get("/slow"))
    reply = await ask(await stage.client(), "/quick")
    assert (reply.status, json.loads(reply.body)["why"]) == (504, "response_header_timeout")
    patient.close()


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_route_may_allow_smaller_bodies_than_its_listener(stage: Stage, chunked: bool) -> None:
    small = to("small", match=prefix("/small"), body_bytes=10)
    stage.backend(serve(named("web")))
    await stage.open(http=http(small, to("rest"), limits=Limits(body_bytes=100)))

    async def status(path: str, body: bytes) -> int:
        wire = await stage.client()
        if chunked:
            framed = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
            head = f"POST {path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
            await wire.send(head + framed)
        else:
            await wire.send(post(body, target=path))
        return (await wire.reply()).status

    assert [await status("/small", b"x" * 11), await status("/small", b"x" * 10), await status("/", b"x" * 11)] == [
        413, 200, 200
    ]  # fmt: skip


async def test_a_reload_keeps_what_is_the_same_of_a_route_and_its_counters(stage: Stage) -> None:
    api, rest = to("api", "api", match=prefix("/api")), to("rest")
    await stage.open(http=http(api, rest), pools=two(stage))
    wire = await stage.client()
    await ask(wire, "/api")
    before = stage.snapshot
    config = before.config
    changed = replace(config.listeners[0], http=http(replace(api, match=prefix("/v2")), rest))
    await stage.reload(replace(config, listeners=(changed,)))
    assert (await ask(wire, "/api")).body == b"web"
    assert (await ask(wire, "/v2")).body == b"api"
    slot = stage.snapshot.slots["/", "main/api"]
    assert slot == before.slots["/", "main/api"]
    assert stage.cell(counters.block(slot) + counters.ROUTE_HITS) == 2
    old, new = before.listeners[0].router, stage.snapshot.listeners[0].router
    assert old is not None
    assert new is not None
    assert [one is other for one, other in zip(old.routes, new.routes, strict=True)] == [False, True]


async def test_a_reload_keeps_no_reply_of_a_route_that_is_gone(stage: Stage) -> None:
    changes = Transform(response_headers=(HeaderChange("set", "X-Got", "1"),))
    await stage.open(http=http(to("api", "api", match=prefix("/api"), transform=changes), to("rest")), pools=two(stage))
    wire = await stage.client()
    assert (await ask(wire, "/api")).get("x-got") == "1"
    config = stage.snapshot.config
    other = Transform(response_headers=(HeaderChange("set", "X-Got", "2"),))
    changed = replace(config.listeners[0], http=http(to("api", "api", match=prefix("/api"), transform=other), to("rest")))
    gone = stage.snapshot.listeners[0].router.routes[0]  # type: ignore[union-attr]
    await stage.reload(replace(config, listeners=(changed,)))
    kept = [made for made in stage.worker.response_reader._cache.values() if made.changes and gone in made.changes]
    assert kept == []
    assert (await ask(wire, "/api")).get("x-got") == "2"


# --- stages ---------------------------------------------------------------------------------------------


class Scripted(Rule):
    """Answers what a test says."""

    def __init__(self, answer: Callable[[RequestContext], Any]) -> None:
        self.answer = answer

    def on_request(self, context: RequestContext) -> Reply | Wait | None:
        answer: Reply | Wait | None = self.answer(context)
        return answer


class Marks(Rule):
    """Adds a line to each reply."""

    def __init__(self, mark: bytes) -> None:
        self.mark = mark

    def on_reply(self, context: RequestContext, reply: ReplyHead) -> None:
        reply.lines += b"X-Mark: %b %d %b\r\n" % (self.mark, reply.status, b"own" if reply.is_own else context.backend.encode())


def with_stages(monkeypatch: pytest.MonkeyPatch, *stages: Rule) -> None:
    def build(stage: Rule) -> Callable[[RouteConfig, StageEnvironment], Rule]:
        return lambda route, environment: stage

    monkeypatch.setattr(balance.stages, "STAGES", tuple(build(stage) for stage in stages))


async def test_stages_are_asked_in_order_until_one_replies(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def first(context: RequestContext) -> None:
        asked.append(f"first {context.path.decode()}{context.query.decode()}")
        context.rule = "first"

    def second(context: RequestContext) -> Reply | None:
        asked.append("second")
        return Reply(302, Why.OK, lines=b"Location: /there\r\n", body=b"") if context.path == b"/here" else None

    with_stages(monkeypatch, Scripted(first), Scripted(second))
    await stage.open(http=http(to("all")), pools=two(stage))
    wire = await stage.client()
    reply = await ask(wire, "/here?x")
    assert (reply.status, reply.get("location"), reply.get("content-length")) == (302, "/there", "0")
    assert (await ask(wire, "/")).body == b"web"
    assert asked == ["first /here?x", "second", "first /", "second"]


async def test_a_stage_chooses_the_pool_and_changes_what_the_backend_gets(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Message] = []

    def answer(request: Message) -> bytes:
        seen.append(request)
        return ok(b"api")

    def change(context: RequestContext) -> None:
        context.pool = "api"
        context.path = b"/changed"
        context.forward += b"X-Added: yes\r\n"
        context.reply_lines += b"Set-Cookie: side=a\r\n"

    with_stages(monkeypatch, Scripted(change))
    stage.backend(serve(named("web")))
    await stage.open(http=http(to("all", "pool", "api")), pools={"api": [stage.backend(serve(answer))]})
    reply = await ask(await stage.client(), "/asked?q=1")
    assert (reply.body, reply.get("set-cookie")) == (b"api", "side=a")
    assert (seen[0].line, seen[0].get("x-added")) == ("GET /changed?q=1 HTTP/1.1", "yes")


async def test_reply_sides_see_backends_replies_and_our_own_last_stage_first(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def judge(context: RequestContext) -> Reply | None:
        if context.path == b"/denied":
            return Reply(403, Why.DENIED, "no")
        return Reply(200, Why.OK, lines=b"Content-Type: text/plain\r\n", body=b"hi") if context.path == b"/fixed" else None

    with_stages(monkeypatch, Scripted(judge), Marks(b"a"), Marks(b"b"))
    await stage.open(http=http(to("all")), pools=two(stage))
    wire = await stage.client()
    assert [(await ask(wire, path)).all("x-mark") for path in ("/", "/denied", "/fixed")] == [
        ["b 200 n1", "a 200 n1"],
        ["b 403 own", "a 403 own"],
        ["b 200 own", "a 200 own"],
    ]


async def test_a_wait_ends_by_wake_or_by_its_time(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    waiting: list[RequestContext] = []

    def wait(context: RequestContext) -> Wait:
        waiting.append(context)
        denied = context.path == b"/denied"
        return Wait(0.05 if context.path != b"/woken" else 30.0, Reply(503, Why.DENIED, "late") if denied else None)

    with_stages(monkeypatch, Scripted(wait))
    await stage.open(http=http(to("all")), pools=two(stage))
    wire = await stage.client()
    assert (await ask(wire, "/")).body == b"web"
    assert (await ask(wire, "/denied")).status == 503
    await wire.send(get("/woken"))
    await until(lambda: len(waiting) == 3)
    waiting[-1].wake(None)
    waiting[-1].wake(None)  # no effect any more
    assert (await wire.reply()).body == b"web"


async def test_a_client_that_leaves_during_a_wait_is_not_served(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    waiting: list[RequestContext] = []

    def wait(context: RequestContext) -> Wait:
        waiting.append(context)
        return Wait(30.0)

    with_stages(monkeypatch, Scripted(wait))
    await stage.open(http=http(to("all")), pools=two(stage))
    wire = await stage.client()
    await wire.send(get("/"))
    await until(lambda: waiting)
    wire.close()
    await stage.settled()
    waiting[0].wake(None)
    assert stage.whys == {Why.CLIENT_ABORT: 1}
    assert not any(backend.wires for backend in stage.backends)


async def test_a_body_that_arrives_during_a_wait_is_sent_whole(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    waiting: list[RequestContext] = []
    seen: list[bytes] = []

    def answer(request: Message) -> bytes:
        seen.append(request.body)
        return ok(b"web")

    def wait(context: RequestContext) -> Wait:
        waiting.append(context)
        return Wait(30.0)

    with_stages(monkeypatch, Scripted(wait))
    stage.backend(serve(answer))
    await stage.open(http=http(to("all")))
    wire = await stage.client()
    await wire.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n")
    await until(lambda: waiting)
    await wire.send(b"x" * 60_000)
    waiting[0].wake(None)
    await wire.send(b"y" * 40_000)
    assert (await wire.reply()).body == b"web"
    assert seen == [b"x" * 60_000 + b"y" * 40_000]


async def test_a_stage_that_crashes_ends_the_request_and_releases_all(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def crash(context: RequestContext) -> None:
        raise ZeroDivisionError

    with_stages(monkeypatch, Scripted(crash))
    await stage.open(http=http(to("all", match=RouteMatch())), pools=two(stage))
    wire = await stage.client()
    await wire.send(get("/", "X-Request-Id: abc"))
    await wire.has_ended()
    await stage.settled()
    assert stage.whys == {Why.INTERNAL_ERROR: 1}
    assert [getattr(record, "request_id", None) for record in caplog.records if "Balance's own" in record.message] == ["abc"]
    keys = [key for at in counters.series_pairs(stage.row.cells) if (key := stage.cell(at))]
    assert [counters.series_parts(key)[2] for key in keys] == [500]
    assert "ZeroDivisionError" in stage.failures[0]
    stage.failures.clear()
