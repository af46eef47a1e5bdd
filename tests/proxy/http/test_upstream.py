"""Connections to backends between requests: reused newest first, watched while they wait, and never trusted too far."""

import asyncio
import json
import random
import sys
from collections import Counter
from dataclasses import replace

import pytest
from rawclient import Message, Wire, get, ok, post
from stage import Script, Stage, serve, until

from balance.config.model import AccessLog, HttpConfig, Keepalive, Retry, RetryBudget
from balance.model import Why
from balance.proxy.http.upstream import Upstream
from balance.runtime import counters
from balance.runtime.backend import IdleRaces


async def ask(client: Wire, request: bytes) -> Message:
    await client.send(request)
    return await client.reply()


def closes_reused(how: str, after: bytes = b"\r\n\r\n") -> Script:
    """A backend that answers one request and, when the next comes on the same connection, reads up to `after` and leaves."""

    async def script(wire: Wire) -> None:
        request = await wire.request()
        assert request is not None
        await wire.send(ok(request.target.encode()))
        if after:
            await wire.until(after)
        getattr(wire, how)()

    return script


async def test_clients_share_connections(stage: Stage) -> None:
    backend = stage.backend(serve(ok()))
    await stage.open()
    for _ in range(5):
        assert (await ask(await stage.client(), get())).status == 200
    assert len(backend.wires) == 1
    assert stage.count(backend, counters.CONNECTS) == 1


async def test_newest_connection_is_taken_first(stage: Stage) -> None:
    release = asyncio.Event()
    arrived = []

    async def script(wire: Wire) -> None:
        while (request := await wire.request()) is not None:
            arrived.append((wire.number, request.target))
            if request.target == "/wait":
                await release.wait()
            await wire.send(ok())

    stage.backend(script)
    await stage.open()
    clients = [await stage.client() for _ in range(3)]
    for client in clients:
        await client.send(get("/wait"))
    await until(lambda: len(arrived) == 3)
    release.set()
    for client in clients:
        await client.reply()
    parked = [upstream.transport.get_extra_info("sockname") for upstream in stage.backend_states[0].idle]  # type: ignore[attr-defined]
    await ask(clients[0], get("/next"))
    again = [upstream.transport.get_extra_info("sockname") for upstream in stage.backend_states[0].idle]  # type: ignore[attr-defined]
    assert again == parked
    newest = next(wire for wire in stage.backends[0].wires if wire.sock.getpeername() == parked[-1])
    assert arrived[-1] == (newest.number, "/next")


@pytest.mark.parametrize("what", [b"x", ok(b"poison")])
async def test_any_byte_on_a_waiting_connection_ends_it(stage: Stage, what: bytes) -> None:
    backend = stage.backend(serve(ok(b"mine")))
    await stage.open()
    client = await stage.client()
    await ask(client, get())
    backend.wires[0].send_now(what)
    await until(lambda: not stage.of(backend).idle)
    assert (await ask(client, get())).body == b"mine"
    assert len(backend.wires) == 2


@pytest.mark.parametrize("how", ["half_close", "reset"])
async def test_end_of_a_waiting_connection_is_noticed_and_learned_from(stage: Stage, how: str) -> None:
    is_parked = asyncio.Event()

    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.send(ok())
        await is_parked.wait()
        await asyncio.sleep(0.05)  # its life while idle, which is what is learned
        getattr(wire, how)()

    backend = stage.backend(script)
    await stage.open()
    await ask(await stage.client(), get())
    known = stage.of(backend)
    await until(lambda: known.idle)
    is_parked.set()
    await until(lambda: not known.idle)
    assert 0.03 < known.idle_time.limit_s(stage.loop.time()) < 1.0


async def test_connection_is_not_kept_beyond_its_limit(stage: Stage) -> None:
    backend = stage.backend(serve(ok()))
    await stage.open(http=HttpConfig(keepalive=Keepalive(idle_timeout_s=0.1)))
    client = await stage.client()
    await ask(client, get())
    async with asyncio.timeout(3.0):  # and not after the default, 4 s
        await until(lambda: backend.wires[0].sock.fileno() < 0)  # its script saw the end
    assert stage.of(backend).idle == []


async def test_connection_that_is_too_old_is_not_taken_though_nobody_has_closed_it_yet(stage: Stage) -> None:
    backend = stage.backend(serve(ok()))
    await stage.open(http=HttpConfig(keepalive=Keepalive(idle_timeout_s=10.0)))
    client = await stage.client()
    await ask(client, get())
    (parked,) = stage.of(backend).idle
    parked.parked_at -= 11
    await ask(client, get())
    assert len(backend.wires) == 2
    assert len(stage.of(backend).idle) == 1


async def test_backends_own_word_on_its_keep_alive_is_followed(stage: Stage) -> None:
    backend = stage.backend(serve(ok(b"", "Keep-Alive: timeout=31, max=5")))
    await stage.open()
    await ask(await stage.client(), get())
    assert stage.of(backend).idle_time.limit_s(stage.loop.time()) == 30.0


async def test_only_so_many_are_kept(stage: Stage) -> None:
    release = asyncio.Event()

    async def script(wire: Wire) -> None:
        while await wire.request() is not None:
            await release.wait()
            await wire.send(ok())

    backend = stage.backend(script)
    await stage.open(http=HttpConfig(keepalive=Keepalive(max_idle_per_backend=2)))
    clients = [await stage.client() for _ in range(5)]
    for client in clients:
        await client.send(get())
    await until(lambda: len(backend.wires) == 5)
    release.set()
    for client in clients:
        await client.reply()
    assert len(stage.of(backend).idle) == 2
    await until(lambda: stage.of(backend).open_count == 2)


async def test_connection_serves_only_so_many_requests(stage: Stage) -> None:
    backend = stage.backend(serve(ok()))
    await stage.open(http=HttpConfig(keepalive=Keepalive(max_requests=3)))
    client = await stage.client()
    for _ in range(7):
        await ask(client, get())
    assert len(backend.wires) == 3


async def test_connection_that_has_served_more_than_it_may_since_a_reload_serves_once_more(stage: Stage) -> None:
    backend = stage.backend(serve(ok()))
    await stage.open()
    client = await stage.client()
    for _ in range(5):
        await ask(client, get())
    config = stage.snapshot.config
    (listener,) = config.listeners
    http = HttpConfig(keepalive=Keepalive(max_requests=3))
    await stage.reload(replace(config, listeners=(replace(listener, http=http),)))
    for _ in range(4):
        await ask(client, get())
    assert len(backend.wires) == 2


@pytest.mark.parametrize(
    "reply",
    [
        ok(b"x", "Connection: close"),
        b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx",
        ok(b"x") + b"more",
    ],
)
async def test_connection_that_can_not_be_trusted_is_not_reused(stage: Stage, reply: bytes) -> None:
    backend = stage.backend(serve(reply))
    await stage.open()
    client = await stage.client()
    for _ in range(3):
        assert (await ask(client, get())).body == b"x"
    assert len(backend.wires) == 3
    assert stage.of(backend).idle == []


async def test_http_1_0_backend_may_keep_its_connection(stage: Stage) -> None:
    backend = stage.backend(serve(b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx"))
    await stage.open()
    client = await stage.client()
    for _ in range(3):
        assert (await ask(client, get())).body == b"x"
    assert len(backend.wires) == 1


async def test_waiting_connections_go_with_their_backends_readiness(stage: Stage) -> None:
    backend = stage.backend(serve(ok()))
    await stage.open()
    await ask(await stage.client(), get())
    stage.listener_server.set_ready(stage.of(backend).slot, False)
    await until(lambda: backend.wires[0].sock.fileno() < 0)  # its script saw the end
    assert stage.of(backend).idle == []


# --- the idle-close race --------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("after", [b"", b"P", b"\r\n\r\n"])
async def test_request_that_may_be_repeated_is_when_a_reused_connection_dies(stage: Stage, how: str, after: bytes) -> None:
    backend = stage.backend(closes_reused(how, after))
    await stage.open()
    client = await stage.client()
    for number in range(10):
        reply = await ask(client, post(b"body", target=f"/{number}").replace(b"POST", b"PUT"))
        assert (reply.status, reply.body) == (200, b"/%d" % number)
    assert stage.whys == {Why.OK: 10}
    assert stage.count(backend, counters.FAILURES) == 0
    assert stage.of(backend).load.active == 0


async def test_post_is_never_sent_twice(stage: Stage) -> None:
    seen: Counter[str] = Counter()

    async def script(wire: Wire) -> None:
        answered = 0
        while (request := await wire.request()) is not None:
            seen[request.target] += 1
            if answered == 2:  # it is read, and then not answered
                return
            await wire.send(ok())
            answered += 1

    backend = stage.backend(script)
    await stage.open()
    client = await stage.client()
    statuses = Counter()
    for number in range(20):
        reply = await ask(client, post(b"x" * 30, target=f"/{number}"))
        statuses[reply.status] += 1
    assert set(seen.values()) == {1}
    assert len(seen) == 20
    assert statuses == {200: 14, 502: 6}
    assert stage.whys == {Why.OK: 14, Why.RESET_BEFORE_RESPONSE: 6}
    assert stage.count(backend, counters.FAILURES) == 6  # no race: it had all of the request


def dies_of(method: bytes, after_s: float, how: str) -> Script:
    """A backend whose process dies of every such request: it has read all of it, or a part; or it only ends the connection."""

    async def script(wire: Wire) -> None:
        while head := await wire.some(1):
            if head == method[:1]:
                if how == "unread":
                    await asyncio.sleep(after_s)
                    return
                wire.unread = head + wire.unread
                await wire.request()
                await asyncio.sleep(after_s)
                if how == "reset":
                    wire.reset()
                return
            wire.unread = head + wire.unread
            await wire.request()
            await wire.send(ok())

    return script


@pytest.mark.parametrize("how", ["read", "reset", "unread"])
@pytest.mark.parametrize("after_s", [0.0, 0.005, 0.15])
async def test_backend_that_dies_of_every_post_is_found_out(stage: Stage, how: str, after_s: float) -> None:
    """Its connections are reused ones, for it answers every GET."""
    backend = stage.backend(dies_of(b"POST", after_s, how))
    await stage.open()
    client = await stage.client()
    for number in range(6):
        assert (await ask(client, get())).status == 200
        assert (await ask(client, post(b"x" * 100))).status == 502
        if not number:
            await asyncio.sleep(IdleRaces.SPAN_S + 0.02)  # what is lost at once may be lost by one restart
    assert stage.whys.get(Why.RESET_ON_REUSE, 0) <= (how != "read")
    assert stage.count(backend, counters.FAILURES) == 6 - stage.whys.get(Why.RESET_ON_REUSE, 0)


async def test_reset_long_after_the_request_is_the_backends_and_asks_for_no_more(stage: Stage) -> None:
    seen: list[str] = []

    async def script(wire: Wire) -> None:
        while (request := await wire.request()) is not None:
            seen.append(request.target)
            if len(seen) == 2:
                await asyncio.sleep(0.2)
                wire.reset()
                return
            await wire.send(ok())

    backend = stage.backend(script)
    await stage.open(access=AccessLog(enabled=True, output=str(stage.folder / "log")))
    client = await stage.client()
    await ask(client, get("/1"))
    reply = await ask(client, get("/2"))
    assert (reply.status, json.loads(reply.body)["why"]) == (502, "reset_before_response")
    assert seen == ["/1", "/2"]
    assert stage.count(backend, counters.FAILURES) == 1


async def test_only_the_first_of_races_in_a_row_is_nobodys_fault(stage: Stage) -> None:
    races = IdleRaces()
    assert [races.is_one(now, leases) for now, leases in ((10.0, 5), (10.05, 6), (10.1, 6), (10.2, 7), (30.0, 26))] == [
        True, True, True, False, False
    ]  # fmt: skip
    assert races.is_one(40.0, 26 + IdleRaces.APART)


async def test_post_avoids_a_connection_whose_end_has_come(stage: Stage) -> None:
    """Seen by asking the kernel, before the loop has had a turn to read it."""
    backend = stage.backend(serve(ok()))
    await stage.open()
    client = await stage.client()
    await ask(client, post(b"1"))
    client.send_now(post(b"2"))
    backend.wires[0].half_close()
    assert (await client.reply()).status == 200
    assert len(backend.wires) == 2


async def test_streamed_request_is_not_repeated(stage: Stage) -> None:
    """Its beginning is gone by the time the connection dies."""

    async def script(wire: Wire) -> None:
        assert await wire.request() is not None
        await wire.send(ok())
        await wire.until(b"\r\n\r\n")
        await wire.some()

    stage.backend(script)
    await stage.open()
    client = await stage.client()
    await ask(client, get())
    put = post(b"x" * 1000).replace(b"POST", b"PUT")
    await client.send(put[:-500])
    assert (await client.reply()).status == 502
    assert stage.whys == {Why.OK: 1, Why.RESET_BEFORE_RESPONSE: 1}


async def test_request_that_dies_on_a_fresh_connection_is_not_repeated_again(stage: Stage) -> None:
    answered = []

    async def script(wire: Wire) -> None:
        await wire.request()
        if not answered:
            answered.append(wire)
            await wire.send(ok())
            await wire.request()

    backend = stage.backend(script)
    await stage.open()
    client = await stage.client()
    await ask(client, get())
    assert (await ask(client, get())).status == 502
    assert len(backend.wires) == 2
    assert stage.whys == {Why.OK: 1, Why.RESET_BEFORE_RESPONSE: 1}


async def test_reply_that_began_is_not_repeated(stage: Stage) -> None:
    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.send(ok())
        await wire.request()
        await wire.send(b"HTTP/1.1 2")

    backend = stage.backend(script)
    await stage.open()
    client = await stage.client()
    await ask(client, get())
    assert (await ask(client, get())).status == 502
    assert len(backend.wires) == 1


async def race(stage: Stage, clients: int, requests: int, method: str, gap_s: tuple[float, float]) -> Counter[int]:
    """Many clients with jittered pauses, each request with an id of its own."""
    rand = random.Random(1)
    statuses: Counter[int] = Counter()
    ids = iter(range(requests))

    async def run() -> None:
        client = await stage.client()
        for number in ids:
            request = get(f"/{number}") if method == "GET" else post(b"%d" % number, target=f"/{number}")
            reply = await ask(client, request)
            statuses[reply.status] += 1
            if reply.status == 200:
                assert reply.body == b"/%d" % number
            await asyncio.sleep(rand.uniform(*gap_s))

    async with asyncio.TaskGroup() as group:
        for _ in range(clients):
            group.create_task(run())
    return statuses


def impatient(idle_s: float, seen: Counter[str], leave_on_reuse: float = 0.0) -> Script:
    """Closes a connection that was idle for `idle_s`, however the next request is timed; some when the request has begun."""
    rand = random.Random(2)

    async def script(wire: Wire) -> None:
        is_new = True  # nobody's keep-alive is over before the first request, and on a busy machine that takes its time
        while True:
            try:
                async with asyncio.timeout(10 if is_new else idle_s):
                    first = await wire.some(1)
            except TimeoutError:
                if rand.random() < 0.5:
                    wire.reset()
                return
            if not first:
                return
            if wire.seen > 1 and rand.random() < leave_on_reuse:
                if rand.random() < 0.5:
                    wire.reset()
                return
            wire.unread = first + wire.unread
            request = await wire.request()
            assert request is not None
            seen[request.target] += 1
            is_new = False
            await wire.send(ok(request.target.encode()))

    return script


@pytest.mark.long
@pytest.mark.timeout(60)
async def test_8000_gets_meet_backends_that_close_idle_connections_and_none_fails(stage: Stage) -> None:
    seen: Counter[str] = Counter()
    for _ in range(3):
        stage.backend(impatient(0.05, seen, leave_on_reuse=0.05))
    # On a busy machine the backends, too, are late: a few close when the race is over, which is for `retry` to make up.
    retry = Retry(enabled=True, max_attempts=5, backoff_base_s=0.001, on=("reset",), budget=RetryBudget(1.0, 1000))
    await stage.open(retry=retry)
    statuses = await race(stage, clients=150, requests=8_000, method="GET", gap_s=(0.02, 0.08))
    assert statuses == {200: 8_000}, stage.whys
    assert stage.whys == {Why.OK: 8_000}
    assert sum(stage.count(backend, counters.RETRIES) for backend in stage.backends) > 100  # the race was run


@pytest.mark.long
@pytest.mark.timeout(60)
async def test_5000_posts_meet_the_same_and_none_is_sent_twice(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    seen: Counter[str] = Counter()
    for _ in range(3):
        stage.backend(impatient(0.05, seen, leave_on_reuse=0.02))
    await stage.open()
    statuses = await race(stage, clients=100, requests=5000, method="POST", gap_s=(0.02, 0.08))
    with capsys.disabled():
        sys.stdout.write(f"\n5000 POSTs against backends that close: {dict(statuses)}\n")
    assert max(seen.values()) == 1
    assert statuses.keys() <= {200, 502}
    assert statuses[502] == stage.whys.get(Why.RESET_ON_REUSE, 0) + stage.whys.get(Why.RESET_BEFORE_RESPONSE, 0)
    assert statuses[200] <= len(seen)


# --- one connection by itself ----------------------------------------------------------------------------------


async def test_backend_that_speaks_first_is_not_believed(stage: Stage) -> None:
    """What it says before it was asked may have been meant for nobody; what it says after is a reply."""

    async def script(wire: Wire) -> None:
        wire.send_now(ok(b"for nobody"))
        await wire.has_ended()

    backend = stage.backend(script)
    await stage.open()
    client = await stage.client()
    client.send_now(get())
    client.reset()  # so that the connection is parked before it was used
    await until(lambda: backend.wires)
    await until(lambda: stage.of(backend).open_count == 0)
    assert stage.of(backend).idle == []


def test_connection_given_up_while_it_opened_was_never_counted(stage: Stage) -> None:
    stage.run(stage.open(stage.refusing()))
    (backend,) = stage.backend_states
    upstream = Upstream(stage.worker, backend)
    upstream.connection_lost(None)
    assert backend.open_count == 0
