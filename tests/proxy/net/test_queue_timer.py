"""Requests that wait for a backend that has as many as it may have: served in order, bounded, and never forgotten."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from rawclient import Message, Wire, get, ok, post
from stage import Backend, Stage, serve, until

from balance.config.model import AccessLog, HealthCheck, QueueConfig, Retry, Timeouts
from balance.health.circuit_breaker import BreakerState
from balance.health.states import State
from balance.model import Mode, Why
from balance.runtime import counters

LONG = QueueConfig(timeout_s=15.0)


class Held:
    """A backend's script: answers a request with its target when it is let go, one for each release()."""

    def __init__(self) -> None:
        self.targets: list[str] = []
        self.at_once = self.most_at_once = 0
        self._turns = asyncio.Semaphore(0)

    def release(self, count: int = 1) -> None:
        for _ in range(count):
            self._turns.release()

    async def __call__(self, wire: Wire) -> None:
        while (request := await wire.request()) is not None:
            self.targets.append(request.target)
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
            try:
                await self._turns.acquire()
            finally:
                self.at_once -= 1
            await wire.send(ok(request.target.encode()))


async def opened(stage: Stage, *, limit: int = 1, count: int = 1, **given: Any) -> list[Held]:
    """So many backends with that limit."""
    helds = [Held() for _ in range(count)]
    for held in helds:
        stage.backend(held)
    given.setdefault("queue", LONG)
    await stage.open(limits=[limit] * count, **given)
    return helds


def waiting(stage: Stage) -> int:
    assert stage.pool.queue is not None
    return len(stage.pool.queue.waiters)


async def ask(stage: Stage, target: str, *, waits: bool = True) -> Wire:
    """Ask, and be seen in the queue."""
    before = waiting(stage)
    wire = await stage.client()
    await wire.send(get(target))
    if waits:
        await until(lambda: waiting(stage) == before + 1, f"{target} in the queue")
    return wire


async def first(stage: Stage, held: Held, target: str = "/0") -> Wire:
    """The request that fills the backend."""
    wire = await ask(stage, target, waits=False)
    await until(lambda: held.targets == [target])
    return wire


async def test_who_waits_is_served_in_order_when_leases_end(stage: Stage) -> None:
    (held,) = await opened(stage, limit=2)
    wires = [await ask(stage, f"/{n}", waits=n > 1) for n in range(2)]
    await until(lambda: len(held.targets) == 2)
    wires += [await ask(stage, f"/{n}") for n in range(2, 6)]
    held.release(6)
    for number, wire in enumerate(wires):
        assert (await wire.reply()).body == b"/%d" % number
    assert held.targets[2:] == ["/2", "/3", "/4", "/5"]
    assert held.most_at_once == 2
    assert stage.whys == {Why.OK: 6}


async def test_a_full_backend_is_passed_over_while_others_have_room(stage: Stage) -> None:
    one, two = await opened(stage, count=2)
    wires = [await ask(stage, f"/{n}", waits=n > 1) for n in range(2)]
    await until(lambda: len(one.targets) == len(two.targets) == 1)
    third = await ask(stage, "/2")
    two.release(2)
    assert (await third.reply()).status == 200
    assert two.targets[-1] == "/2"
    one.release()
    for wire in wires:
        assert (await wire.reply()).status == 200


async def test_where_nobody_has_room_the_answer_is_503_with_retry_after_at_once(stage: Stage) -> None:
    (held,) = await opened(stage, queue=QueueConfig(size=1, timeout_s=15.0))
    wires = [await first(stage, held), await ask(stage, "/1")]
    refused = await ask(stage, "/2", waits=False)
    reply = await refused.reply()
    assert (reply.status, reply.get("retry-after"), json.loads(reply.body)["why"]) == (503, "1", "limit")
    held.release(2)
    for wire in wires:
        assert (await wire.reply()).status == 200
    assert stage.whys == {Why.OK: 2, Why.LIMIT: 1}
    assert stage.count(stage.backends[0], counters.FAILURES) == 0


async def test_without_a_queue_nobody_waits(stage: Stage) -> None:
    (held,) = await opened(stage, queue=QueueConfig(size=0))
    wire = await first(stage, held)
    refused = await ask(stage, "/1", waits=False)
    async with asyncio.timeout(4.0):  # it takes 5 s to wait in vain
        assert (await refused.reply()).status == 503
        await refused.send(get("/2"))  # the connection goes on
        assert (await refused.reply()).status == 503
    held.release()
    assert (await wire.reply()).status == 200


async def test_whose_time_is_over_is_answered_503(stage: Stage) -> None:
    (held,) = await opened(stage, queue=QueueConfig(timeout_s=0.1))
    wire = await first(stage, held)
    late = await ask(stage, "/1")
    async with asyncio.timeout(4.0):  # and not after the default, 5 s
        reply = await late.reply()
    assert (reply.status, reply.get("retry-after"), json.loads(reply.body)["why"]) == (503, "1", "queue_timeout")
    held.release()
    assert (await wire.reply()).status == 200
    assert held.targets == ["/0"]


@pytest.mark.parametrize("way", ["close", "reset"])
async def test_who_leaves_while_waiting_is_taken_out(stage: Stage, way: str) -> None:
    (held,) = await opened(stage)
    wire = await first(stage, held)
    leaving = await ask(stage, "/1")
    staying = await ask(stage, "/2")
    getattr(leaving, way)()
    await until(lambda: waiting(stage) == 1)
    held.release(2)
    for each in (wire, staying):
        assert (await each.reply()).status == 200
    assert held.targets == ["/0", "/2"]
    assert stage.whys == {Why.OK: 2, Why.CLIENT_ABORT: 1}


async def test_who_left_while_its_body_waited_is_found_out_before_it_is_served(stage: Stage) -> None:
    (held,) = await opened(stage)
    wire = await first(stage, held)
    uploading = await stage.client()
    await uploading.send(post(b"x" * 100_000, target="/up")[:2000])
    await until(lambda: waiting(stage) == 1)
    await uploading.send(b"x" * 5000)
    await until(lambda: [item for item in stage.worker.connections if getattr(item, "_paused_for", 0)])
    uploading.close()
    await asyncio.sleep(0)
    last = await ask(stage, "/2")
    held.release(2)
    for each in (wire, last):
        assert (await each.reply()).status == 200
    assert held.targets == ["/0", "/2"]


async def test_the_deadline_of_the_whole_request_holds_in_the_queue(stage: Stage) -> None:
    (held,) = await opened(stage, timeouts=Timeouts(request_s=0.3))
    wire = await first(stage, held)
    late = await ask(stage, "/1")
    reply = await late.reply()
    assert (reply.status, json.loads(reply.body)["why"]) in [(504, "total_timeout")]
    assert (await wire.reply()).status == 504
    held.release()


async def test_a_limit_that_is_raised_lets_those_in_who_wait(stage: Stage) -> None:
    (held,) = await opened(stage)
    wires = [await first(stage, held), await ask(stage, "/1"), await ask(stage, "/2")]
    stage.pool.backends[0].limit = 3
    await until(lambda: held.at_once == 3)
    stage.pool.backends[0].limit = 1
    wires.append(await ask(stage, "/3"))
    held.release(2)
    await until(lambda: held.at_once == 1)
    assert waiting(stage) == 1
    held.release(2)
    for number, wire in enumerate(wires):
        assert (await wire.reply()).body == b"/%d" % number


def see(stage: Stage, backend: Backend, state: State) -> None:
    """As the board says it."""
    health = stage.pool.health
    assert health is not None
    health.update(stage.of(backend), state, BreakerState.CLOSED, stage.loop.time())
    stage.pool.rebuild()


async def test_a_backend_that_becomes_ready_takes_those_who_wait(stage: Stage) -> None:
    one, two = await opened(stage, count=2, health_check=HealthCheck(enabled=True))
    see(stage, stage.backends[1], State.UNHEALTHY)
    wire = await first(stage, one)
    waits = await ask(stage, "/1")
    see(stage, stage.backends[1], State.HEALTHY)
    two.release()
    assert (await waits.reply()).body == b"/1"
    one.release()
    assert (await wire.reply()).status == 200


async def test_when_nobody_healthy_is_left_all_who_wait_are_told_at_once(stage: Stage) -> None:
    (held,) = await opened(stage, health_check=HealthCheck(enabled=True))
    wire = await first(stage, held)
    waits = [await ask(stage, "/1"), await ask(stage, "/2")]
    see(stage, stage.backends[0], State.UNHEALTHY)
    for each in waits:
        reply = await each.reply()
        assert (reply.status, json.loads(reply.body)["why"]) == (503, "no_healthy")
    held.release()
    assert (await wire.reply()).status == 200


async def test_a_drain_serves_who_waits_and_refuses_the_rest_at_its_end(stage: Stage) -> None:
    (held,) = await opened(stage)
    wire = await first(stage, held)
    served, refused = await ask(stage, "/1"), await ask(stage, "/2")
    draining = stage.loop.create_task(stage.listener_server.drain(1.5))
    held.release()
    assert (await wire.reply()).status == 200
    await until(lambda: "/1" in held.targets)
    held.release()
    reply = await served.reply()
    assert (reply.status, reply.get("connection")) == (200, "close")
    assert await draining == 1
    assert (await refused.reply()).status == 503
    assert stage.whys == {Why.OK: 2, Why.DRAINING: 1}


async def test_a_request_that_cannot_be_dialled_waits_for_the_backend_that_is_full(stage: Stage) -> None:
    held = Held()
    stage.backend(held)
    refusing = stage.refusing()
    await stage.open(refusing, limits=[1, 1], queue=LONG)
    wires = [await ask(stage, f"/{n}", waits=n > 0) for n in range(2)]
    held.release(2)
    for wire in wires:
        assert (await wire.reply()).status == 200


@pytest.mark.parametrize("ends", ["served", "late"])
async def test_a_retry_waits_for_the_backend_that_is_full(stage: Stage, ends: str) -> None:
    held = Held()
    stage.backend(serve(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"))
    stage.backend(held)
    retry = Retry(backoff_base_s=0.01, on=(503,))
    queue = LONG if ends == "served" else QueueConfig(timeout_s=0.1)
    await stage.open(limits=[0, 1], queue=queue, retry=retry)
    full = await stage.client()
    await full.send(get("/full"))
    await until(lambda: held.targets == ["/full"])  # it was tried at the other first
    again = await stage.client()
    await again.send(get("/again"))
    if ends == "served":
        await until(lambda: waiting(stage) == 1)
        held.release(2)
        assert (await again.reply()).body == b"/again"
    else:
        assert json.loads((await again.reply()).body)["why"] == "queue_timeout"
        held.release()
    assert (await full.reply()).body == b"/full"


async def test_pipelined_requests_wait_one_by_one(stage: Stage) -> None:
    (held,) = await opened(stage)
    wire = await first(stage, held)
    many = await stage.client()
    await many.send(b"".join(get(f"/{n}") for n in range(1, 4)))
    await until(lambda: waiting(stage) == 1)
    held.release(4)
    assert [(await many.reply()).body for _ in range(3)] == [b"/1", b"/2", b"/3"]
    assert (await wire.reply()).status == 200


async def test_how_long_a_request_waited_is_written_down(stage: Stage) -> None:
    log = stage.folder / "access.log"
    (held,) = await opened(stage, access=AccessLog(enabled=True, output=str(log)))
    wire = await first(stage, held)
    waits = await ask(stage, "/1")
    began = stage.loop.time()
    await asyncio.sleep(0.06)
    held.release(2)
    for each in (wire, waits):
        assert (await each.reply()).status == 200
    least_ms = (stage.loop.time() - began) * 1e3 * 0.5
    await until(lambda: len(log.read_text().splitlines()) == 2)
    before, after = (json.loads(line) for line in log.read_text().splitlines())
    assert before["queue_ms"] == 0.0
    assert least_ms < after["queue_ms"] <= after["total_ms"]
    assert after["connect_ms"] < after["queue_ms"]


async def test_a_wait_in_vain_is_written_down_too(stage: Stage) -> None:
    log = stage.folder / "access.log"
    (held,) = await opened(stage, access=AccessLog(enabled=True, output=str(log)), queue=QueueConfig(timeout_s=0.1))
    wire = await first(stage, held)
    assert (await (await ask(stage, "/1")).reply()).status == 503
    held.release()
    assert (await wire.reply()).status == 200
    await until(lambda: len(log.read_text().splitlines()) == 2)
    late = json.loads(log.read_text().splitlines()[0])
    assert late["why"] == "queue_timeout"
    assert late["queue_ms"] >= 100.0
    assert (late["connect_ms"], late["attempts"]) == (-1.0, 0)


async def test_an_upload_that_waits_arrives_whole(stage: Stage) -> None:
    bodies: list[int] = []
    held = Held()

    async def script(wire: Wire) -> None:
        while (request := await wire.request()) is not None:
            bodies.append(len(request.body))
            await held._turns.acquire()
            await wire.send(ok())

    stage.backend(script)
    await stage.open(limits=[1], queue=LONG)
    one, two = await stage.client(), await stage.client()
    await one.send(get())
    await until(lambda: len(bodies) == 1)
    sending = stage.loop.create_task(two.send(post(b"y" * 300_000)))
    await until(lambda: waiting(stage) == 1)
    held.release(2)
    replies: list[Message] = [await one.reply(), await two.reply()]
    await sending
    assert [reply.status for reply in replies] == [200, 200]
    assert bodies == [0, 300_000]


# --- TCP mode -----------------------------------------------------------------------------------------


async def echo(wire: Wire) -> None:
    while data := await wire.some():
        await wire.send(data)


async def session(stage: Stage, word: bytes) -> Wire:
    wire = await stage.client()
    await wire.send(word)
    return wire


async def test_a_tcp_connection_waits_before_any_dial(stage: Stage) -> None:
    backend = stage.backend(echo)
    await stage.open(limits=[1], mode=Mode.TCP, queue=LONG)
    one = await session(stage, b"one")
    assert await one.exactly(3) == b"one"
    two = await session(stage, b"two")
    await until(lambda: waiting(stage) == 1)
    assert len(backend.wires) == 1
    one.close()
    assert await two.exactly(3) == b"two"
    assert len(backend.wires) == 2


async def test_a_tcp_connection_without_room_or_time_is_reset(stage: Stage) -> None:
    stage.backend(echo)
    await stage.open(limits=[1], mode=Mode.TCP, queue=QueueConfig(size=1, timeout_s=0.15))
    one = await session(stage, b"one")
    assert await one.exactly(3) == b"one"
    two = await stage.client()
    await until(lambda: waiting(stage) == 1)
    three = await stage.client()
    assert await three.ending() == "reset"
    assert await two.ending() == "reset"
    assert stage.whys == {Why.LIMIT: 1, Why.QUEUE_TIMEOUT: 1}


async def test_a_tcp_connection_that_breaks_while_it_waits_is_taken_out(stage: Stage) -> None:
    stage.backend(echo)
    await stage.open(limits=[1], mode=Mode.TCP, queue=LONG)
    one = await session(stage, b"one")
    assert await one.exactly(3) == b"one"
    two = await stage.client()
    await until(lambda: waiting(stage) == 1)
    two.reset()
    await until(lambda: waiting(stage) == 0)
    assert stage.whys == {Why.CLIENT_ABORT: 1}


async def test_a_tcp_connection_that_breaks_in_its_turn_gives_its_permit_back(stage: Stage) -> None:
    stage.backend(echo)
    await stage.open(limits=[1], mode=Mode.TCP, queue=LONG)
    one = await session(stage, b"one")
    assert await one.exactly(3) == b"one"
    two = await stage.client()
    await until(lambda: waiting(stage) == 1)
    (waiter,) = stage.pool.queue.waiters  # type: ignore[union-attr]
    one.close()
    await until(lambda: stage.active == 0 or waiting(stage) == 0)
    waiter.transport.abort()  # type: ignore[attr-defined]
    two.close()
    three = await session(stage, b"three")
    assert await three.exactly(5) == b"three"
