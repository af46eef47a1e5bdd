"""Requests whose lines were seen before, and settle what their route's stages do: nobody can tell them from the first ones."""

from __future__ import annotations

import gzip
import ipaddress
import json
import random
import re
import time
from dataclasses import replace
from pathlib import Path

import pytest
from rawclient import Message, Wire, get, ok
from routed import http, to
from stage import Script, Stage, serve, until
from tokens import GOOD, SECRET, by_hand

from balance.config.common_model import RateLimit
from balance.config.model import AccessLog, Timeouts, TrustedProxy
from balance.config.route_model import (
    BlueGreen,
    Canary,
    Compression,
    Condition,
    Fault,
    HeaderChange,
    RouteConfig,
    Rule,
    TrafficPolicy,
    Transform,
    ValueMatch,
    WeightedPool,
)
from balance.model import Why
from balance.proxy.http.routed.routing import Routing
from balance.security.settings import Jwt, RouteSecurity

NO_TRACK = Rule(Condition("equals", "method", value="TRACK"), "deny", status=403)
NO_BOTS = Rule(Condition("contains", "header", "user-agent", "Bot"), "deny", status=429)
TESTERS = Rule(Condition("equals", "header", "x-team", "qa"), "route", pool="v2")
NO_ADMIN = Rule(Condition("prefix", "path", value="/admin"), "deny", status=403)
CANARY = Canary("v2", 40, key="header:X-User", header=ValueMatch("X-Canary", "present"))
BOTH_WAYS = Transform(
    request_headers=(HeaderChange("set", "X-Via", "us"), HeaderChange("remove", "X-Secret")),
    response_headers=(HeaderChange("set", "X-Frame-Options", "DENY"),),
)
FIVE = to(
    "five",
    "pool",
    "v2",
    transform=BOTH_WAYS,
    compression=Compression(enabled=True, algorithms=("gzip",), types=("text/html",), min_size_bytes=1),
    policy=TrafficPolicy(
        rules=(NO_TRACK, NO_BOTS, TESTERS),
        canary=CANARY,
        fault=Fault(abort_percent=100, header=ValueMatch("X-Fault", "present"), until_s=3600, is_until_relative=True),
    ),
)
ROUTES: dict[str, RouteConfig] = {
    "five stages": FIVE,
    "a path counts": to("path", policy=TrafficPolicy(rules=(NO_BOTS, NO_ADMIN)), transform=BOTH_WAYS),
    "a prefix is stripped": to("strip", transform=Transform(strip_prefix="/a")),
    "a split and a canary": to(
        "split",
        "",
        "pool",
        "v2",
        split=(WeightedPool("pool", 1), WeightedPool("v2", 0)),
        policy=TrafficPolicy(canary=CANARY),
    ),
    "two sides": to("sides", "", "pool", "v2", policy=TrafficPolicy(blue_green=BlueGreen("pool", "v2", header="X-Side"))),
    "another Host": to("host", host="inside.example", transform=BOTH_WAYS),
    "a variable": to(
        "variable", transform=Transform(request_headers=(HeaderChange("set", "X-Client", "{client_ip} {scheme}"),))
    ),
    "none of ours": to("own", transform=Transform(request_headers=(HeaderChange("remove", "X-Forwarded-For"),))),
}
TOKEN = Jwt(
    enabled=True, algorithms=("HS256",), secret=SECRET, claims_to_headers=(("sub", "X-User"),), forward=False, leeway_s=0.0
)
ROUTES |= {
    "a token": to("token", security=RouteSecurity(jwt=TOKEN), policy=TrafficPolicy(canary=CANARY)),
    "a token and a limit": to(
        "both",
        security=RouteSecurity(jwt=replace(TOKEN, claims_to_headers=(), forward=True)),
        rate_limit=RateLimit(enabled=True, requests_per_second=1e6, headers=False),
        transform=BOTH_WAYS,
    ),
}
METHODS = ("GET", "GET", "HEAD", "TRACK")
TARGETS = ("/", "/?q=1", "/a/b", "/admin")
TRUSTED: tuple[TrustedProxy, ...] = (ipaddress.ip_network("127.0.0.0/8"),)
BLOCKS = (
    (),
    ("X-User: ann",),
    ("X-User: bob", "X-Secret: 1"),
    ("X-Canary: 1",),
    ("X-Team: qa",),
    ("X-Side: green",),
    ("User-Agent: BadBot",),
    ("X-Fault: 1",),
    ('If-None-Match: "a-gzip"', "Accept-Encoding: gzip"),
    ("Accept-Encoding: gzip",),
    ("X-Request-Id: mine",),
    (f"Authorization: Bearer {by_hand(GOOD).decode()}", "X-User: forged", "x_user: forged"),
    (f"Authorization: Bearer {by_hand(GOOD | {'sub': 'bob'}).decode()}",),
    (f"Authorization: Bearer {by_hand(GOOD)[:-3].decode()}",),
    ("X-Forwarded-For: 192.0.2.7", "X-Forwarded-Proto: https"),
)
UNTOLD = re.compile(rb"(?im)^(x-request-id: (?!mine)|date: |x-nonce: |content-length: ).*\r\n|\"request_id\": \"[0-9a-f]+\"")


def told(raw: bytes) -> bytes:
    """What does not differ from request to request."""
    return UNTOLD.sub(b"", raw)


async def ask(wire: Wire, method: str, target: str, *fields: str) -> tuple[bytes, bytes]:
    """The head of the reply, and its body: in the tests below that is what the backend got."""
    await wire.send(get(target, *fields).replace(b"GET", method.encode(), 1))
    reply = await wire.reply(method)
    body = gzip.decompress(reply.body) if reply.get("content-encoding") == "gzip" and reply.body else reply.body
    return told(reply.raw), told(body)


def named(name: str, media: str) -> Script:
    def answer(request: Message) -> bytes:
        body = b"" if request.line.startswith("HEAD") else request.raw
        return ok(body, f"X-Backend-Name: {name}", f"Content-Type: {media}", 'ETag: "a"')

    return serve(answer)


@pytest.mark.parametrize("is_trusted", [False, True])
@pytest.mark.parametrize("media", ["text/plain", "text/html"])
@pytest.mark.parametrize("kind", ROUTES)
async def test_a_request_whose_lines_were_seen_is_treated_as_one_whose_were_not(
    stage: Stage, kind: str, media: str, is_trusted: bool
) -> None:
    stage.backend(named("pool", media))
    v2 = stage.backend(named("v2", media))
    await stage.open(http=http(ROUTES[kind]), pools={"v2": [v2]}, trusted=TRUSTED if is_trusted else ())
    stage.worker.rand = lambda: 0.9
    chance = random.Random(kind)
    for number, block in enumerate(BLOCKS):
        asked = [(chance.choice(METHODS), chance.choice(TARGETS)) for _ in range(10)]
        wire, seen = await stage.client(), []
        for method, target in asked:
            seen.append(await ask(wire, method, target, *block))
            if b"connection: close" in seen[-1][0].lower():
                wire = await stage.client()
        wire = await stage.client()
        for nonce, (method, target) in enumerate(asked):
            fresh = await ask(wire, method, target, *block, f"X-Nonce: {number}-{nonce}")
            assert seen[nonce] == fresh, (method, target, block)
            if b"connection: close" in fresh[0].lower():
                wire = await stage.client()


async def test_a_token_that_was_seen_before_lets_nobody_in_when_it_has_ended(stage: Stage, tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    stage.backend(named("pool", "text/plain"))
    await stage.open(http=http(ROUTES["a token"]), access=AccessLog(enabled=True, output=str(log)))
    token = by_hand({"sub": "ann", "exp": time.time() + 1.0})
    wire, asked = await stage.client(), 0
    while True:
        await wire.send(get("/", f"Authorization: Bearer {token.decode()}"))
        reply = await wire.reply()
        asked += 1
        if reply.status != 200:
            break
        assert b"X-User: ann\r\n" in reply.body
    assert (reply.status, json.loads(reply.body)["why"]) == (401, "unauthorized")
    assert asked > 3
    await until(lambda: log.read_text().count("\n") == asked)
    assert [json.loads(line).get("user", "") for line in log.read_text().splitlines()] == ["ann"] * (asked - 1) + [""]


async def test_what_is_settled_for_a_stranger_is_not_for_a_trusted_proxy(stage: Stage) -> None:
    stage.backend(named("pool", "text/plain"))
    await stage.open(http=http(to("r", transform=BOTH_WAYS)), trusted=(ipaddress.ip_network("127.0.0.2/32"),))
    stranger, proxy = await stage.client(), await stage.client(source="127.0.0.2")
    lines = ("X-Forwarded-For: 192.0.2.7", "X-Forwarded-Proto: https")
    for _ in range(3):
        assert b"X-Forwarded-For: 127.0.0.1\r\n" in (await ask(stranger, "GET", "/", *lines))[1]
        assert b"X-Forwarded-For: 192.0.2.7, 127.0.0.2\r\n" in (await ask(proxy, "GET", "/", *lines))[1]


@pytest.mark.pure
async def test_routing_is_made_for_a_settled_request_only_where_something_asks_for_it(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    begin = Routing.begin

    def counted(routing: Routing) -> None:
        made.append("")
        begin(routing)

    monkeypatch.setattr(Routing, "begin", counted)
    backend, v2 = stage.backend(serve(lambda request: ok(b"hello"))), stage.backend(serve(lambda request: ok(b"v2")))
    await stage.open(http=http(FIVE), pools={"v2": [v2]})
    stage.worker.rand = lambda: 0.9
    wire = await stage.client()
    for number in range(6):
        assert (await ask(wire, "GET", f"/{number}", "X-User: ann"))[1] == b"hello"
    assert 1 <= len(made) <= 3  # the route of the Host, then the lines, then the reply's head are found out
    await backend.close()
    before = len(made)
    head, _ = await ask(wire, "GET", "/", "X-User: ann")
    assert head.startswith(b"HTTP/1.1 502 ")
    assert b"X-Frame-Options: DENY\r\n" in head  # the error page is changed as all replies of the route are
    assert len(made) == before + 1


async def test_a_settled_request_has_the_timeouts_counters_and_rule_of_its_route(stage: Stage) -> None:
    def slow(request: Message) -> bytes:
        return b"" if b"slow" in request.raw else ok(b"fast")

    route = to("five", "pool", "v2", transform=BOTH_WAYS, policy=TrafficPolicy(canary=CANARY), timeouts=Timeouts(request_s=0.3))
    stage.backend(serve(slow))
    v2 = stage.backend(serve(slow))
    await stage.open(http=http(route), pools={"v2": [v2]})
    wire = await stage.client()
    for _ in range(5):
        assert (await ask(wire, "GET", "/", "X-Canary: 1"))[0].startswith(b"HTTP/1.1 200 ")
    head, _ = await ask(wire, "GET", "/slow", "X-Canary: 1")
    assert head.startswith(b"HTTP/1.1 504 ")
    assert stage.whys[Why.TOTAL_TIMEOUT] == 1
