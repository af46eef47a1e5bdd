"""Limits of several machines through a real Redis, well and ill: what they admit together, and that nobody waits."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from limiters import Clock
from redis_server import RedisServer, Relay

from balance.config.model import RedisConfig
from balance.rate_limiting.bucket_table import CELL_BYTES, BucketTable, table_cells
from balance.rate_limiting.moved_keys import MovedKeys
from balance.rate_limiting.sliding_window import SlidingWindow
from balance.rate_limiting.token_bucket import TokenBucket
from balance.runtime import counters
from balance.shared_store.failures import Failure, StoreState
from balance.shared_store.redis_rate_limits import MAX_BATCH, RedisRateLimits

PATIENCE_S = 10.0
KEY = b"\xc0\x00\x02\x01"


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
    return shared_server


class Machine:
    """One machine of one worker, whose clock is its own and stands still unless a test moves it."""

    def __init__(self, url: str, start: float = 0.0, **given: Any) -> None:
        self.clock = Clock()
        self.clock.now += start
        self.row = memoryview(bytearray(8 * counters.row_cells(1))).cast("Q")
        self.moved = MovedKeys()
        self.table = BucketTable(memoryview(bytearray(CELL_BYTES * table_cells(1))), memoryview(b"\x01"), 0, b"%f" % start)
        given.setdefault("timeout_s", 0.5)
        self.redis = RedisRateLimits(RedisConfig(url=url, **given), self.row, [self.row], self.moved)

    def bucket(self, rate: float = 0.001, burst: int = 10, name: str = "r") -> TokenBucket:
        return TokenBucket(self.table, name, rate, burst, self.clock, self.moved)

    def window(self, most: int = 10, window_s: float = 3600.0, name: str = "r") -> SlidingWindow:
        return SlidingWindow(self.table, name, most, window_s, self.clock, self.moved)

    async def synced(self) -> None:
        """All that was admitted until now is told."""
        await until(lambda: not len(self.moved) and self.redis._unanswered is None and self.is_up)

    @property
    def is_up(self) -> bool:
        return self.row[counters.LIMITS_STATE] == StoreState.UP

    @property
    def is_down(self) -> bool:
        return self.row[counters.LIMITS_STATE] == StoreState.DOWN


async def until(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.002)


def asked(limiter: TokenBucket | SlidingWindow, times: int, key: bytes = KEY) -> int:
    return sum(limiter.admit(key) for _ in range(times))


def machines(server: RedisServer | Relay, count: int = 2, **given: Any) -> list[Machine]:
    """Their clocks differ by days."""
    return [Machine(server.url, 86_400.0 * 3 * number, **given) for number in range(count)]


def kinds(machine: Machine) -> list[TokenBucket | SlidingWindow]:
    return [machine.bucket(), machine.window()]


def test_what_one_machine_has_admitted_the_others_do_not_admit_again(server: RedisServer) -> None:
    async def scenario() -> None:
        one, other, third = machines(server, 3)
        for kind in range(2):
            a, b, c = (kinds(machine)[kind] for machine in (one, other, third))
            assert asked(a, 7) == 7
            await one.synced()
            assert asked(b, 1) == 1  # nobody waits: the first one of a key that is new here goes by this machine
            await other.synced()
            assert asked(b, 9) == 2
            await other.synced()
            assert asked(c, 1) == 1
            await third.synced()
            assert asked(c, 9) == 0
            assert asked(a, 9) == 3  # it has not asked since: what it knows is from its own last request
            await one.synced()
            assert asked(a, 9) == 0
        for machine in (one, other, third):
            machine.redis.stop()

    asyncio.run(scenario())


def test_what_has_become_free_is_free_on_all_machines(server: RedisServer) -> None:
    async def scenario() -> None:
        one, other = machines(server)
        a, b = one.bucket(rate=2.0, burst=4), other.bucket(rate=2.0, burst=4)
        assert asked(a, 4) == 4
        await one.synced()
        assert asked(b, 1) == 1
        await other.synced()
        assert asked(b, 1) == 0
        other.clock.now += 3.0
        assert asked(b, 9) == 4
        v, w = one.window(most=4, window_s=0.5), other.window(most=4, window_s=0.5)
        assert asked(v, 4) == 4
        await one.synced()
        assert asked(w, 1) == 1
        await other.synced()
        assert asked(w, 1) == 0
        other.clock.now += 0.5 * 1.2 + 0.1
        assert asked(w, 9) == 4
        one.redis.stop(), other.redis.stop()

    asyncio.run(scenario())


def test_keys_in_redis_end_by_themselves_and_say_nothing_of_clients(server: RedisServer) -> None:
    async def scenario() -> None:
        machine = Machine(server.url, prefix="mine:")
        secret = b"api-key-of-ada"
        asked(machine.bucket(rate=1.0, burst=5), 5, secret)
        asked(machine.window(most=9, window_s=10.0), 5, secret)
        await machine.synced()
        machine.redis.stop()

    asyncio.run(scenario())
    client = server.client()
    keys = client.keys("*")
    assert len(keys) == 3
    assert all(key.startswith("mine:ratelimit:") for key in keys)
    assert "ada" not in str([(key, client.get(key)) for key in keys])
    lives = sorted(client.pttl(key) for key in keys)
    assert 4000 < lives[0] <= 6000  # five tokens at one a second
    assert 10_000 < lives[1] <= 12_000  # the window, a tenth, and one second
    assert 0 < lives[2] <= 600_000  # the number of the last batch


def test_a_key_that_has_lost_its_end_gets_one(server: RedisServer) -> None:
    """Or whoever was refused when Redis lost it would be refused for ever."""

    async def scenario() -> None:
        machine = Machine(server.url)
        for limiter in kinds(machine):
            assert asked(limiter, 3) == 3
        await machine.synced()
        client = server.client()
        names = [b"balance:ratelimit:" + limiter.name(KEY) for limiter in kinds(machine)]
        assert all(client.persist(name) for name in names)
        for limiter in kinds(machine):
            assert asked(limiter, 1) == 1
        await machine.synced()
        assert all(client.pttl(name) > 0 for name in names)
        machine.redis.stop()

    asyncio.run(scenario())


def test_many_keys_travel_in_few_batches(server: RedisServer) -> None:
    async def scenario() -> None:
        one, other = machines(server)
        await one.synced()
        before = one.row[counters.LIMITS_BATCHES]
        calls = server.client().info("commandstats")["cmdstat_evalsha"]["calls"]
        a, b = one.bucket(burst=2), other.bucket(burst=2)
        keys = [b"%d" % number for number in range(3 * MAX_BATCH)]
        assert sum(asked(a, 2, key) for key in keys) == 2 * len(keys)
        await one.synced()
        batches = one.row[counters.LIMITS_BATCHES] - before
        assert batches <= 5
        assert server.client().info("commandstats")["cmdstat_evalsha"]["calls"] - calls <= batches + 50  # the other one's pings
        assert sum(asked(b, 1, key) for key in keys) == len(keys)
        await other.synced()
        assert sum(asked(b, 1, key) for key in keys) == 0
        one.redis.stop(), other.redis.stop()

    asyncio.run(scenario())


def test_a_redis_that_was_flushed_or_started_again_learns_anew(server: RedisServer) -> None:
    async def scenario() -> None:
        one, other = machines(server)
        a, b = one.bucket(), other.bucket()
        assert asked(a, 9) == 9
        await one.synced()
        server.client().flushall()
        server.client().script_flush()
        assert asked(a, 9) == 1  # what this machine knows it still knows
        await one.synced()
        assert asked(b, 1) == 1  # and it has told Redis again, where all ten are
        await other.synced()
        assert asked(b, 9) == 0
        one.redis.stop(), other.redis.stop()

    asyncio.run(scenario())


@pytest.mark.parametrize("on_failure", ["local", "deny"])
def test_while_redis_is_away_each_machine_goes_by_itself_or_refuses(on_failure: str, caplog: pytest.LogCaptureFixture) -> None:
    own = RedisServer()

    async def scenario() -> None:
        machine = Machine(own.url, on_failure=on_failure)
        limiter = machine.bucket()
        assert asked(limiter, 4) == 4
        await machine.synced()
        own.stop()
        assert asked(limiter, 2) == 2
        await until(lambda: machine.is_down)
        assert machine.moved.is_refusing is (on_failure == "deny")
        assert asked(limiter, 9) == 4
        own.start()
        await until(lambda: machine.is_up)
        assert not machine.moved.is_refusing
        await machine.synced()
        other = Machine(own.url, 5.0)
        assert asked(other.bucket(), 1) == 1
        await other.synced()
        assert asked(other.bucket(), 9) == 0  # what was admitted without Redis is known, too
        machine.redis.stop(), other.redis.stop()
        assert machine.row[counters.LIMITS_STATE] == StoreState.UNUSED

    try:
        with caplog.at_level(logging.INFO):
            asyncio.run(scenario())
    finally:
        own.destroy()
    lines = [record.getMessage() for record in caplog.records if "Redis" in record.getMessage()]
    assert len(lines) == 2, lines
    assert ("503" in lines[0]) is (on_failure == "deny")


def test_after_hours_without_redis_old_requests_do_not_count(server: RedisServer) -> None:
    async def scenario() -> None:
        relay = Relay(server.port)
        machine = Machine(relay.url)
        limiter = machine.bucket(rate=1.0, burst=5)
        await machine.synced()
        machine.redis._task.cancel()  # as if it could not be reached
        for _ in range(1000):
            assert asked(limiter, 1) == 1
            machine.clock.now += 1.0
        again = RedisRateLimits(RedisConfig(url=server.url, timeout_s=0.5), machine.row, [machine.row], machine.moved)
        machine.redis = again
        await machine.synced()
        other = Machine(server.url, 5.0).bucket(rate=1.0, burst=5)
        assert asked(other, 1) == 1
        await asyncio.sleep(0.3)
        assert asked(other, 4) >= 1
        again.stop()
        relay.close()

    asyncio.run(scenario())


def test_a_batch_whose_reply_was_lost_counts_once(server: RedisServer) -> None:
    async def scenario() -> None:
        relay = Relay(server.port)
        one = Machine(relay.url, timeout_s=0.05)
        await one.synced()
        relay.delay_s = 1.0  # Redis counts, and its answer is late
        assert asked(one.window(), 6) == 6
        await until(lambda: one.is_down)
        assert one.row[counters.LIMITS_FAILURE] == Failure.TIMEOUT
        assert asked(one.window(), 2) == 2
        relay.delay_s = 0.0
        await one.synced()
        other = Machine(server.url, 7.0)
        assert asked(other.window(), 1) == 1
        await other.synced()
        assert asked(other.window(), 9) == 1
        one.redis.stop(), other.redis.stop()
        relay.close()

    asyncio.run(scenario())


@pytest.mark.long
@pytest.mark.parametrize(
    "value",
    [b"x", b"nan 1", b"1e999 99999999999999999999", b"9" * 400 + b" 1", b"1:" + b"9" * 300, b"99999999999999999:3", b"\xff"],
)
def test_what_others_write_under_our_keys_breaks_nothing(server: RedisServer, value: bytes) -> None:
    """At worst it takes the key's requests for a while; the next keys of the batch are as they were."""

    async def scenario() -> None:
        one, other = machines(server)
        client = server.client()
        for limiter in (*kinds(one), one.bucket(name="other")):
            client.set(f"balance:ratelimit:{limiter.name(KEY).decode()}", value)
        client.delete("balance:ratelimit:" + one.bucket(name="other").name(KEY).decode())
        client.lpush("balance:ratelimit:" + one.window(name="other").name(KEY).decode(), "a list")
        for limiter in (*kinds(one), one.bucket(name="other"), one.window(name="other")):
            assert asked(limiter, 9) == 9
        await one.synced()
        assert one.row[counters.LIMITS_ERRORS] == 0
        for limiter in (other.bucket(name="other"), other.window(name="other")):
            assert asked(limiter, 1) == 1
            await other.synced()
            assert asked(limiter, 9) == 0
        one.redis.stop(), other.redis.stop()

    asyncio.run(scenario())


JUNK = [
    b":1\r\n", b"$-1\r\n", b"*0\r\n", b"$1\r\n5\r\n", b"$3\r\n1 x\r\n", b"$5\r\n1 nan\r\n", b"$5\r\n1 inf\r\n",
    b"$4\r\n1 -1\r\n", b"$5\r\nx 1.0\r\n", b"$9\r\n1 1 1 1 1\r\n", b"-ERR no\r\n", b"-NOSCRIPT x\r\n", b"-MOVED 1 a:1\r\n",
    b"-OOM x\r\n", b"-READONLY x\r\n", b"+" + b"x" * 100_000, b"$70000\r\n" + b"1" * 70_000 + b"\r\n", b"\xff\x00",
    b"$5\r\n1 1.0\r\n:1\r\n",
]  # fmt: skip


@pytest.mark.long
@pytest.mark.parametrize("junk", JUNK, ids=[repr(junk[:16]) for junk in JUNK])
def test_what_is_no_answer_leaves_the_limit_to_this_machine(junk: bytes) -> None:
    async def scenario() -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while data := await reader.read(65536):
                writer.write(b"+OK\r\n" * data.count(b"SETINFO"))
                if b"EVAL" in data:
                    writer.write(b"$1\r\n5\r\n" if b"\r\nb " not in data else junk)
            writer.close()

        peer = await asyncio.start_server(serve, "127.0.0.1", 0)
        machine = Machine(f"redis://127.0.0.1:{peer.sockets[0].getsockname()[1]}")
        await until(lambda: machine.is_up)
        assert asked(machine.bucket(), 4) == 4
        await until(lambda: machine.row[counters.LIMITS_ERRORS])
        assert asked(machine.bucket(), 9) == 6
        machine.redis.stop()
        peer.close()

    asyncio.run(scenario())


@pytest.mark.parametrize("kind", [0, 1])
def test_workers_of_a_machine_tell_each_what_it_has_admitted_itself(server: RedisServer, kind: int) -> None:
    """Each knows of the other's by the table they share, and nothing is counted twice."""

    async def scenario() -> None:
        first, second, other = machines(server, 3)
        memory = memoryview(bytearray(CELL_BYTES * table_cells(2)))
        for own, worker in enumerate((first, second)):
            worker.table = BucketTable(memory, memoryview(b"\x02"), own, b"s")
            worker.clock = first.clock
        a, b = kinds(first)[kind], kinds(second)[kind]
        for _ in range(3):
            assert (asked(a, 1), asked(b, 1)) == (1, 1)
            await first.synced()
            await second.synced()
        c = kinds(other)[kind]
        assert asked(c, 1) == 1
        await other.synced()
        assert asked(c, 9) == 3
        for machine in (first, second, other):
            machine.redis.stop()

    asyncio.run(scenario())


def test_what_a_client_is_told_holds_on_the_other_machine_too(server: RedisServer) -> None:
    """AspNetCoreRateLimit 490: with Redis, Retry-After was not when one more is admitted."""

    async def scenario() -> None:
        one, other = machines(server)
        for kind, most_s in ((0, 100.0), (1, 130.0)):
            a, b = (
                (machine.bucket(rate=0.01, burst=4), machine.window(most=4, window_s=100.0))[kind] for machine in (one, other)
            )
            assert asked(a, 4) == 4
            await one.synced()
            assert asked(b, 1) == 1
            await other.synced()
            assert asked(b, 1) == 0
            assert 0 < b.retry_s <= 2 * most_s
            other.clock.now += b.retry_s + 0.001
            assert asked(b, 1) == 1
        one.redis.stop(), other.redis.stop()

    asyncio.run(scenario())


def test_limits_share_in_redis_what_they_share_on_a_machine(server: RedisServer) -> None:
    """Traefik 13706: in memory each router had a bucket, in Redis all routers had one. And the longest life fits (8235)."""

    async def scenario() -> None:
        one, other = machines(server)
        assert [asked(one.bucket(name=name), 10) for name in ("main/a", "main/b")] == [10, 10]
        assert asked(one.bucket(rate=0.0001, burst=1_000_000), 1) == 1
        await one.synced()
        assert [asked(other.bucket(name=name), 1) for name in ("main/a", "main/c")] == [1, 1]
        await other.synced()
        assert [asked(other.bucket(name=name), 9) for name in ("main/a", "main/c")] == [0, 9]
        assert one.row[counters.LIMITS_ERRORS] == 0
        one.redis.stop(), other.redis.stop()

    asyncio.run(scenario())


@pytest.mark.parametrize("on_failure", ["local", "deny"])
def test_a_node_of_a_cluster_is_no_store_and_stays_none(on_failure: str, caplog: pytest.LogCaptureFixture) -> None:
    """A batch's keys are on several nodes, which one script can't reach: not even where all slots are this node's."""
    with socket.socket() as free:  # by default it is 10,000 above the other port, which may be too high
        free.bind(("127.0.0.1", 0))
        bus = str(free.getsockname()[1])
    own = RedisServer("--cluster-enabled", "yes", "--cluster-port", bus)

    async def scenario() -> None:
        machine = Machine(own.url, on_failure=on_failure)
        limiter = machine.bucket()
        assert asked(limiter, 4) == 4
        await until(lambda: machine.is_down)
        assert machine.moved.is_refusing is (on_failure == "deny")
        before = machine.row[counters.LIMITS_ERRORS]
        await until(lambda: machine.row[counters.LIMITS_ERRORS] >= before + 3)  # it tries again, and never takes it for well
        assert machine.is_down
        assert machine.row[counters.LIMITS_FAILURE] == Failure.CLUSTER
        assert asked(limiter, 20) == 6  # the whole limit, on this machine
        machine.redis.stop()

    try:
        own.client().execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        with caplog.at_level(logging.INFO):
            asyncio.run(scenario())
    finally:
        own.destroy()
    (line,) = [record.getMessage() for record in caplog.records if "Redis" in record.getMessage()]
    assert "it is a node of a cluster, which Balance does not follow" in line


@pytest.mark.long
@pytest.mark.parametrize("policy", ["allkeys-lru", "noeviction"])
def test_more_keys_than_redis_has_room_for(policy: str) -> None:
    """150,000 keys, more than the table of this machine has, through a Redis of 4 MB that forgets some or takes no more."""
    own = RedisServer("--maxmemory", "4mb", "--maxmemory-policy", policy)
    keys = 150_000

    async def scenario() -> None:
        machine = Machine(own.url)
        limiter = machine.bucket(burst=1)
        refused = 0
        for number in range(keys):
            key = b"%d" % number
            assert limiter.admit(key)
            refused += not limiter.admit(key)  # what this machine knows of its own it knows
            if not number % 500:
                await asyncio.sleep(0)
        assert refused == keys
        assert len(machine.moved) <= 20_000
        assert machine.row[counters.LIMITS_UNSHARED] > 0 or machine.is_down
        server = own.client()
        assert server.info("memory")["used_memory"] < 16 << 20
        if policy == "allkeys-lru":
            await machine.synced()
            assert server.info("stats")["evicted_keys"] > 0
            assert machine.row[counters.LIMITS_ERRORS] == 0
        else:
            await until(lambda: machine.is_down)
            assert machine.row[counters.LIMITS_FAILURE] == Failure.FULL
        other = Machine(own.url, 5.0)
        assert asked(other.bucket(burst=1), 3, b"0") == 1  # forgotten there or not: on each machine the whole limit at most
        machine.redis.stop(), other.redis.stop()

    try:
        asyncio.run(scenario())
    finally:
        own.destroy()
