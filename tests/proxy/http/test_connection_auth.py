"""Authentication of a connection (NTLM, Negotiate): nobody else ever sends on it, and its client always does."""

from __future__ import annotations

import asyncio

import pytest
from rawclient import Message, Wire, get, ok, post
from routed import http, prefix, to
from stage import Script, Stage, serve, until

from balance.config.model import HttpConfig, Keepalive, Retry, SessionAffinity, Timeouts
from balance.health.states import State
from balance.model import Outcome
from balance.runtime import counters


def asks(scheme: str = "NTLM", status: int = 401, field: str = "WWW-Authenticate") -> bytes:
    lines = [f"HTTP/1.1 {status} Who Are You", f'{field}: Basic realm="a, b", {scheme}', "Content-Length: 0"]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


def authenticating(scheme: str = "NTLM", status: int = 401, field: str = "WWW-Authenticate") -> Script:
    """As IIS does it: a first message is answered with a challenge, the second authenticates its connection for good."""

    async def script(wire: Wire) -> None:
        user, is_challenged = "", False
        while (request := await wire.request()) is not None:
            word = request.get("authorization") or ""
            if word == f"{scheme} hello":
                is_challenged = True
                await wire.send(asks(f"{scheme} challenge", status, field))
            elif word.startswith(scheme) and is_challenged:
                user = word.split(" ")[1]
                await wire.send(ok(user.encode()))
            else:
                await wire.send(ok(user.encode()) if user else asks(scheme, status, field))

    return script


async def ask(client: Wire, *fields: str, request: bytes = b"") -> Message:
    await client.send(request or get("/", *fields))
    return await client.reply()


async def log_in(stage: Stage, user: str, scheme: str = "NTLM", first: bool = True) -> Wire:
    client = await stage.client()
    if first:
        assert (await ask(client)).status in (401, 407)
    assert (await ask(client, f"Authorization: {scheme} hello")).status in (401, 407)
    assert (await ask(client, f"Authorization: {scheme} {user}")).body == user.encode()
    return client


@pytest.mark.parametrize("scheme", ["NTLM", "Negotiate", "negotiate", "Kerberos"])
@pytest.mark.parametrize("first", [True, False])
async def test_each_client_is_its_own_user_over_connections_of_its_own(stage: Stage, scheme: str, first: bool) -> None:
    for _ in range(3):
        stage.backend(authenticating(scheme))
    await stage.open()
    users = {user: await log_in(stage, user, scheme, first) for user in ("anna", "bert", "carl", "dora")}
    strangers = [await stage.client() for _ in range(6)]
    for _ in range(3):
        for user, client in users.items():
            assert (await ask(client)).body == user.encode()
            assert (await ask(client, request=post(b"x"))).body == user.encode()
        for stranger in strangers:
            assert (await ask(stranger)).status == 401
    assert sum(len(backend.idle) for backend in stage.backend_states) == 0


async def test_requests_to_another_pool_in_between_keep_it(stage: Stage) -> None:
    stage.backend(authenticating())
    other = stage.backend(serve(ok(b"other")))
    await stage.open(http=http(to("api", "api", match=prefix("/api")), to("rest")), pools={"api": [other]})
    client = await log_in(stage, "anna")
    for _ in range(3):
        assert (await ask(client, request=get("/api"))).body == b"other"
        assert (await ask(client)).body == b"anna"


async def test_connection_goes_with_its_client(stage: Stage) -> None:
    backend = stage.backend(authenticating())
    await stage.open()
    client = await log_in(stage, "anna")
    assert stage.of(backend).open_count == 1
    client.close()
    await until(lambda: stage.of(backend).open_count == 0)


async def test_a_407_that_asks_for_it_ties_too(stage: Stage) -> None:
    backend = stage.backend(serve(asks("Negotiate", 407, "Proxy-Authenticate")))
    await stage.open()
    client = await stage.client()
    reply = await ask(client)
    assert (reply.status, reply.get("proxy-authenticate")) == (407, 'Basic realm="a, b", Negotiate')
    await ask(await stage.client())
    assert len(backend.wires) == 2
    await ask(client)
    assert len(backend.wires) == 2


@pytest.mark.parametrize(
    ("reply", "field"),
    [
        (b"HTTP/1.1 401 Who\r\nWWW-Authenticate: Basic realm=ntlm\r\nContent-Length: 0\r\n\r\n", "X: NTLM"),
        (b"HTTP/1.1 401 Who\r\nWWW-Authenticate: Bearer\r\nContent-Length: 0\r\n\r\n", "Authorization: Bearer NTLM"),
        (b"HTTP/1.1 200 OK\r\nX-WWW-Authenticate: NTLM\r\nContent-Length: 0\r\n\r\n", "Authorization: Basic bnRsbQ=="),
    ],
)
async def test_what_authenticates_one_request_ties_nothing(stage: Stage, reply: bytes, field: str) -> None:
    backend = stage.backend(serve(reply))
    await stage.open()
    for _ in range(3):
        await ask(await stage.client(), field)
    assert len(backend.wires) == 1


async def test_it_is_kept_as_long_as_its_client_whatever_is_said_of_idle_connections(stage: Stage) -> None:
    stage.backend(authenticating())
    await stage.open(http=HttpConfig(keepalive=Keepalive(max_idle_per_backend=0, idle_timeout_s=0.05)))
    client = await log_in(stage, "anna")
    await asyncio.sleep(0.3)
    assert (await ask(client)).body == b"anna"


async def test_client_is_closed_with_a_connection_that_its_backend_closes(stage: Stage) -> None:
    backend = stage.backend(authenticating())
    await stage.open()
    client = await log_in(stage, "anna")
    backend.wires[0].half_close()
    assert await client.ending() == "eof"
    await until(lambda: stage.of(backend).open_count == 0)


async def test_it_serves_only_so_many_requests_as_any_other(stage: Stage) -> None:
    stage.backend(authenticating())
    await stage.open(http=HttpConfig(keepalive=Keepalive(max_requests=4)))
    client = await log_in(stage, "anna")
    assert [(await ask(client)).status for _ in range(2)] == [200, 401]


async def test_a_client_stays_with_a_backend_that_drains_and_leaves_one_that_is_unwell(stage: Stage) -> None:
    backends = [stage.backend(authenticating()) for _ in range(2)]
    await stage.open(limits=(5, 5))
    client = await log_in(stage, "anna")
    home = next(state for state in stage.backend_states if state.open_count)
    health = stage.pool.health
    assert health is not None
    health.update(home, State.DRAINING, home.phase, 0.0)
    stage.pool.rebuild()
    assert (await ask(client)).body == b"anna"
    health.update(home, State.MAINTENANCE, home.phase, 0.0)
    stage.pool.rebuild()
    assert (await ask(client)).status == 401  # by the other
    await until(lambda: home.open_count == 0)
    assert sum(len(backend.wires) for backend in backends) == 2


async def test_a_full_backend_of_its_own_is_as_any_other_full_one(stage: Stage) -> None:
    for _ in range(2):
        stage.backend(authenticating())
    await stage.open(limits=(1, 1))
    client = await log_in(stage, "anna")
    home = next(state for state in stage.backend_states if state.open_count)
    lease = stage.pool.acquire_bound(home, 0.0)
    assert lease is not None
    assert stage.pool.acquire_bound(home, 0.0) is None
    assert (await ask(client)).status == 401  # by the other
    lease.release(Outcome.ABORTED, 0.0)
    await until(lambda: not stage.active)


async def test_backend_that_dies_over_a_tied_request_is_retried_elsewhere_as_is_said(stage: Stage) -> None:
    async def dies(wire: Wire) -> None:
        await wire.request()
        await wire.send(asks())
        await wire.request()
        await asyncio.sleep(0.15)

    backend = stage.backend(dies)
    stage.backend(serve(asks()))
    await stage.open(retry=Retry(enabled=True, on=("reset",), backoff_base_s=0.01))
    second = stage.backend_states[1].slot
    stage.listener_server.set_ready(second, False)
    client = await stage.client()
    await ask(client)
    stage.listener_server.set_ready(second, True)
    assert (await ask(client)).status == 401
    assert stage.count(backend, counters.FAILURES) == 1


async def test_session_cookies_go_along(stage: Stage) -> None:
    for _ in range(3):
        stage.backend(authenticating())
    await stage.open(affinity=SessionAffinity(enabled=True, mode="cookie"))
    client = await stage.client()
    first = await ask(client)
    assert (first.status, len(first.all("set-cookie"))) == (401, 1)
    cookie = "Cookie: " + first.all("set-cookie")[0].split(";")[0]
    await ask(client, "Authorization: NTLM hello", cookie)
    assert (await ask(client, "Authorization: NTLM anna", cookie)).body == b"anna"
    reply = await ask(client, cookie)
    assert (reply.body, reply.all("set-cookie")) == (b"anna", [])


async def test_tunnel_may_follow(stage: Stage) -> None:
    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.send(asks())
        await wire.request()
        await wire.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: any\r\n\r\nhello")
        await wire.rest()

    backend = stage.backend(script)
    await stage.open(timeouts=Timeouts())
    client = await stage.client()
    await ask(client)
    await client.send(get("/", "Connection: upgrade", "Upgrade: any", "Authorization: Negotiate x"))
    await client.until(b"\r\n\r\n")
    assert await client.exactly(5) == b"hello"
    assert len(backend.wires) == 1
