"""A request that waits for the store of sessions: what may happen meanwhile, and what it becomes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence

from rawclient import get, ok
from stage import Stage, serve, until

from balance.config.model import SessionAffinity, Timeouts
from balance.model import Why
from balance.runtime.sessions.session_store import NO_ANSWER, Answer, Found

SHARED = SessionAffinity(enabled=True, mode="redis")
ID = "a" * 22
COOKIE = f"Cookie: LOAD-BALANCING_SESSION={ID}"


class Store:
    """Answers when it is told to."""

    is_up = True
    takes_writes = True
    flushed_at = -1.0

    def __init__(self, *, denies: bool = False) -> None:
        self.denies = denies
        self.asked: list[Callable[[Answer], None]] = []
        self.kept: list[tuple[bytes, str]] = []

    def look_up(self, sessions: Sequence[bytes], pool: str, answer: Callable[[Answer], None]) -> None:
        self.asked.append(answer)

    def keep(self, session: bytes, pool: str, backend: str, ttl_s: float, *, is_moved: bool) -> None:
        self.kept.append((session, backend))

    def extend(self, session: bytes, ttl_s: float) -> None:
        pass


async def opened(stage: Stage, store: Store, timeouts: Timeouts | None = None) -> None:
    for number in range(1, 4):
        stage.backend(serve(ok(b"n%d" % number)))
    await stage.open(affinity=SHARED, timeouts=timeouts)
    affinity = stage.pool.affinity
    assert affinity is not None
    assert affinity.shared is not None
    affinity.shared._store_of = lambda: store


async def test_the_answer_leads_to_the_sessions_backend_and_is_asked_for_once(stage: Stage) -> None:
    store = Store()
    await opened(stage, store)
    wire = await stage.client()
    await wire.send(get("/", COOKIE))
    await until(lambda: store.asked)
    store.asked[0](Found(ID.encode(), "n3", 3600.0))
    for _ in range(3):
        reply = await wire.reply()
        assert (reply.body, reply.get("set-cookie")) == (b"n3", None)
        await wire.send(get("/", COOKIE))
    assert (await wire.reply()).body == b"n3"
    assert (len(store.asked), store.kept) == (1, [])


async def test_an_id_that_nobody_knows_is_replaced(stage: Stage) -> None:
    store = Store()
    await opened(stage, store)
    wire = await stage.client()
    await wire.send(get("/", COOKIE))
    await until(lambda: store.asked)
    store.asked[0](None)
    given = (await wire.reply()).get("set-cookie") or ""
    assert given.startswith("LOAD-BALANCING_SESSION=")
    assert ID not in given
    assert store.kept[0][0].decode() in given


async def test_a_body_that_comes_meanwhile_is_sent_whole(stage: Stage) -> None:
    bodies: list[bytes] = []
    store = Store()

    def noted(request: object) -> bytes:
        bodies.append(getattr(request, "body"))  # noqa: B009
        return ok(b"n1")

    stage.backend(serve(noted))
    await stage.open(affinity=SHARED)
    assert stage.pool.affinity is not None
    assert stage.pool.affinity.shared is not None
    stage.pool.affinity.shared._store_of = lambda: store
    wire = await stage.client()
    await wire.send(f"POST / HTTP/1.1\r\nHost: h\r\n{COOKIE}\r\nContent-Length: 200000\r\n\r\n".encode() + b"x" * 50_000)
    await until(lambda: store.asked)
    sending = asyncio.ensure_future(wire.send(b"x" * 150_000))
    store.asked[0](NO_ANSWER)
    assert (await wire.reply()).body == b"n1"
    await sending
    assert bodies == [b"x" * 200_000]


async def test_a_client_that_leaves_meanwhile_costs_no_backend_a_request(stage: Stage) -> None:
    store = Store()
    await opened(stage, store)
    wire = await stage.client()
    await wire.send(get("/", COOKIE))
    await until(lambda: store.asked)
    wire.close()
    await until(lambda: stage.whys == {Why.CLIENT_ABORT: 1})
    store.asked[0](Found(ID.encode(), "n3", 3600.0))
    assert [len(backend.wires) for backend in stage.backends] == [0, 0, 0]


async def test_the_time_for_the_whole_request_goes_on(stage: Stage) -> None:
    store = Store()
    await opened(stage, store, Timeouts(request_s=0.1))
    wire = await stage.client()
    await wire.send(get("/", COOKIE))
    reply = await wire.reply()
    assert (reply.status, json.loads(reply.body)["why"]) == (504, "total_timeout")
    store.asked[0](None)


async def test_who_is_denied_is_told_why(stage: Stage) -> None:
    store = Store(denies=True)
    await opened(stage, store)
    wire = await stage.client()
    await wire.send(get("/", COOKIE))
    await until(lambda: store.asked)
    store.asked[0](NO_ANSWER)
    reply = await wire.reply()
    assert (reply.status, json.loads(reply.body)["why"]) == (503, "session_store")
    store.is_up = False
    await wire.send(get("/"))
    assert (await wire.reply()).status == 503
    assert stage.whys == {Why.SESSION_STORE: 2}
