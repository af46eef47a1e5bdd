"""Sessions over real connections: who is told to remember what, and where it leads."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from rawclient import Message, Wire, get, ok
from stage import Stage, serve, until

from balance.config.model import QueueConfig, SessionAffinity, SessionCookie, Timeouts
from balance.health.circuit_breaker import BreakerState
from balance.health.states import State
from balance.model import Mode, Why
from balance.runtime import counters

COOKIE = SessionAffinity(enabled=True)
NAME = "LOAD-BALANCING_SESSION"
TRUSTED = (ipaddress.ip_network("127.0.0.0/8"),)


def named(number: int) -> Callable[[Message], bytes]:
    return lambda request: ok(b"b%d" % number)


async def opened(stage: Stage, affinity: SessionAffinity = COOKIE, count: int = 3, **given: Any) -> None:
    for number in range(1, count + 1):
        stage.backend(serve(named(number)))
    await stage.open(affinity=affinity, **given)


async def ask(wire: Wire, *fields: str) -> Message:
    await wire.send(get("/", *fields))
    return await wire.reply()


def cookie_of(reply: Message) -> str | None:
    """name=value of the one cookie that is set."""
    line = reply.get("set-cookie")
    return None if line is None else line.partition(";")[0]


async def test_a_new_client_gets_a_cookie_once_and_then_its_backend(stage: Stage) -> None:
    await opened(stage)
    wire = await stage.client()
    first = await ask(wire)
    assert re.fullmatch(rf"{NAME}=[\w-]{{22}}; Path=/; Max-Age=3600; HttpOnly; SameSite=Lax", first.get("set-cookie") or "")
    cookie = cookie_of(first)
    for _ in range(6):
        other = await stage.client()
        reply = await ask(other, f"Cookie: a=b; {cookie}; c=d")
        assert (reply.body, reply.get("set-cookie")) == (first.body, None)
    assert sum(stage.cell(backend.block + counters.SESSIONS) for backend in stage.pool.backends) == 1


async def test_the_backend_gets_the_cookies_as_they_came(stage: Stage) -> None:
    seen: list[str | None] = []

    def answer(request: Message) -> bytes:
        seen.append(request.get("cookie"))
        return ok()

    stage.backend(serve(answer))
    await stage.open(affinity=COOKIE)
    wire = await stage.client()
    cookie = cookie_of(await ask(wire))
    await ask(wire, f"Cookie: a=b; {cookie}; c=d")
    assert seen == [None, f"a=b; {cookie}; c=d"]


@pytest.mark.parametrize("value", ["", "b1", "1", "A" * 22, "%00", '"x"', "x" * 4000])
async def test_a_value_that_is_none_of_ours_is_answered_with_a_new_one(stage: Stage, value: str) -> None:
    await opened(stage)
    wire = await stage.client()
    reply = await ask(wire, f"Cookie: {NAME}={value}")
    assert reply.status == 200
    assert cookie_of(reply) not in (None, f"{NAME}={value}")


@pytest.mark.parametrize(
    "fields",
    [
        ("Cookie: {name}=old; {ours}",),
        ("Cookie: {ours}; {name}=old",),
        ("Cookie: {name}=; a=b; {name}=" + "A" * 22 + "; {ours}; {name}=x",),
        ("Cookie: {name}=old", "Cookie: {ours}"),
        ("Cookie: {ours}; {ours}",),
    ],
)
async def test_of_several_cookies_the_one_that_is_ours_decides(stage: Stage, fields: tuple[str, ...]) -> None:
    await opened(stage)
    wire = await stage.client()
    first = await ask(wire)
    lines = [field.format(name=NAME, ours=cookie_of(first)) for field in fields]
    for _ in range(4):  # also when it was seen before
        reply = await ask(wire, *lines)
        assert (reply.body, cookie_of(reply)) == (first.body, None)


async def test_of_several_cookies_of_ours_the_one_whose_backend_lives_decides(stage: Stage) -> None:
    await opened(stage)
    wire = await stage.client()
    replies = {(reply := await ask(await stage.client())).body: cookie_of(reply) for _ in range(3)}
    both = f"Cookie: {replies[b'b1']}; {replies[b'b2']}"
    assert (await ask(wire, both)).body == b"b1"
    see(stage, b"b1", State.UNHEALTHY)
    for _ in range(3):
        reply = await ask(wire, both)
        assert (reply.body, cookie_of(reply)) == (b"b2", None)
    see(stage, b"b2", State.UNHEALTHY)
    reply = await ask(wire, both)
    assert (reply.body, cookie_of(reply)) == (b"b3", replies[b"b3"])


def see(stage: Stage, name: bytes, state: State) -> None:
    health = stage.pool.health
    assert health is not None
    backend = stage.of(stage.backends[int(name[1:]) - 1])
    health.update(backend, state, BreakerState.CLOSED, stage.loop.time())
    stage.pool.rebuild()


async def test_a_draining_backend_keeps_its_sessions_and_a_dead_one_loses_them(stage: Stage) -> None:
    await opened(stage)
    wire = await stage.client()
    first = await ask(wire)
    cookie = cookie_of(first)
    see(stage, first.body, State.DRAINING)
    again = await ask(wire, f"Cookie: {cookie}")
    assert (again.body, cookie_of(again)) == (first.body, None)
    see(stage, first.body, State.UNHEALTHY)
    moved = await ask(wire, f"Cookie: {cookie}")
    assert moved.body != first.body
    assert cookie_of(moved) not in (None, cookie)
    see(stage, first.body, State.HEALTHY)
    stays = await ask(wire, f"Cookie: {cookie_of(moved)}")
    assert (stays.body, cookie_of(stays)) == (moved.body, None)
    assert sum(stage.cell(backend.block + counters.SESSIONS) for backend in stage.pool.backends) == 1


async def test_a_backend_that_refuses_loses_the_session_to_the_one_that_answers(stage: Stage) -> None:
    stage.backend(serve(ok()))
    await stage.open(stage.refusing(), affinity=COOKIE)
    refusing, answering = stage.pool.backends
    assert stage.pool.affinity is not None
    tokens = stage.pool.affinity.tokens
    assert tokens is not None
    lost, kept = (f"{NAME}={tokens.token(backend).decode()}" for backend in (refusing, answering))
    wire = await stage.client()
    moved = await ask(wire, f"Cookie: {lost}")
    assert (moved.status, cookie_of(moved)) == (200, kept)
    assert stage.cell(refusing.block + counters.CONNECT_FAILURES) == 1
    assert cookie_of(await ask(wire, f"Cookie: {kept}")) is None


async def test_a_session_whose_backend_is_full_goes_elsewhere_without_moving(stage: Stage) -> None:
    turn: list[Wire] = []

    def script(number: int) -> Callable[[Wire], Awaitable[None]]:
        async def play(wire: Wire) -> None:
            while (request := await wire.request()) is not None:
                if request.target == "/held":
                    turn.append(wire)
                    await until(lambda: not turn)
                await wire.send(ok(b"b%d" % number))

        return play

    for number in (1, 2):
        stage.backend(script(number))
    await stage.open(affinity=COOKIE, limits=[1, 1], queue=QueueConfig(timeout_s=15.0))
    wire, other = await stage.client(), await stage.client()
    first = await ask(wire)
    cookie = f"Cookie: {cookie_of(first)}"
    await wire.send(get("/held", cookie))
    await until(lambda: turn)
    elsewhere = await ask(other, cookie)
    assert (elsewhere.body != first.body, cookie_of(elsewhere)) == (True, None)
    turn.clear()
    assert (await wire.reply()).body == first.body
    assert (await ask(other, cookie)).body == first.body


@pytest.mark.parametrize(
    ("fields", "trusted", "is_secure"),
    [((), (), False), (("X-Forwarded-Proto: https",), (), False), (("X-Forwarded-Proto: https",), TRUSTED, True)],
)
async def test_the_cookie_is_secure_when_the_client_came_over_tls(
    stage: Stage, fields: tuple[str, ...], trusted: Any, is_secure: bool
) -> None:
    await opened(stage, trusted=trusted)
    wire = await stage.client()
    line = (await ask(wire, *fields)).get("set-cookie")
    assert line is not None
    assert ("; Secure;" in line) is is_secure


async def test_the_cookie_is_the_one_that_is_configured(stage: Stage) -> None:
    cookie = SessionCookie(name="s", path="/app", ttl_s=60.0, http_only=False, secure=True, same_site="none")
    await opened(stage, SessionAffinity(enabled=True, cookie=cookie, secret="x"))
    wire = await stage.client()
    line = (await ask(wire)).get("set-cookie")
    assert line is not None
    assert re.fullmatch(r"s=[\w-]{22}; Path=/app; Max-Age=60; Secure; SameSite=None", line)


async def test_cookies_go_with_replies_of_every_framing_and_not_with_our_own_pages(stage: Stage) -> None:
    replies = [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nSet-Cookie: own=1\r\nContent-Length: 2\r\n\r\nok",
    ]
    left = list(replies)
    stage.backend(serve(lambda request: left.pop(0)))
    await stage.open(affinity=COOKIE)
    wire = await stage.client()
    assert cookie_of(await ask(wire)) is not None
    assert cookie_of(await ask(wire)) is not None
    early = await ask(wire)
    assert (early.status, early.get("set-cookie")) == (103, None)
    last = await wire.reply()
    assert [line.partition("=")[0] for line in last.all("set-cookie")] == ["own", NAME]
    see(stage, b"b1", State.UNHEALTHY)
    refused = await ask(wire)
    assert (refused.status, refused.get("set-cookie")) == (503, None)


async def test_a_reply_that_is_remembered_carries_nobody_else_s_cookie(stage: Stage) -> None:
    await opened(stage, count=1)
    wire = await stage.client()
    cookie = cookie_of(await ask(wire))
    assert (await ask(wire, f"Cookie: {cookie}")).all("set-cookie") == []
    assert len((await ask(wire)).all("set-cookie")) == 1


async def test_an_upgrade_brings_its_cookie(stage: Stage) -> None:
    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n")
        await wire.send(await wire.some())

    stage.backend(script)
    await stage.open(affinity=COOKIE)
    wire = await stage.client()
    await wire.send(get("/", "Connection: upgrade", "Upgrade: echo"))
    reply = await wire.reply()
    assert (reply.status, cookie_of(reply) is not None) == (101, True)
    await wire.send(b"hi")
    assert await wire.rest() == b"hi"


async def test_a_field_leads_to_one_backend_over_any_connection(stage: Stage) -> None:
    await opened(stage, SessionAffinity(enabled=True, mode="header", header="X-User"))
    for user in range(6):
        replies = [await ask(await stage.client(), f"X-User: u{user}") for _ in range(4)]
        assert len({reply.body for reply in replies}) == 1
        assert {reply.get("set-cookie") for reply in replies} == {None}
    bodies = {(await ask(await stage.client())).body for _ in range(6)}
    assert bodies == {b"b1", b"b2", b"b3"}


async def test_an_address_leads_to_one_backend_and_a_trusted_proxy_says_whose(stage: Stage) -> None:
    await opened(stage, SessionAffinity(enabled=True, mode="source-ip"), trusted=TRUSTED)
    wire = await stage.client()
    homes = {client: (await ask(wire, f"X-Forwarded-For: 10.1.0.{client}")).body for client in range(6)}
    assert len(set(homes.values())) == 3
    for client, home in homes.items():
        assert (await ask(await stage.client(), f"X-Forwarded-For: 10.1.0.{client}")).body == home


async def test_tcp_connections_of_an_address_go_to_one_backend_that_may_drain(stage: Stage) -> None:
    def script(number: int) -> Callable[[Wire], Awaitable[None]]:
        async def play(wire: Wire) -> None:
            await wire.send(b"b%d" % number)
            await wire.rest()

        return play

    for number in (1, 2, 3):
        stage.backend(script(number))
    await stage.open(affinity=SessionAffinity(enabled=True, mode="source-ip"), mode=Mode.TCP, timeouts=Timeouts(idle_s=20.0))
    home = await (await stage.client()).exactly(2)
    assert {await (await stage.client()).exactly(2) for _ in range(5)} == {home}
    see(stage, home, State.DRAINING)
    assert await (await stage.client()).exactly(2) == home
    see(stage, home, State.MAINTENANCE)
    moved = await (await stage.client()).exactly(2)
    assert moved != home
    assert {await (await stage.client()).exactly(2) for _ in range(3)} == {moved}
    assert Why.NO_HEALTHY not in stage.whys
