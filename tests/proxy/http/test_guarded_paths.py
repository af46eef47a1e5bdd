"""Rules and ambiguous paths over real connections: what a client is told, what a backend gets, what the log says."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rawclient import Message, Wire, get, ok, post
from routed import http, prefix, to
from stage import Stage, serve, until

from balance.config.model import AccessLog
from balance.config.route_model import Condition, Redirect, Rule, TrafficPolicy, Transform
from balance.model import Why

ADMIN = Condition("prefix", "path", value="/admin")
GUARDED = TrafficPolicy(
    rules=(
        Rule(ADMIN, "deny", name="no admin"),
        Rule(Condition("equals", "path", value="/old"), "redirect", name="moved", redirect=Redirect(path="/new", status=301)),
        Rule(Condition("exists", "header", "x-next", True), "route", name="next", pool="next"),
    )
)


def first_line(name: str) -> Callable[[Message], bytes]:
    return lambda request: ok(f"{name}: {request.line}".encode())


async def ask(wire: Wire, path: str, *fields: str) -> Message:
    await wire.send(get(path, *fields))
    return await wire.reply()


async def opened(stage: Stage, normalize: str = "reject", **more: Any) -> Wire:
    stage.backend(serve(first_line("main")))
    pools = {"next": [stage.backend(serve(first_line("next")))]}
    strips = to("api", match=prefix("/api"), transform=Transform(strip_prefix="/api"))
    await stage.open(http=http(strips, to("all", "pool", "next", policy=GUARDED), normalize=normalize), pools=pools, **more)
    return await stage.client()


@pytest.mark.parametrize(
    ("path", "status", "why"),
    [
        ("/admin", 403, "denied"),
        ("/x/../admin", 400, "ambiguous_path"),
        ("/%61dmin", 400, "ambiguous_path"),
        ("/admin%2f..", 400, "ambiguous_path"),
        ("/api/admin", 403, "denied"),
        ("/api/%2e%2e/admin", 400, "ambiguous_path"),
    ],
)
async def test_a_guard_answers_and_the_connection_stays(stage: Stage, path: str, status: int, why: str) -> None:
    wire = await opened(stage)
    await wire.send(post(b"GET /evil HTTP/1.1\r\nHost: x\r\n\r\n", target=path))
    reply = await wire.reply()
    assert (reply.status, json.loads(reply.body)["why"]) == (status, why)
    assert (await ask(wire, "/x")).body == b"main: GET /x HTTP/1.1"
    assert stage.whys == {Why[why.upper()]: 1, Why.OK: 1}


@pytest.mark.parametrize(
    "target", ["/@scope%2fname", "/page;jsessionid=1", "/x//y?a=1&a=2&b=%2e%2E//", "/a/../b?", "/%7euser", "/a+b%20c?d+e"]
)
async def test_what_leads_nowhere_else_goes_on_as_it_was_sent(stage: Stage, target: str) -> None:
    wire = await opened(stage)
    assert (await ask(wire, target)).body == b"main: GET %b HTTP/1.1" % target.encode()


async def test_what_a_rule_decided_is_counted_at_the_rule_and_at_the_route_that_was_taken(stage: Stage) -> None:
    wire = await opened(stage)
    asked = [("/admin", ()), ("/old", ()), ("/x", ("X-Next: 1",)), ("/x", ("X-Next: 1",)), ("/x", ()), ("/api/admin", ())]
    for path, fields in asked:
        await ask(wire, path, *fields)
    assert [stage.hits("all", rule) for rule in ("no admin", "moved", "next")] == [2, 1, 2]  # one by a changed path
    assert (stage.hits("all"), stage.hits("api")) == (5, 1)


async def test_a_normalized_path_goes_on_where_the_file_says_so(stage: Stage) -> None:
    wire = await opened(stage, normalize="forward")
    assert (await ask(wire, "/x/../%61pi/y?a=//b")).body == b"main: GET /y?a=//b HTTP/1.1"
    assert (await ask(wire, "/x/../%61dmin")).status == 403
    assert (await ask(wire, "/x/y/../z")).body == b"main: GET /x/y/../z HTTP/1.1"


async def test_rules_redirect_and_choose_the_pool(stage: Stage) -> None:
    wire = await opened(stage)
    assert (await ask(wire, "/x", "X-Next: 1")).body == b"next: GET /x HTTP/1.1"
    assert (await ask(wire, "/admin", "X-Next: 1")).status == 403
    reply = await ask(wire, "/old?q=1")
    assert (reply.status, reply.get("location")) == (301, "/new?q=1")


async def test_the_log_names_the_rule(stage: Stage, tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    wire = await opened(stage, access=AccessLog(enabled=True, output=str(log)))
    for path in ("/admin", "/old", "/x"):
        await ask(wire, path)
    await until(lambda: log.read_text().count("\n") == 3)
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [(line["why"], line.get("rule", "")) for line in lines] == [
        ("denied", "no admin"),
        ("redirected", "moved"),
        ("ok", ""),
    ]


async def test_a_host_is_compared_in_one_spelling_and_forwarded_as_sent(stage: Stage) -> None:
    stage.backend(serve(lambda request: ok((request.get("host") or "").encode())))
    await stage.open(http=http(to("shop", match=prefix("/", host="shop.example.com"))))
    for host in ("Shop.EXAMPLE.com:8080", "shop.example.com.", "shop.example.com"):
        wire = await stage.client()
        await wire.send(f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        assert (await wire.reply()).body == host.encode()
