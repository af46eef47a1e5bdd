"""Questions to an authorizer over real connections: what it gets, what becomes of clients, and that nothing is left behind."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from pem_files import authority, read
from rawclient import Message, Wire, get, ok, post
from routed import http, to
from stage import Backend, Script, Stage, serve, until
from tls_server import answering, server_context, tls_server

from balance.config.model import Timeouts
from balance.model import Why
from balance.proxy.authorizing import authorizer
from balance.runtime import counters
from balance.security.settings import Cors, ForwardAuth, RouteSecurity
from balance.stages.security.authorization import Answer
from balance.tls.settings import BackendTls

HEAD_ONLY = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n"
DENIED = b"HTTP/1.1 302 Found\r\nLocation: /login\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: 5\r\n\r\nlogin"


def echo(request: Message) -> bytes:
    return ok(request.raw + request.body)


def good(user: str = "ada") -> bytes:
    return ok(b"", f"Remote-User: {user}")


def guarded(**keys: Any) -> RouteSecurity:
    defaults = {"enabled": True, "pool": "auth", "response_headers": ("Remote-User",), "timeout_s": 5.0}
    return RouteSecurity(forward_auth=ForwardAuth(**defaults | keys))


async def open_with(stage: Stage, script: Script, **keys: Any) -> Backend:
    """An authorizer that plays the script, before a backend that echoes."""
    stage.backend(serve(echo))
    asked = stage.backend(script)
    more = {name: keys.pop(name) for name in ("timeouts", "buffering") if name in keys}
    http_keys = {"http": http(to("r", security=guarded(**keys), **more))}
    await stage.open(pools={"auth": [asked]}, **http_keys)
    return asked


def remembering(seen: list[Message], answer: Callable[[Message], bytes] | bytes) -> Script:
    def reply(request: Message) -> bytes:
        seen.append(request)
        return answer if isinstance(answer, bytes) else answer(request)

    return serve(reply)


async def ask(wire: Wire, request: bytes = b"") -> Message:
    request = request or get("/")
    await wire.send(request)
    return await wire.reply(request.split(b" ", 1)[0].decode())


async def test_it_is_asked_about_each_request_on_a_connection_that_is_kept(stage: Stage) -> None:
    seen: list[Message] = []
    asked = await open_with(stage, remembering(seen, good()), path="/verify")
    wire = await stage.client()
    for number in range(3):
        reply = await ask(wire, get(f"/p{number}?q=1", "remote-user: root", "Cookie: c=1"))
        assert reply.status == 200
        assert b"Remote-User: ada\r\n" in reply.body and b"root" not in reply.body
    reply = await ask(wire, post(b"x" * 100_000, "Expect: 100-continue"))
    assert reply.status == 200 and b"x" * 100_000 in reply.body
    assert len(asked.wires) == 1
    assert [each.get("x-forwarded-uri") for each in seen] == ["/p0?q=1", "/p1?q=1", "/p2?q=1", "/"]
    assert {each.target for each in seen} == {"/verify"}
    assert seen[3].get("x-forwarded-method") == "POST"
    for name in ("content-length", "transfer-encoding", "expect", "upgrade"):
        assert all(each.get(name) is None for each in seen)
    assert seen[0].get("host") == f"127.0.0.1:{asked.address.port}"


async def test_a_denial_goes_to_the_client_and_the_connection_goes_on(stage: Stage) -> None:
    answers = [DENIED, good("bob"), ok(b"no").replace(b"200 OK", b"403 Forbidden", 1), good("eve")]
    await open_with(stage, serve(lambda request: answers.pop(0)))
    wire = await stage.client()
    await wire.send(b"".join(get(f"/{number}") for number in range(4)))  # pipelined: each has its own answer
    denied = await wire.reply()
    assert (denied.status, denied.get("location"), denied.all("set-cookie")) == (302, "/login", ["a=1", "b=2"])
    assert denied.body == b"login"
    assert b"Remote-User: bob" in (await wire.reply()).body
    assert (await wire.reply()).status == 403
    assert b"Remote-User: eve" in (await wire.reply()).body
    assert stage.whys == {Why.UNAUTHORIZED: 2, Why.OK: 2}
    assert len(stage.backends[0].wires) == 1


async def test_a_page_of_another_origin_can_read_a_denial(stage: Stage) -> None:
    cors = Cors(enabled=True, allow_origins=("https://a.example",))
    stage.backend(serve(echo))
    asked = stage.backend(serve(DENIED))
    await stage.open(http=http(to("r", security=replace(guarded(), cors=cors))), pools={"auth": [asked]})
    reply = await ask(await stage.client(), get("/", "Origin: https://a.example"))
    assert (reply.status, reply.get("access-control-allow-origin")) == (302, "https://a.example")


async def test_a_denial_of_a_head_and_of_an_upload(stage: Stage) -> None:
    await open_with(stage, serve(DENIED))
    wire = await stage.client()
    reply = await ask(wire, get("/").replace(b"GET", b"HEAD", 1))
    assert (reply.status, reply.body) == (302, b"")
    await wire.send(HEAD_ONLY % 9_000_000 + b"x" * 100_000)
    assert (await wire.reply()).status == 302
    assert await wire.ending() == "eof"


async def cut_at_once(wire: Wire) -> None:
    await wire.request()


def says(data: bytes, *, stays: bool = False) -> Script:
    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.send(data)
        if stays:
            await wire.has_ended()

    return script


@pytest.mark.parametrize(
    "script",
    [
        cut_at_once,
        says(b"HTTP/1.1 40"),
        says(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 5\r\n\r\nab"),
        says(b"HTTP/1.1 401 U\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef"),
        says(b"HTTP/1.1 401 U\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
        says(b"SSH-2.0-OpenSSH\r\n\r\n", stays=True),
        says(b"HTTP/1.1 403 F\r\nContent-Length: 70000\r\n\r\n" + b"x" * 70000, stays=True),
        says(b"HTTP/1.1 401 U\r\nContent-Length: 99999999\r\n\r\n" + b"x" * 70000, stays=True),
        says(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70000, stays=True),
        says(b"HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", stays=True),
        says(b"HTTP/1.1 100 Continue\r\n\r\n" * 30, stays=True),
        says(b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n"),
        says(b"HTTP/1.1 200 OK\r\nRemote-User: a\nX: 1\r\nContent-Length: 0\r\n\r\n", stays=True),
    ],
    ids=range(13),
)
async def test_what_is_no_answer_denies_or_allows(stage: Stage, script: Script) -> None:
    stage.backend(serve(echo))
    asked = stage.backend(script)
    routes = (
        to("deny", security=guarded(), match=replace(to("x").match, path_operator="prefix", path="/deny")),
        to("allow", security=guarded(on_failure="allow")),
    )
    await stage.open(http=http(*routes), pools={"auth": [asked]})
    wire = await stage.client()
    reply = await ask(wire, get("/deny"))
    assert reply.status == 503
    assert stage.whys == {Why.AUTH_UNAVAILABLE: 1}
    reply = await ask(wire, get("/", "Remote-User: root"))
    assert reply.status == 200 and b"root" not in reply.body


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nRemote-User: ada\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 204 No Content\r\nRemote-User: ada\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nremote-user: ada\r\nContent-Length: 70000\r\n\r\n" + b"x" * 70000,
        b"HTTP/1.0 200 OK\r\nRemote-User: ada\r\n\r\nuntil close",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nRemote-User: ada\r\nContent-Length: 99\r\n\r\nx",
    ],
    ids=range(5),
)
@pytest.mark.parametrize("piece", [1, 7, 1 << 20])
async def test_answers_that_are_good_however_they_come(stage: Stage, answer: bytes, piece: int) -> None:
    async def script(wire: Wire) -> None:
        while await wire.request() is not None:
            head = len(answer) if len(answer) < 1000 else answer.index(b"\r\n\r\n") + 4
            for start in range(0, head, piece):
                await wire.send(answer[start : min(start + piece, head)])
            if head < len(answer):
                await wire.send(answer[head:])
            if b"chunked" not in answer and b"204" not in answer:
                return

    await open_with(stage, script)
    wire = await stage.client()
    for _ in range(2):
        reply = await ask(wire)
        assert b"Remote-User: ada" in reply.body


async def test_an_answer_that_is_late_is_none_and_its_connection_is_not_used_again(stage: Stage) -> None:
    async def late(wire: Wire) -> None:
        await wire.request()
        if wire.number == 0:
            await wire.has_ended()
            return
        await wire.send(good(f"user{wire.number}"))

    asked = await open_with(stage, late, timeout_s=0.1)
    wire = await stage.client()
    reply = await ask(wire)
    assert (reply.status, stage.whys) == (503, {Why.AUTH_UNAVAILABLE: 1})
    assert b"Remote-User: user1" in (await ask(wire)).body
    assert stage.count(asked, counters.FAILURES) == 1


async def test_a_client_that_leaves_ends_its_question(stage: Stage) -> None:
    ended = asyncio.Event()

    async def silent(wire: Wire) -> None:
        await wire.request()
        await wire.has_ended()
        ended.set()

    asked = await open_with(stage, silent, timeout_s=30.0)
    wire = await stage.client()
    await wire.send(get("/"))
    await until(lambda: asked.wires)
    wire.close()
    await ended.wait()
    await stage.settled()
    assert stage.whys == {Why.CLIENT_ABORT: 1}
    assert stage.count(asked, counters.FAILURES) == 0  # nobody is blamed


async def test_a_kept_connection_that_was_closed_is_no_failure(stage: Stage) -> None:
    async def once(wire: Wire) -> None:
        await wire.request()
        await wire.send(good(f"user{wire.number}"))
        if wire.number == 0:
            await wire.request()  # and ends without an answer

    await open_with(stage, once)
    wire = await stage.client()
    for number in range(3):
        assert f"Remote-User: user{number}".encode() in (await ask(wire)).body


async def test_nobody_there(stage: Stage) -> None:
    stage.backend(serve(echo))
    gone = stage.backend(serve(ok()))
    other = stage.backend(serve(good()))
    gone.stop_listening()
    await stage.open(http=http(to("r", security=guarded())), pools={"auth": [gone, other]})
    wire = await stage.client()
    for _ in range(4):
        assert (await ask(wire)).status == 200  # by the other one


async def test_nobody_at_all(stage: Stage) -> None:
    stage.backend(serve(echo))
    gone = stage.backend(serve(ok()))
    gone.stop_listening()
    await stage.open(http=http(to("r", security=guarded())), pools={"auth": [gone]})
    reply = await ask(await stage.client())
    assert reply.status == 503
    assert b"authorizer" in reply.body


async def test_bytes_that_nobody_asked_for_are_no_answer(stage: Stage) -> None:
    async def talkative(wire: Wire) -> None:
        await wire.request()
        await wire.send(good() + good("root"))
        await wire.has_ended()

    await open_with(stage, talkative)
    wire = await stage.client()
    for _ in range(3):
        assert b"Remote-User: ada" in (await ask(wire)).body


async def test_the_body_is_held_back_while_it_waits(stage: Stage) -> None:
    asked_for, may = asyncio.Event(), asyncio.Event()

    async def slow(wire: Wire) -> None:
        await wire.request()
        asked_for.set()
        await may.wait()
        await wire.send(good())

    await open_with(stage, slow)
    wire = await stage.client()
    size = 8_000_000
    await wire.send(HEAD_ONLY % size)
    await asked_for.wait()
    sending = asyncio.ensure_future(wire.send(b"x" * size))
    await until(lambda: any(client._paused_for for client in stage.worker.connections), "reading is paused")  # type: ignore[attr-defined]
    assert not sending.done() and not stage.backends[0].wires
    may.set()
    reply = await wire.reply()
    await sending
    assert reply.status == 200 and len(reply.body) > size


async def test_a_reload_while_it_waits(stage: Stage) -> None:
    asked_for, may = asyncio.Event(), asyncio.Event()

    async def slow(wire: Wire) -> None:
        while await wire.request() is not None:
            asked_for.set()
            await may.wait()
            await wire.send(good())

    await open_with(stage, slow)
    wire = await stage.client()
    await wire.send(get("/"))
    await asked_for.wait()
    config = stage.snapshot.config
    listener = replace(config.listeners[0], http=http(to("r", security=guarded(response_headers=("X-Other",)))))
    await stage.reload(replace(config, listeners=(listener,)))
    may.set()
    assert b"Remote-User: ada" in (await wire.reply()).body  # as it began
    assert b"Remote-User" not in (await ask(wire)).body


async def test_a_drain_while_it_waits(stage: Stage) -> None:
    asked_for, may = asyncio.Event(), asyncio.Event()

    async def slow(wire: Wire) -> None:
        await wire.request()
        asked_for.set()
        await may.wait()
        await wire.send(good())
        await wire.has_ended()

    await open_with(stage, slow)
    wire = await stage.client()
    await wire.send(get("/"))
    await asked_for.wait()
    draining = asyncio.ensure_future(stage.listener_server.drain(10.0))
    await until(lambda: stage.worker.is_draining)
    may.set()
    reply = await wire.reply()
    assert (reply.status, reply.get("connection")) == (200, "close")
    await draining


async def test_an_upgrade_is_judged_too(stage: Stage) -> None:
    async def switch(wire: Wire) -> None:
        request = await wire.request()
        assert request is not None and request.get("remote-user") == "ada"
        await wire.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        await wire.send(await wire.exactly(4))

    answers = [DENIED, good()]
    seen: list[Message] = []
    stage.backend(switch)
    asked = stage.backend(remembering(seen, lambda request: answers.pop(0)))
    await stage.open(http=http(to("r", security=guarded())), pools={"auth": [asked]})
    wire = await stage.client()
    upgrade = get("/ws", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: eA==")
    assert (await ask(wire, upgrade)).status == 302
    await wire.send(upgrade)
    head = await wire.until(b"\r\n\r\n")
    assert b" 101 " in head
    await wire.send(b"ping")
    assert await wire.exactly(4) == b"ping"
    assert all(each.get("upgrade") is None for each in seen)


@pytest.mark.pure
async def test_few_are_asked_at_once_and_few_wait(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authorizer, "MAX_ASKING", 2)
    monkeypatch.setattr(authorizer, "MAX_QUEUED", 3)
    may = asyncio.Event()

    async def slow(wire: Wire) -> None:
        while await wire.request() is not None:
            await may.wait()
            await wire.send(good())

    asked = await open_with(stage, slow)
    wires = [await stage.client() for _ in range(6)]
    for wire in wires[:5]:
        await wire.send(get("/"))
    await until(lambda: len(asked.wires) == 2 and len(stage.worker.authorizers["auth"]._queue) == 3)  # type: ignore[attr-defined]
    assert (await ask(wires[5])).status == 503
    wires[3].close()  # out of the queue
    await until(lambda: len(stage.worker.authorizers["auth"]._queue) == 2)  # type: ignore[attr-defined]
    may.set()
    for wire in (*wires[:3], wires[4]):
        assert (await wire.reply()).status == 200
    assert len(asked.wires) == 2


async def test_nobody_gets_the_answer_for_another(stage: Stage) -> None:
    """Many clients at once, some of whom leave: each backend request has the user of its own cookie."""

    async def script(wire: Wire) -> None:
        while (request := await wire.request()) is not None:
            if wire.number % 3 == 0:
                await asyncio.sleep(0)
            await wire.send(good((request.get("cookie") or "").removeprefix("user=")))

    await open_with(stage, script)

    async def one(number: int) -> None:
        wire = await stage.client()
        for turn in range(5):
            user = f"u{number}.{turn}"
            await wire.send(get("/", f"Cookie: user={user}"))
            if number % 4 == 0 and turn == 3:
                wire.close()
                return
            assert f"Remote-User: {user}\r\n".encode() in (await wire.reply()).body

    await asyncio.gather(*(one(number) for number in range(24)))


@pytest.mark.pure
async def test_kept_connections_are_let_go(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authorizer, "SWEEP_S", 0.01)
    asked = await open_with(stage, serve(good()))
    wire = await stage.client()
    await ask(wire)
    kept = stage.worker.authorizers["auth"]._idle  # type: ignore[attr-defined]
    assert len(kept) == 1
    stage.of(asked).idle_time.announced(0.04)
    await until(lambda: not kept)
    await ask(wire)
    assert len(asked.wires) == 2


async def test_no_answer_within_the_whole_time_of_a_request(stage: Stage) -> None:
    async def silent(wire: Wire) -> None:
        await wire.request()
        await wire.has_ended()

    await open_with(stage, silent, timeout_s=30.0, timeouts=Timeouts(request_s=0.1))
    wire = await stage.client()
    reply = await ask(wire)
    assert (reply.status, stage.whys) == (504, {Why.TOTAL_TIMEOUT: 1})


def test_an_answer_without_a_status_is_none() -> None:
    assert Answer(0, detail="down").detail == "down"


async def test_an_authorizer_with_tls_is_verified_and_asked_on_a_connection_that_is_kept(stage: Stage) -> None:
    ca = authority()
    reply = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nRemote-User: ada\r\n\r\n"
    with tls_server(server_context(ca.issue("auth.internal")), answering(reply)) as server:
        await open_with(stage, serve(good("nobody")))
        statuses = []
        for name in ("auth.internal", "other.internal"):
            first, second = stage.snapshot.config.pools
            tls = BackendTls(True, ca_file=read(ca.cert), server_name=name)
            backends = (replace(second.backends[0], address=server.address),)
            await stage.reload(replace(stage.snapshot.config, pools=(first, replace(second, backends=backends, tls=tls))))
            wire = await stage.client()
            replies = [await ask(wire) for _ in range(2)]
            statuses += [each.status for each in replies]
        assert statuses == [200, 200, 503, 503]
        await until(lambda: server.names == ["auth.internal", "other.internal", "other.internal"])
