"""All of a worker's traffic: its gauges, its end, and its memory, whatever the peers do."""

import asyncio
import gc
import json
import os
import random
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rawclient import Wire, chunked, get, ok, post
from stage import Backend, Script, Stage, memory_of, serve, until

from balance.config.model import AccessLog, BackendConfig, Config, HealthCheck, QueueConfig, Timeouts
from balance.health.circuit_breaker import BreakerState
from balance.health.states import State
from balance.model import Address, Mode, Outcome, Why
from balance.proxy import access_log
from balance.proxy.http.client import HttpClient
from balance.proxy.listener_server import Pause
from balance.proxy.net.timer_wheel import TICK_S
from balance.proxy.tcp.relay import Relay
from balance.proxy.tcp.session import Downstream
from balance.runtime import counters
from balance.runtime.pool import Pool
from balance.runtime.pool_health import PoolHealth
from balance.runtime.pool_limits import PoolLimits
from balance.runtime.snapshot import prepare

SEEDS = int(os.environ.get("BALANCE_RASCALS", "3"))  # more for a long run
ROOT = Path(__file__).resolve().parents[2]


async def ask(client: Wire, request: bytes = b"") -> bytes:
    await client.send(request or get())
    return (await client.reply()).body


def answers_when(go: asyncio.Event, reply: bytes) -> Script:
    async def script(wire: Wire) -> None:
        while await wire.request() is not None:
            await go.wait()
            await wire.send(reply)

    return script


# --- gauges -------------------------------------------------------------------------------------------------


async def test_gauges_follow_what_is_going_on(stage: Stage) -> None:
    go = asyncio.Event()
    backend = stage.backend(answers_when(go, ok()))
    await stage.open()
    clients = [await stage.client() for _ in range(3)]
    for client in clients[:2]:
        await client.send(get())
    block = stage.of(backend).block

    def gauges() -> tuple[int, ...]:
        of_backend = [stage.cell(block + cell) for cell in (counters.ACTIVE, counters.IDLE, counters.OPEN)]
        return (stage.cell(counters.CONNECTIONS_OPEN), stage.cell(counters.EXCHANGES_OPEN), *of_backend)

    await until(lambda: gauges() == (3, 2, 2, 0, 2))
    go.set()
    for client in clients[:2]:
        await client.reply()
    await until(lambda: gauges() == (3, 0, 0, 2, 2))
    for client in clients:
        client.close()
    await until(lambda: gauges() == (0, 0, 0, 2, 2))


async def test_worker_beats_and_says_how_late_it_is(stage: Stage) -> None:
    stage.backend(serve(ok()))
    await stage.open()
    beat = stage.cell(counters.BEAT_US)
    assert beat > 0
    await until(lambda: stage.cell(counters.BEAT_US) > beat)
    began = stage.loop.time()
    while stage.loop.time() < began + 3 * TICK_S:  # a worker that is busy with something else
        pass
    await until(lambda: stage.cell(counters.LAG_MAX_US) > TICK_S * 1e6)


async def test_crash_in_a_tick_does_not_stop_the_clock(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.backend(serve(ok()))
    await stage.open(timeouts=Timeouts(keepalive_s=0.3))
    client = await stage.client()
    await ask(client)
    with monkeypatch.context() as patched:
        patched.setattr(stage.worker.wheel.__class__, "turn", None)
        await until(lambda: stage.failures)
    stage.failures.clear()
    assert await client.ending() == "eof"
    stage.failures.clear()


async def test_readiness_of_a_backend_is_followed_at_once(stage: Stage) -> None:
    first, second = stage.backend(serve(ok(b"1"))), stage.backend(serve(ok(b"2")))
    await stage.open()
    client = await stage.client()
    stage.listener_server.set_ready(stage.of(first).slot, False)
    assert {await ask(client) for _ in range(4)} == {b"2"}
    stage.listener_server.set_ready(stage.of(first).slot, True)
    stage.listener_server.set_ready(stage.of(second).slot, False)
    assert {await ask(client) for _ in range(4)} == {b"1"}


async def test_what_other_workers_hold_is_known_to_the_policy(stage: Stage) -> None:
    stage.backend(serve(ok(b"1")))
    stage.backend(serve(ok(b"2")))
    await stage.open(algorithm="least-connections")
    busy, free = stage.backend_states
    stage.listener_server.see_others(range(busy.slot, 3), [10 if slot == busy.slot else 0 for slot in range(busy.slot, 3)])
    client = await stage.client()
    assert {await ask(client) for _ in range(4)} == {b"2"}
    assert free.load.active_elsewhere == 0


async def test_listener_of_another_configuration_is_refused(stage: Stage) -> None:
    await stage.open(stage.refusing())
    with pytest.raises(KeyError):
        await stage.listener_server.open([("nobody", stage._held[0])])


# --- the end ------------------------------------------------------------------------------------------------


async def test_drain_closes_what_is_idle_and_what_waits_at_backends(stage: Stage) -> None:
    backend = stage.backend(serve(ok()))
    await stage.open()
    client = await stage.client()
    await ask(client)
    assert await stage.listener_server.drain(5.0) == 0
    assert await client.ending() == "eof"
    await until(lambda: backend.wires[0].sock.fileno() < 0)  # its script saw the end


async def test_drain_takes_no_new_connection(stage: Stage) -> None:
    stage.backend(serve(ok()))
    await stage.open()
    await stage.listener_server.drain(5.0)
    with pytest.raises(ConnectionRefusedError):
        await stage.client()


async def test_drain_lets_requests_end_and_says_that_the_connection_does(stage: Stage) -> None:
    go = asyncio.Event()
    backend = stage.backend(answers_when(go, ok(b"in time")))
    await stage.open()
    client = await stage.client()
    client.send_now(get("/1") + get("/2"))
    await until(lambda: backend.wires and backend.wires[0].seen)
    draining = asyncio.ensure_future(stage.listener_server.drain(5.0))
    await until(lambda: stage.worker.is_draining)
    go.set()
    reply = await client.reply()
    assert (reply.body, reply.get("connection")) == (b"in time", "close")
    assert await client.ending() == "eof"
    client.close()
    assert await draining == 0


async def test_drain_lets_a_download_end(stage: Stage) -> None:
    go = asyncio.Event()

    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(b"first")[:-5])
        await go.wait()
        await wire.send(chunked(b"second"))

    stage.backend(script)
    await stage.open()
    client = await stage.client()
    await client.send(get())
    head = await client.head()
    assert head is not None
    draining = asyncio.ensure_future(stage.listener_server.drain(5.0))
    await until(lambda: stage.worker.is_draining)
    go.set()
    await client.body(head)
    assert head.body == b"firstsecond"
    assert await client.ending() == "eof"
    assert await draining == 0


async def test_request_that_has_come_but_was_not_read_is_served_by_a_drain(stage: Stage) -> None:
    stage.backend(serve(ok(b"served")))
    await stage.open()
    client = await stage.client()
    await ask(client)
    client.send_now(get())
    draining = asyncio.ensure_future(stage.listener_server.drain(5.0))
    reply = await client.reply()
    assert (reply.body, reply.get("connection")) == (b"served", "close")
    assert await draining == 0


async def test_request_that_comes_as_it_is_a_connections_turn_is_served(stage: Stage) -> None:
    stage.backend(serve(ok(b"served")))
    await stage.open()
    client = await stage.client()
    await ask(client)
    client.send_now(get())
    for connection in list(stage.worker.connections):
        connection.drain(is_patient=False)
    assert (await client.reply()).body == b"served"


async def test_connection_taken_just_before_a_drain_may_still_ask(stage: Stage) -> None:
    stage.backend(serve(ok(b"served")))
    await stage.open()
    client = await stage.client()
    await until(lambda: stage.worker.connections)
    draining = asyncio.ensure_future(stage.listener_server.drain(5.0))
    await until(lambda: stage.worker.is_draining)
    await asyncio.sleep(2 * TICK_S)
    assert await ask(client) == b"served"
    assert await draining == 0


async def test_connection_that_never_asks_does_not_hold_a_drain_up(stage: Stage) -> None:
    stage.backend(serve(ok()))
    await stage.open()
    client = await stage.client()
    await until(lambda: stage.worker.connections)
    began = stage.loop.time()
    assert await stage.listener_server.drain(30.0) == 0
    assert stage.loop.time() - began < 3
    assert await client.ending() == "eof"


async def test_drain_with_much_time_leaves_idle_connections_to_their_next_request(stage: Stage) -> None:
    """A close and a request may cross; the word in a reply can't."""
    stage.backend(serve(ok(b"served")))
    await stage.open()
    client, new = await stage.client(), await stage.client()
    await ask(client)
    draining = asyncio.ensure_future(stage.listener_server.drain(3600.0))
    await until(lambda: stage.worker.is_draining)
    await asyncio.sleep(4 * TICK_S)
    for each in (client, new):
        assert not has_ended(each)
        each.send_now(get())
        reply = await each.reply()
        assert (reply.body, reply.get("connection")) == (b"served", "close")
    assert await draining == 0


async def test_drain_with_much_time_hurries_when_it_is_told_to(stage: Stage) -> None:
    stage.backend(serve(ok()))
    await stage.open()
    client = await stage.client()
    await ask(client)
    draining = asyncio.ensure_future(stage.listener_server.drain(3600.0))
    await until(lambda: stage.worker.is_draining)
    stage.listener_server.shorten_drain(5.0)
    assert await client.ending() == "eof"
    assert await draining == 0


async def test_idle_connections_are_closed_one_after_the_other_and_each_may_ask_until_its_turn(stage: Stage) -> None:
    stage.backend(serve(ok(b"served")))
    await stage.open()
    clients = [await stage.client() for _ in range(200)]
    for client in clients:
        await ask(client)
    draining = asyncio.ensure_future(stage.listener_server.drain(5.0))
    await until(lambda: stage.worker.is_draining)
    left = [len(stage.worker.connections)]
    while left[-1] > 100:
        await asyncio.sleep(TICK_S / 5)
        left.append(len(stage.worker.connections))
    assert len(set(left)) > 3  # in steps
    asked = [client for client in clients if not has_ended(client)]
    assert asked
    for client in asked:
        client.send_now(get())
    for client in asked:
        reply = await client.reply()
        assert (reply.body, reply.get("connection")) == (b"served", "close")
    for client in clients:
        assert await client.ending() == "eof"
    assert await draining == 0


def has_ended(client: Wire) -> bool:
    try:
        return client.sock.recv(1, socket.MSG_PEEK) == b""
    except BlockingIOError:
        return False


async def test_request_sent_before_the_end_could_be_seen_is_always_answered(stage: Stage) -> None:
    """At every moment of a drain, also between the look at a connection and its close."""
    stage.backend(serve(ok(b"served")))
    await stage.open()
    clients = [await stage.client() for _ in range(300)]
    for client in clients:
        await ask(client)
    rand = random.Random(7)
    answered = 0

    async def late(client: Wire) -> None:
        nonlocal answered
        for _ in range(rand.randrange(400)):
            await asyncio.sleep(0)
        await asyncio.sleep(rand.random() * 0.3)
        if has_ended(client):
            return
        client.send_now(get())
        reply = await client.reply()
        assert (reply.body, reply.get("connection")) == (b"served", "close")
        answered += 1

    draining = asyncio.ensure_future(stage.listener_server.drain(3.0))
    await until(lambda: stage.worker.is_draining)
    await asyncio.gather(*(late(client) for client in clients))
    assert await draining == 0
    assert 0 < answered < 300


async def test_deadline_of_a_drain_answers_503_and_cuts(stage: Stage) -> None:
    backend = stage.backend(answers_when(asyncio.Event(), ok()))
    await stage.open()
    client = await stage.client()
    await client.send(get())
    await until(lambda: backend.wires and backend.wires[0].seen)
    assert await stage.listener_server.drain(0.1) == 1
    reply = await client.reply()
    assert (reply.status, json.loads(reply.body)["why"], reply.get("connection")) == (503, "draining", "close")
    assert await client.ending() == "eof"
    assert stage.whys == {Why.DRAINING: 1}
    assert stage.count(backend, counters.FAILURES) == 0


async def test_deadline_of_a_drain_breaks_a_reply_off(stage: Stage) -> None:
    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345")
        await wire.has_ended()

    stage.backend(script)
    await stage.open()
    client = await stage.client()
    await client.send(get())
    await client.head()
    assert await stage.listener_server.drain(0.1) == 1
    await client.has_ended()
    assert client.seen < 200


async def test_deadline_of_a_drain_resets_tcp_sessions(stage: Stage) -> None:
    async def echo(wire: Wire) -> None:
        while data := await wire.some():
            await wire.send(data)

    stage.backend(echo)
    await stage.open(mode=Mode.TCP)
    client, dialling = await stage.client(), None
    await client.send(b"x")
    await client.exactly(1)
    stage.of(stage.backends[0]).address = stage.hanging()
    dialling = await stage.client()
    await until(lambda: stage.active == 2)
    assert await stage.listener_server.drain(0.1) == 2
    assert await client.ending() == "reset"
    assert await dialling.ending() == "reset"


async def test_drain_ends_with_the_last_line_of_the_log(stage: Stage) -> None:
    stage.backend(serve(ok()))
    path = stage.folder / "log"
    await stage.open(access=AccessLog(enabled=True, output=str(path)))
    client = await stage.client()
    for _ in range(100):
        await ask(client)
    await stage.listener_server.drain(1.0)
    assert path.read_text().count("\n") == 100


# --- reloads ------------------------------------------------------------------------------------------------


def pooled(stage: Stage, *backends: Backend, **changes: Any) -> Config:
    """The same configuration with these backends, called as they were."""
    config = stage.snapshot.config
    known = {backend.address: f"n{number}" for number, backend in enumerate(stage.backends, start=1)}
    made = tuple(BackendConfig(known[backend.address], backend.address) for backend in backends)
    return replace(config, pools=(replace(config.pools[0], backends=made, **changes),))


async def test_backend_that_is_taken_out_gets_nothing_new_and_finishes_what_it_has(stage: Stage) -> None:
    go = asyncio.Event()
    gone, stays = stage.backend(answers_when(go, ok(b"gone"))), stage.backend(serve(ok(b"stays")))
    await stage.open()
    client, other = await stage.client(), await stage.client()
    await client.send(get())
    await until(lambda: gone.wires)
    known = stage.of(gone)
    await stage.reload(pooled(stage, stays))
    assert stage.listener_server.leaving == [known]
    assert [await ask(other) for _ in range(4)] == [b"stays"] * 4
    await until(lambda: stage.cell(known.block + counters.ACTIVE) == 1)  # it is still counted
    go.set()
    assert (await client.reply()).body == b"gone"
    await until(lambda: not stage.listener_server.leaving)
    assert [stage.cell(known.block + cell) for cell in (counters.ACTIVE, counters.IDLE, counters.OPEN)] == [0, 0, 0]
    assert stage.cell(known.block + counters.LEASES) == 1  # what was counted stays


async def test_parked_connections_go_with_their_backend(stage: Stage) -> None:
    gone, stays = stage.backend(serve(ok(b"gone"))), stage.backend(serve(ok(b"stays")))
    await stage.open()
    client = await stage.client()
    assert {await ask(client) for _ in range(4)} == {b"gone", b"stays"}
    await stage.reload(pooled(stage, stays))
    assert await gone.wires[0].ending() in ("eof", "reset")
    await until(lambda: not stage.listener_server.leaving)


async def test_backend_that_comes_back_while_it_is_still_used_is_the_same_one(stage: Stage) -> None:
    go = asyncio.Event()
    first, other = stage.backend(answers_when(go, ok(b"first"))), stage.backend(serve(ok(b"other")))
    await stage.open(algorithm="least-connections")
    client = await stage.client()
    stage.listener_server.set_ready(stage.of(other).slot, False)
    await client.send(get())
    await until(lambda: first.wires)
    known = stage.of(first)
    stage.listener_server.set_ready(stage.of(other).slot, True)
    await stage.reload(pooled(stage, other))
    await stage.reload(pooled(stage, first, other))
    assert stage.of(first) is known
    assert stage.listener_server.leaving == []
    assert known.load.active == 1  # what it has counts when one is chosen
    assert known.idle_time.limit_s(0.0) > 0  # and what comes back is parked again
    second = await stage.client()
    assert await ask(second) == b"other"
    go.set()
    await client.reply()
    await until(lambda: stage.cell(known.block + counters.IDLE) == 1)


async def test_backend_with_a_limit_leaves_no_permit_behind(stage: Stage) -> None:
    go = asyncio.Event()
    gone, stays = stage.backend(answers_when(go, ok(b"gone"))), stage.backend(serve(ok(b"stays")))
    await stage.open(limits=[2], health_check=HealthCheck(slow_start_s=30.0))
    client = await stage.client()
    await client.send(get())
    await until(lambda: gone.wires)
    known = stage.of(gone)
    health = stage.pool.health
    assert health is not None
    health.update(known, State.UNHEALTHY, BreakerState.CLOSED, 0.0)
    health.update(known, State.HEALTHY, BreakerState.CLOSED, 0.0)
    stage.pool.rebuild()
    gone_with_it = {id(stage.pool), id(health), id(stage.pool.limits)}
    del health
    await stage.reload(pooled(stage, stays))
    assert stage.cell(known.block + counters.CREDIT) > 0  # the request still counts
    stage.row.cells[known.block + counters.WANTED] = 1
    go.set()
    assert (await client.reply()).body == b"gone"
    await until(lambda: not stage.listener_server.leaving)
    assert [stage.cell(known.block + cell) for cell in counters.BLOCK_GAUGES] == [0] * len(counters.BLOCK_GAUGES)
    assert (known.permits, known.gate, known.slow_start) == (None, None, None)
    assert await ask(client) == b"stays"
    gc.collect()
    left = {id(each) for each in gc.get_objects() if isinstance(each, Pool | PoolHealth | PoolLimits)}
    assert not gone_with_it & left  # nothing leads to it any more


async def test_backend_that_comes_back_as_it_is_let_go_of_has_its_limit_again(stage: Stage) -> None:
    limited, stays = stage.backend(serve(ok(b"limited"))), stage.backend(serve(ok(b"stays")))
    await stage.open(limits=[2])
    before = stage.snapshot.config
    await stage.reload(pooled(stage, stays))
    known = stage.listener_server.leaving
    assignment = stage._book.assign(before, lambda slot: True)
    made, renewals = prepare(before, assignment.slots, stage.row, lambda: 0.0, None, stage.snapshot, known)
    await until(lambda: not stage.listener_server.leaving)
    stage._book.adopt(assignment)
    await stage.listener_server.swap(made, renewals, stage.sockets)
    stage.snapshot, stage.pool = made, made.pools["pool"]
    assert stage.of(limited) is known[0]
    leases = [stage.pool.acquire(b"", 0.0, [stage.of(stays)]) for _ in range(3)]
    assert [lease is not None for lease in leases] == [True, True, False]
    for lease in leases[:2]:
        assert lease is not None
        lease.release(Outcome.OK, 0.0)


@pytest.mark.parametrize("limits", [[2, 0], [0, 0]])
async def test_who_waited_in_a_pool_that_is_replaced_is_counted_where_it_waits_now(stage: Stage, limits: list[int]) -> None:
    go = asyncio.Event()
    first, second = stage.backend(answers_when(go, ok())), stage.backend(answers_when(go, ok()))
    await stage.open(limits=[1, 1], queue=QueueConfig(timeout_s=15.0))
    clients = [await stage.client() for _ in range(3)]
    for client in clients:
        await client.send(get())
    block = stage.of(first).block
    await until(lambda: stage.cell(block + counters.WAITING) == 1)
    config = pooled(stage, second, first)
    made = tuple(replace(each, max_connections=limit) for each, limit in zip(config.pools[0].backends, limits, strict=True))
    backends = [stage.of(backend) for backend in (first, second)]
    await stage.reload(replace(config, pools=(replace(config.pools[0], backends=made),)))
    assert stage.cell(block + counters.WAITING) == 0
    assert [bool(backend.permits) for backend in backends] == [bool(limit) for limit in reversed(limits)]
    go.set()
    for client in clients:
        assert (await client.reply()).status == 200


async def test_backend_that_stays_keeps_its_connections_and_its_numbers(stage: Stage) -> None:
    backend = stage.backend(serve(ok()))
    stage.backend(serve(ok()))
    await stage.open()
    client = await stage.client()
    for _ in range(4):
        await ask(client)
    known = stage.of(backend)
    await stage.reload(pooled(stage, backend, algorithm="random"))
    assert stage.of(backend) is known
    for _ in range(4):
        await ask(client)
    assert len(backend.wires) == 1
    assert stage.count(backend, counters.LEASES) == 6


async def test_pools_that_many_backends_change_in_leave_the_loop_its_turns(stage: Stage) -> None:
    """The loop turns while a reload is applied, if that takes longer than a turn may."""
    stage.backend(serve(ok()))
    await stage.open()
    turns = 0
    pause = Pause()
    pause._due = 0.0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.ensure_future(count())
    await asyncio.sleep(0)
    before = turns
    await pause.if_due()
    assert turns > before
    pause._due = float("inf")
    before = turns
    await pause.if_due()
    assert turns == before
    counting.cancel()


async def test_access_lines_go_to_the_new_log_and_those_that_wait_to_the_old_one(stage: Stage) -> None:
    stage.backend(serve(ok()))
    paths = [stage.folder / name for name in ("old.log", "new.log")]
    await stage.open(access=AccessLog(enabled=True, output=str(paths[0])))
    client = await stage.client()
    for _ in range(3):
        await ask(client)
    assert stage.worker.access is not None
    stage.worker.access._dropped = 7
    new = access_log.AccessLog(AccessLog(enabled=True, output=str(paths[1])))
    stage.listener_server.log_to(new)
    for _ in range(2):
        await ask(client)
    await until(lambda: [path.read_text().count("\n") for path in paths] == [3, 2])
    await until(lambda: stage.cell(counters.LOG_LINES_LOST) == 7)  # a counter does not go back
    stage.listener_server.log_to(None)
    await ask(client)
    await until(lambda: [path.read_text().count("\n") for path in paths] == [3, 2])


async def test_drain_that_is_hurried_ends_earlier_and_one_that_is_given_more_time_does_not_take_it(stage: Stage) -> None:
    backend = stage.backend(answers_when(asyncio.Event(), ok()))
    await stage.open()
    client = await stage.client()
    await client.send(get())
    await until(lambda: backend.wires)
    draining = asyncio.ensure_future(stage.listener_server.drain(3600.0))
    await asyncio.sleep(0)
    stage.listener_server.shorten_drain(0.05)
    stage.listener_server.shorten_drain(3600.0)
    assert await draining == 1


# --- everything at once --------------------------------------------------------------------------------------


class Rascals:
    """Clients and backends that do what they should, or anything else, at random."""

    def __init__(self, seed: int) -> None:
        self.rand = random.Random(seed)

    async def pause(self) -> None:
        if self.rand.random() < 0.5:
            await asyncio.sleep(self.rand.choice((0, 0, 0.001, 0.01)))

    async def backend(self, wire: Wire) -> None:
        rand = self.rand
        while True:
            request = await wire.head()
            if request is None:
                return
            replies_early = rand.random() < 0.2
            if not replies_early:
                await wire.body(request)
            body = rand.randbytes(rand.choice((0, 10, 3000, 200_000)))
            reply = rand.choice((
                ok(body), ok(body), ok(body), ok(body, "Connection: close"), ok(body) + b"x",
                b"HTTP/1.1 103 Early Hints\r\n\r\n" + ok(body),
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(*filter(None, (body,))),
                b"HTTP/1.1 200 OK\r\n\r\n" + body, b"HTTP/1.1 204 No Content\r\n\r\n", b"rubbish\r\n\r\n",
                b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n" + body,
            ))  # fmt: skip
            cut = len(reply) if rand.random() < 0.8 else rand.randrange(len(reply))
            middle = rand.randrange(cut + 1)
            await wire.send(reply[:middle])
            await self.pause()
            await wire.send(reply[middle:cut])
            if cut < len(reply) or b"Length" not in reply or rand.random() < 0.1:
                await self.pause()
                if rand.random() < 0.5:
                    wire.reset()
                return
            if replies_early:
                await wire.body(request)

    async def client(self, stage: Stage) -> None:
        rand = self.rand
        wire = await stage.client(receive_buffer=rand.choice((0, 4096)))
        body = rand.randbytes(rand.choice((0, 10, 3000, 200_000)))
        requests = rand.choices((
            get(), get("/", "Connection: close"), post(body), post(body).replace(b"POST", b"PUT"),
            b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", b"GET / HTTP/1.0\r\n\r\n", b"rubbish\r\n\r\n",
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(*filter(None, (body,))),
            get("/", "Connection: Upgrade", "Upgrade: websocket"), post(body, "Expect: 100-continue"),
        ), k=rand.randint(1, 6))  # fmt: skip
        data = b"".join(requests)
        data = data[: len(data) if rand.random() < 0.7 else rand.randrange(len(data))]

        async def talk() -> None:
            position = 0
            while position < len(data):
                step = rand.choice((1, 100, 5000, 1 << 18))
                await wire.send(data[position : position + step])
                position += step
                await self.pause()

        async def listen() -> None:
            while await wire.some(rand.choice((100, 1 << 16))):
                await self.pause()

        try:
            async with asyncio.timeout(rand.choice((0.005, 0.02, 0.1, 0.3))):
                await asyncio.gather(talk(), *((listen(),) if rand.random() < 0.9 else ()))
        except (TimeoutError, ConnectionError):
            pass
        rand.choice((wire.close, wire.reset))()


@pytest.mark.parametrize("seed", range(SEEDS))
async def test_no_mix_of_good_and_bad_peers_leaves_anything_behind(stage: Stage, seed: int) -> None:
    rascals = Rascals(seed)
    for _ in range(3):
        stage.backend(rascals.backend)
    timeouts = Timeouts(client_header_s=0.2, client_body_s=0.2, read_s=0.3, write_s=0.2, keepalive_s=0.2, tunnel_s=0.3)
    await stage.open(stage.refusing(), timeouts=timeouts, send_buffer=rascals.rand.choice((0, 4096)))
    for _ in range(8):
        async with asyncio.TaskGroup() as group:
            for _ in range(25):
                group.create_task(rascals.client(stage))
        slot = rascals.rand.choice(stage.backend_states).slot
        stage.listener_server.set_ready(slot, rascals.rand.random() < 0.7)
    await stage.settled()


# --- memory -------------------------------------------------------------------------------------------------


class Child:
    """The proxy in a process of its own."""

    def __init__(self, mode: Mode, backend: Address) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).parent / "child.py"), mode, str(backend.port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        assert self.process.stdout is not None
        self.address = Address("127.0.0.1", int(self.process.stdout.readline()))

    @property
    def memory(self) -> int:
        return memory_of(self.process.pid)


@pytest.fixture
def children() -> Iterator[list[Child]]:
    started: list[Child] = []
    yield started
    for child in started:
        child.process.communicate(timeout=10)
        assert child.process.returncode == 0


class Offer:
    """Somebody who sends as long as somebody takes."""

    def __init__(self) -> None:
        self.sent = 0

    async def send(self, wire: Wire, size: int) -> None:
        block = b"x" * 100_000
        while size:
            await wire.send(block[:size])
            self.sent += len(block[:size])
            size -= len(block[:size])

    async def stalled(self) -> None:
        """Nobody takes any more."""
        before = -1
        while self.sent != before:
            before = self.sent
            await asyncio.sleep(0.15)


@pytest.mark.parametrize("mode", [Mode.TCP, Mode.HTTP])
@pytest.mark.parametrize("reader", ["backend", "client"])
async def test_500_megabytes_for_peers_that_never_read_are_not_held(
    stage: Stage, children: list[Child], mode: Mode, reader: str
) -> None:
    offer = Offer()
    count, size = 10, 50_000_000

    async def script(wire: Wire) -> None:
        await wire.until(b"\r\n\r\n")
        if reader == "client":
            await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
            await offer.send(wire, size)
        await asyncio.Event().wait()

    backend = stage.backend(script)
    child = Child(mode, backend.address)
    children.append(child)
    stage.address = child.address
    before = child.memory
    clients = [await stage.client() for _ in range(count)]
    stage.address = Address("", 0)
    tasks = []
    for client in clients:
        if reader == "backend":
            await client.send(post(b"x" * 10).replace(b": 10\r\n", b": %d\r\n" % size))
            tasks.append(asyncio.ensure_future(offer.send(client, size)))
        else:
            await client.send(get())
    await until(lambda: len(backend.wires) == count)
    await offer.stalled()
    grown = child.memory - before
    for task in tasks:
        task.cancel()
    assert 1_000_000 < offer.sent < count * size
    assert grown < 20_000_000


@pytest.mark.long
@pytest.mark.parametrize("mode", [Mode.HTTP, Mode.TCP])
async def test_5000_short_connections_leave_nothing_in_memory(stage: Stage, mode: Mode) -> None:
    stage.backend(serve(ok()))
    await stage.open(mode=mode)

    async def short_lives(count: int) -> None:
        for number in range(count):
            client = await stage.client()
            stage.wires.clear()
            await client.send(get())
            await client.reply()
            if number % 10:
                client.reset()
            else:
                client.close()

    async def many(count: int) -> int:
        async with asyncio.TaskGroup() as group:
            for _ in range(10):
                group.create_task(short_lives(count // 10))
        await stage.settled()
        stage.backends[0].wires.clear()
        gc.collect()
        return sys.getallocatedblocks()

    await many(1000)
    before = await many(500)
    after = await many(4500)
    assert after - before < 1300
    kept = [thing for thing in gc.get_objects() if isinstance(thing, HttpClient | Downstream | Relay)]
    assert kept == []
