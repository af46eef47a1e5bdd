"""Passwords over real connections: off the loop, and over when the client leaves."""

from __future__ import annotations

import base64
import hashlib
import json

from rawclient import Message, get, ok, post
from routed import http, to
from stage import Stage, serve, until

from balance.config.model import AccessLog
from balance.config.route_model import Condition, RouteConfig, Rule, TrafficPolicy
from balance.security.settings import BasicAuth, Cors, RouteSecurity

HASH = "scrypt:16:8:1$c2FsdA$" + hashlib.scrypt(b"lovelace", salt=b"c2FsdA", n=16, r=8, p=1, dklen=32).hex()
SLOW = "scrypt:32768:8:1$c2FsdA$" + hashlib.scrypt(b"x", salt=b"c2FsdA", n=32768, r=8, p=1, maxmem=2**28, dklen=32).hex()


def basic(user: str, password: str) -> str:
    return "Authorization: Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def guarded(*users: tuple[str, str], **more: object) -> RouteConfig:
    settings = BasicAuth(enabled=True, users=users or (("ada", HASH),), user_header="X-User", forward=False)
    cors = Cors(enabled=True, allow_origins=("https://a.example",))
    return to("r", security=RouteSecurity(basic_auth=settings, cors=cors), **more)


def echo(request: Message) -> bytes:
    return ok(request.raw)


async def test_who_asks_is_told_to_the_backend_on_one_connection_after_the_other(stage: Stage) -> None:
    stage.backend(serve(echo))
    log = AccessLog(enabled=True, output=str(stage.folder / "access.log"))
    await stage.open(http=http(guarded(), underscore_headers="pass"), access=log)
    wire = await stage.client()
    await wire.send(get("/", "X-User: root"))
    reply = await wire.reply()
    assert (reply.status, reply.get("www-authenticate")) == (401, 'Basic realm="balance", charset="UTF-8"')
    assert stage.backends[0].wires == []
    for _ in range(3):
        await wire.send(get("/", "X_User: root", "X-User: root", basic("ada", "lovelace")))
        reply = await wire.reply()
        assert reply.status == 200
        assert (b"X-User: ada" in reply.body, b"root" in reply.body, b"uthorization" in reply.body) == (True, False, False)
    await wire.send(post(b"body", basic("ada", "lovelace")))
    reply = await wire.reply()
    assert reply.status == 200
    assert reply.body.endswith(b"\r\n\r\n")
    await until(lambda: (stage.folder / "access.log").read_text().count("\n") == 5)
    users = [json.loads(line).get("user") for line in (stage.folder / "access.log").read_text().splitlines()]
    assert users == [None, "ada", "ada", "ada", "ada"]


async def test_a_401_can_be_read_by_the_page_and_a_preflight_needs_no_password(stage: Stage) -> None:
    stage.backend(serve(echo))
    await stage.open(http=http(guarded()))
    wire = await stage.client()
    await wire.send(get("/", "Origin: https://a.example"))
    reply = await wire.reply()
    assert (reply.status, reply.get("access-control-allow-origin")) == (401, "https://a.example")
    ask = get("/", "Origin: https://a.example", "Access-Control-Request-Method: PUT").replace(b"GET", b"OPTIONS", 1)
    await wire.send(ask)
    assert (await wire.reply()).status == 204
    await wire.send(get("/").replace(b"GET", b"OPTIONS", 1))
    assert (await wire.reply()).status == 401


async def test_rules_see_who_was_found_and_not_who_was_claimed(stage: Stage) -> None:
    stage.backend(serve(echo))
    when = Condition("not", conditions=(Condition("equals", "header", "x-user", "root"),))
    policy = TrafficPolicy(rules=(Rule(when, "deny"),))
    await stage.open(http=http(guarded(policy=policy)))
    wire = await stage.client()
    await wire.send(get("/", "X-User: root", basic("ada", "lovelace")))
    assert (await wire.reply()).status == 403


async def test_a_slow_hash_holds_nobody_up_and_ends_well_without_its_client(stage: Stage) -> None:
    stage.backend(serve(echo))
    await stage.open(http=http(guarded(("eve", SLOW), ("ada", HASH))), access=AccessLog())
    leaver, wire = await stage.client(), await stage.client()
    await leaver.send(get("/", basic("eve", "x")))
    await until(lambda: stage.worker.jobs._jobs, "the hash began")
    leaver.close()
    await wire.send(get("/", basic("ada", "lovelace")))
    assert (await wire.reply()).status == 200
    await until(lambda: not stage.worker.jobs._jobs, "the hash ended")
    assert sum(len(each.wires) for each in stage.backends) == 1
