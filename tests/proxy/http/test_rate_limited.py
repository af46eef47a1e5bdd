"""Rate limits on the wire: what a client gets who asks too often, and that its connection goes on."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rawclient import get, ok, post
from routed import http, prefix, to
from stage import Stage, serve, until

from balance.config.model import AccessLog, RateLimit
from balance.model import Why
from balance.security.settings import Jwt, RouteSecurity, SecurityHeaders

ONE = RateLimit(enabled=True, requests_per_second=0.5, burst=1)
FIELDS = (b"ratelimit", b"ratelimit-policy", b"x-ratelimit-limit", b"x-ratelimit-remaining", b"x-ratelimit-reset")


async def test_who_asks_too_often_is_refused_and_its_connection_goes_on(stage: Stage) -> None:
    backend = stage.backend(serve(ok(b"hello")))
    await stage.open(http=http(to("free", match=prefix("/free")), to("limited", rate_limit=ONE)))
    wire = await stage.client()
    await wire.send(get("/") + get("/") + post(b"x" * 1000) + get("/free"))
    replies = [await wire.reply() for _ in range(4)]
    heads = [reply.raw.lower() for reply in replies]
    assert [reply.line.split()[1] for reply in replies] == ["200", "429", "429", "200"]
    assert all(head.count(b"\r\n" + name + b":") == 1 for head in heads[:3] for name in FIELDS)
    assert [b"retry-after: 2\r\n" in head for head in heads] == [False, True, True, False]
    assert json.loads(replies[1].body)["why"] == "rate_limited"
    assert b"ratelimit" not in heads[3]
    assert len(backend.wires) == 1
    assert stage.whys[Why.RATE_LIMITED] == 2


async def test_what_is_left_of_a_refused_request_does_not_become_another_one(stage: Stage) -> None:
    stage.backend(serve(ok(b"hello")))
    await stage.open(http=http(to("limited", rate_limit=ONE)))
    wire = await stage.client()
    await wire.send(get("/") + b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    assert [(await wire.reply()).line.split()[1] for _ in range(2)] == ["200", "429"]
    inner = get("/smuggled")
    await wire.send(b"%x\r\n%b\r\n0\r\n\r\n" % (len(inner), inner))
    assert stage.whys == {Why.OK: 1, Why.RATE_LIMITED: 1}


@pytest.mark.parametrize("report_only", [False, True])
async def test_the_access_log_says_what_was_refused_and_what_was_only_reported(
    stage: Stage, tmp_path: Path, report_only: bool
) -> None:
    stage.backend(serve(ok(b"hello")))
    config = replace(ONE, report_only=report_only)
    file = tmp_path / "access.log"
    await stage.open(http=http(to("limited", rate_limit=config)), access=AccessLog(True, "json", str(file)))
    wire = await stage.client()
    await wire.send(get("/") + get("/"))
    statuses = [(await wire.reply()).line.split()[1] for _ in range(2)]
    assert statuses == (["200", "200"] if report_only else ["200", "429"])
    await until(lambda: file.read_text().count("\n") == 2, "two lines")
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    second = ("ok" if report_only else "rate_limited", "rate_limit")
    assert [(line["why"], line.get("rule") or "") for line in lines] == [("ok", ""), second]


FIVE = RateLimit(enabled=True, requests_per_second=0.001, burst=5)
KEYED = get("/", "X-Key: one", "Cookie: id=1")


@pytest.mark.parametrize(
    "keys", [("client-ip",), ("route",), ("header:X-Key",), ("cookie:id",), ("path",), ("client-ip", "route")]
)
@pytest.mark.parametrize(
    "more", [{}, {"security": RouteSecurity(headers=SecurityHeaders(enabled=True))}], ids=["alone", "with others"]
)
async def test_requests_with_the_same_lines_are_counted_each(stage: Stage, keys: tuple[str, ...], more: dict[str, Any]) -> None:
    """What else the route does is done once for all of them; what is told is of each."""
    stage.backend(serve(ok(b"hello")))
    await stage.open(http=http(to("limited", rate_limit=replace(FIVE, key=keys), **more)))
    found = []
    for _ in range(2):
        wire = await stage.client()
        for _ in range(4):
            await wire.send(KEYED)
            reply = await wire.reply()
            assert all(reply.raw.lower().count(b"\r\n" + name + b":") == 1 for name in FIELDS)
            assert (b"x-content-type-options" in reply.raw.lower()) is bool(more)
            found.append((reply.status, reply.get("x-ratelimit-remaining")))
    assert found == [(200, "4"), (200, "3"), (200, "2"), (200, "1"), (200, "0"), (429, "0"), (429, "0"), (429, "0")]
    wire = await stage.client()
    await wire.send(get("/", "X-Key: two", "Cookie: id=2"))
    assert (await wire.reply()).status == (200 if keys[0] in ("header:X-Key", "cookie:id") else 429)


@pytest.mark.parametrize(
    "config", [replace(FIVE, report_only=True), replace(FIVE, allowlist=("127.0.0.0/8",)), replace(FIVE, headers=False)]
)
async def test_what_else_a_limit_is_told_holds_for_each_of_them(stage: Stage, config: RateLimit) -> None:
    stage.backend(serve(ok(b"hello")))
    await stage.open(http=http(to("limited", rate_limit=config)))
    wire = await stage.client()
    statuses = []
    for _ in range(7):
        await wire.send(KEYED)
        reply = await wire.reply()
        statuses.append(reply.status)
        assert (reply.get("x-ratelimit-limit") is not None) is config.report_only
    assert statuses == ([200] * 5 + [429] * 2 if not config.headers else [200] * 7)


async def test_where_a_limit_goes_by_claims_wrong_tokens_are_counted_by_address(stage: Stage) -> None:
    stage.backend(serve(ok(b"hello")))
    jwt = Jwt(enabled=True, algorithms=("HS256",), secret="0123456789abcdef0123456789abcdef")
    limit = replace(FIVE, burst=2, key=("jwt:sub",))
    await stage.open(http=http(to("api", rate_limit=limit, security=RouteSecurity(jwt=jwt))))
    wire = await stage.client()
    statuses = []
    for line in ("X-None: 1", "Authorization: Bearer x.y.z", "Authorization: Bearer x.y.a", "Authorization: Bearer x.y.b"):
        await wire.send(get("/", line))
        statuses.append((await wire.reply()).status)
    assert statuses == [401, 401, 401, 429]
