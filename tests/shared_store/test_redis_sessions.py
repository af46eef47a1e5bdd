"""Look-ups and writes against a real Redis, well and ill."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from redis_server import RedisServer, Relay

from balance.config.model import RedisConfig
from balance.runtime import counters
from balance.runtime.sessions.session_store import NO_ANSWER, Answer
from balance.shared_store.failures import Failure, StoreState
from balance.shared_store.redis_sessions import MAX_WRITES, RedisSessions
from balance.shared_store.session_format import Moved

PATIENCE_S = 10.0
A, B = b"a" * 22, b"b" * 22
KEY = "balance:session:" + "a" * 22


@pytest.fixture(scope="module")
def shared_server() -> Iterator[RedisServer]:
    server = RedisServer()
    yield server
    server.destroy()


@pytest.fixture
def server(shared_server: RedisServer) -> RedisServer:
    client = shared_server.client()
    client.flushall()
    client.config_set("maxmemory", 0)
    client.config_set("requirepass", "")
    client.replicaof("NO", "ONE")
    return shared_server


@pytest.fixture
def own_server() -> Iterator[RedisServer]:
    server = RedisServer()
    yield server
    server.destroy()


class Store:
    """A worker's store, and what it says."""

    def __init__(self, url: str, rows: list[memoryview] | None = None, **given: Any) -> None:
        self.row = memoryview(bytearray(8 * counters.row_cells(1))).cast("Q")
        self.moved: list[Moved] = []
        rows = [self.row] if rows is None else rows
        rows.append(self.row)
        given.setdefault("timeout_s", 0.2)
        self.redis = RedisSessions(RedisConfig(url=url, **given), self.row, rows, self.moved.append)

    async def ask(self, *sessions: bytes, pool: str = "web") -> Answer:
        answered = asyncio.get_running_loop().create_future()
        self.redis.look_up(sessions, pool, answered.set_result)
        return await answered

    async def asks_until(self, wanted: Callable[[Answer], bool]) -> Answer:
        async def right() -> Any:
            answer = await self.ask(A)
            return (answer,) if wanted(answer) else None

        return (await until(right))[0]

    async def is_at(self, state: StoreState) -> None:
        await until(lambda: now(self.row[counters.STORE_STATE] == state))


async def now(value: Any) -> Any:
    return value


async def until(condition: Callable[[], Awaitable[Any]]) -> Any:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if value := await condition():
            return value
        await asyncio.sleep(0.005)
    raise AssertionError(f"not within {PATIENCE_S}s")


def test_what_is_kept_is_found_by_every_store_and_ends_by_itself(server: RedisServer) -> None:
    async def scenario() -> None:
        one, other = Store(server.url), Store(server.url)
        assert await one.ask(A) is None
        one.redis.keep(A, "web", "b1", 60.0, is_moved=False)
        found = await other.asks_until(bool)
        assert found is not None
        assert (found.session, found.backend) == (A, "b1")
        assert 50 < found.expires_in_s <= 60
        one.redis.stop(), other.redis.stop()

    asyncio.run(scenario())
    client = server.client()
    assert client.hgetall(KEY) == {"web": "b1"}
    assert 50_000 < client.pttl(KEY) <= 60_000


def test_pools_that_share_a_cookie_do_not_mix(server: RedisServer) -> None:
    async def scenario() -> None:
        store = Store(server.url)
        store.redis.keep(A, "web", "b1", 60.0, is_moved=False)
        await store.asks_until(bool)
        elsewhere = await store.ask(A, pool="api")
        assert elsewhere is not None
        assert (elsewhere.session, elsewhere.backend) == (A, "")
        store.redis.keep(A, "api", "x", 60.0, is_moved=False)
        await until(lambda: now(server.client().hget(KEY, "api")))
        both = await store.ask(B, A)  # B is nobody's
        assert both is not None
        assert (both.session, both.backend) == (A, "b1")
        store.redis.stop()

    asyncio.run(scenario())
    assert server.client().hgetall(KEY) == {"web": "b1", "api": "x"}


def test_others_hear_of_a_move_and_of_nothing_else(server: RedisServer) -> None:
    async def scenario() -> None:
        one, other = Store(server.url), Store(server.url)
        await until(lambda: now(server.client().pubsub_numsub("balance:moved")[0][1] == 2))
        server.client().publish("balance:moved", "nonsense")
        one.redis.keep(A, "web", "b1", 60.0, is_moved=False)
        one.redis.keep(B, "web", "b1", 60.0, is_moved=False)
        await one.asks_until(bool)
        one.redis.keep(A, "web", "b2", 60.0, is_moved=True)
        await until(lambda: now(other.moved))
        assert other.moved == [Moved(A, "web", "b2")]
        one.redis.stop(), other.redis.stop()

    asyncio.run(scenario())


def test_a_life_is_extended_and_never_without_end(server: RedisServer) -> None:
    server.client().hset(KEY, "web", "b1")

    async def scenario() -> None:
        store = Store(server.url)
        found = await store.ask(A)
        assert found is not None
        assert found.expires_in_s < 0
        store.redis.extend(A, 60.0)
        await until(lambda: now(server.client().pttl(KEY) > 0))
        store.redis.stop()

    asyncio.run(scenario())


def test_a_key_of_another_type_is_unknown_and_harms_nobody_else(server: RedisServer) -> None:
    server.client().set(KEY, "something")

    async def scenario() -> None:
        store = Store(server.url)
        assert await store.ask(A) is None
        store.redis.keep(A, "web", "b1", 60.0, is_moved=False)
        store.redis.keep(B, "web", "b2", 60.0, is_moved=False)
        await until(lambda: store.ask(B))
        assert store.row[counters.STORE_STATE] == StoreState.UP
        store.redis.stop()

    asyncio.run(scenario())


def test_a_reply_that_comes_late_is_nobodys(server: RedisServer) -> None:
    """Given up, a look-up's reply must not answer the next one: redis-py issue 2665."""
    client = server.client()
    names = {bytes([letter]) * 22: f"of-{chr(letter)}" for letter in b"abcdefgh"}
    for session, name in names.items():
        client.hset(f"balance:session:{session.decode()}", "web", name)
    relay = Relay(server.port)

    async def scenario() -> list[tuple[bytes, Answer]]:
        store = Store(relay.url, timeout_s=0.02)
        answers = []
        await store.is_at(StoreState.UP)
        for turn in range(12):
            relay.delay_s = 0.03 if turn % 2 else 0.0
            answers += [(session, await store.ask(session)) for session in names]
            relay.delay_s = 0.0
            await until(lambda: now(store.redis.is_up))
        store.redis.stop()
        return answers

    answers = asyncio.run(scenario())
    relay.close()
    given = [(session, answer) for session, answer in answers if answer is not NO_ANSWER]
    assert len(given) > len(names)
    assert len(given) < len(answers), "nothing was late"
    assert [(session, answer and answer.backend) for session, answer in given] == [
        (session, names[session]) for session, _ in given
    ]
    assert relay.connections > 2


def test_nobody_waits_for_a_frozen_store_and_it_is_back_by_itself(
    own_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        rows: list[memoryview] = []
        store, other = Store(own_server.url, rows), Store(own_server.url, rows)
        store.redis.keep(A, "web", "b1", 60.0, is_moved=False)
        await store.asks_until(bool)
        own_server.freeze()
        answers = await asyncio.gather(*(store.ask(A) for _ in range(50)))
        assert answers == [NO_ANSWER] * 50
        await store.is_at(StoreState.DOWN)
        await other.is_at(StoreState.DOWN)
        assert store.row[counters.STORE_FAILURE] == Failure.TIMEOUT
        assert await store.ask(A) is NO_ANSWER
        store.redis.keep(A, "web", "b2", 60.0, is_moved=True)
        own_server.thaw()
        await store.asks_until(lambda answer: answer is not None and answer.backend == "b2")
        await other.is_at(StoreState.UP)
        store.redis.stop(), other.redis.stop()

    asyncio.run(scenario())
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2
    assert said[0].startswith("Redis can't be used: it does not answer in time (200 ms); sessions go on by what")
    assert said[1].startswith("Redis is back after ")


def test_a_store_that_is_away_refuses_at_once_and_learns_later_what_it_missed(caplog: pytest.LogCaptureFixture) -> None:
    server = RedisServer()
    server.stop()

    async def scenario() -> None:
        store = Store(server.url, on_failure="deny")
        assert store.redis.denies
        await store.is_at(StoreState.DOWN)
        assert store.row[counters.STORE_FAILURE] == Failure.CONNECT
        assert not store.redis.is_up
        assert not store.redis.takes_writes
        store.redis.keep(A, "web", "b1", 60.0, is_moved=False)
        server.start()
        await store.asks_until(lambda answer: bool(answer and answer.backend == "b1"))
        store.redis.stop()

    asyncio.run(scenario())
    server.destroy()
    said = [record.getMessage() for record in caplog.records]
    assert said[0].endswith("; who needs it is answered 503")
    assert len(said) == 2


@pytest.mark.parametrize(
    ("spoil", "heal", "failure"),
    [
        (lambda c: c.config_set("maxmemory", 1), lambda c: c.config_set("maxmemory", 0), Failure.FULL),
        pytest.param(
            lambda c: c.replicaof("127.0.0.1", "1"),
            lambda c: c.replicaof("NO", "ONE"),
            Failure.READ_ONLY,
            marks=pytest.mark.long,
        ),
    ],
    ids=["full", "replica"],
)
def test_a_store_that_takes_no_writes_is_read_and_gets_them_later(
    server: RedisServer, spoil: Any, heal: Any, failure: Failure, caplog: pytest.LogCaptureFixture
) -> None:
    client = server.client()
    client.config_set("replica-serve-stale-data", "yes")
    client.hset(KEY, "web", "b1")

    async def scenario() -> None:
        store = Store(server.url)
        await store.is_at(StoreState.UP)
        spoil(client)
        store.redis.keep(B, "web", "b2", 60.0, is_moved=False)
        await store.is_at(StoreState.READ_ONLY)
        assert store.row[counters.STORE_FAILURE] == failure
        assert store.redis.is_up
        assert not store.redis.takes_writes
        await store.asks_until(lambda answer: bool(answer and answer.backend == "b1"))
        heal(client)
        await store.is_at(StoreState.UP)
        found = await store.ask(B)
        assert found is not None
        assert found.backend == "b2"
        store.redis.stop()

    asyncio.run(scenario())
    said = [record.getMessage() for record in caplog.records]
    assert [line.partition(":")[0] for line in said] == ["Redis takes no writes", "Redis takes writes again"]


def test_a_store_that_asks_for_a_password_is_down_until_it_does_not(server: RedisServer) -> None:
    client = server.client()

    async def scenario() -> None:
        client.config_set("requirepass", "right")
        without, wrong = Store(server.url), Store(f"redis://:wrong@127.0.0.1:{server.port}")
        right = Store(f"redis://:right@127.0.0.1:{server.port}")
        await right.is_at(StoreState.UP)
        for store in (without, wrong):
            await store.is_at(StoreState.DOWN)
            assert store.row[counters.STORE_FAILURE] == Failure.AUTH
        client.config_set("requirepass", "")
        await without.is_at(StoreState.UP)
        for store in (without, wrong, right):
            store.redis.stop()

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("answer", "failure"),
    [
        (b"-MOVED 3999 127.0.0.1:6381\r\n", Failure.CLUSTER),
        (b"-LOADING Redis is loading the dataset in memory\r\n", Failure.LOADING),
        (b"-MASTERDOWN Link with MASTER is down\r\n", Failure.LOADING),
        (b"-NOPERM this user has no permissions\r\n", Failure.REFUSED),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", Failure.PROTOCOL),
        (b"", Failure.LOST),
    ],
    ids=["cluster", "loading", "no primary", "no permission", "a web server", "closes"],
)
def test_what_else_may_be_behind_the_address(answer: bytes, failure: Failure) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(b"+OK\r\n" * data.count(b"SETINFO"))
            if b"HGET" in data:
                if not answer:
                    break
                writer.write(answer * 2)
        writer.close()

    async def scenario() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        store = Store(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        await store.is_at(StoreState.DOWN)
        assert store.row[counters.STORE_FAILURE] == failure
        store.redis.stop()
        server.close()

    asyncio.run(scenario())


def test_writes_that_wait_are_bounded(server: RedisServer) -> None:
    async def scenario() -> None:
        store = Store("redis://127.0.0.1:1")
        for number in range(MAX_WRITES + 7):
            store.redis.keep(b"%022d" % number, "web", "b1", 60.0, is_moved=False)
        assert store.row[counters.STORE_WRITES_LOST] == 7
        store.redis.stop()

    asyncio.run(scenario())


def test_it_may_listen_on_a_unix_socket_and_have_several_databases(server: RedisServer) -> None:
    async def scenario() -> None:
        store = Store(server.unix_url)
        store.redis.keep(A, "web", "b1", 60.0, is_moved=False)
        await store.asks_until(bool)
        store.redis.stop()

    asyncio.run(scenario())
    assert server.client(db=1).hgetall(KEY) == {"web": "b1"}
    assert not server.client().keys()


def test_names_begin_with_the_prefix(server: RedisServer) -> None:
    async def scenario() -> None:
        store = Store(server.url, prefix="mine:")
        store.redis.keep(A, "web", "b1", 60.0, is_moved=False)
        await store.asks_until(bool)
        store.redis.stop()

    asyncio.run(scenario())
    assert server.client().keys() == ["mine:session:" + "a" * 22]
