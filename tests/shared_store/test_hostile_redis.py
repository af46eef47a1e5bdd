"""What a broken or hostile server may answer: it is down in one line, nothing crashes, and a good one is taken again."""

from __future__ import annotations

import asyncio
import logging
import random

import pytest
from redis_server import RedisServer, Relay
from test_redis_sessions import A, B, Store, now, own_server, server, shared_server, until  # noqa: F401  (fixtures)

from balance.runtime import counters
from balance.runtime.sessions.session_store import NO_ANSWER, Found
from balance.shared_store.failures import Failure, StoreState

MISSING = b"$-1\r\n:-2\r\n"

JUNK = {
    "an int that is none": b":abc\r\n",
    "a length that is none": b"$abc\r\n",
    "a length below -1": b"$-7\r\n",
    "a count below -1": b"*-7\r\n",
    "a count without end": b"*" + b"9" * 40 + b"\r\n",
    "a huge count": b"*1000000000\r\n" + b":1\r\n" * 1000,
    "lists in lists": b"*1\r\n" * 20_000,
    "an int of 10,000 digits": b":" + b"9" * 10_000 + b"\r\n",
    "a line without end": b"+" + b"x" * 200_000,
    "an error of 200 KB": b"-ERR " + b"x" * 200_000 + b"\r\n",
    "a value longer than it says": b"$3\r\nabcdef\r\n",
    "a value shorter than it says": b"$6\r\nabc\r\n:1\r\n",
    "no RESP": b"\xff\x00\r\n",
    "nothing in lines": b"\r\n" * 50,
    "line feeds": b":1\n:2\n\r\n",
    "RESP3": b"_\r\n#t\r\n",
    "an int for a value": b":1\r\n:1\r\n",
    "a value for a time": b"$2\r\nb1\r\n$2\r\nb1\r\n",
    "a list": b"*0\r\n:1\r\n",
    "one reply too many": MISSING + b"$2\r\nb2\r\n",
    "two replies too many": MISSING * 2,
}


class Server:
    """Speaks as Redis does, to HGET and PTTL together, until it is told to answer something else."""

    def __init__(self) -> None:
        self.answer = MISSING
        self.then_close = False
        self.sizes = 0  # of the pieces that answers are cut to
        self.connections = 0

    async def start(self) -> str:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return f"redis://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while data := await reader.read(65536):
                writer.write(b"+OK\r\n" * data.count(b"SETINFO"))
                if b"SUBSCRIBE" in data:
                    writer.write(b"*3\r\n$9\r\nsubscribe\r\n$13\r\nbalance:moved\r\n:1\r\n")
                for _ in range(data.count(b"HGET")):
                    size = self.sizes or len(self.answer)
                    for at in range(0, len(self.answer), size):
                        writer.write(self.answer[at : at + size])
                        await writer.drain()
                        await asyncio.sleep(0)
                    if self.then_close:
                        return
        except OSError:
            pass
        finally:
            writer.transport.abort() if self.then_close else writer.close()


@pytest.mark.parametrize("junk", JUNK.values(), ids=JUNK)
def test_what_is_no_answer_is_met_once_and_over_with_the_next_good_one(junk: bytes, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        peer = Server()
        store = Store(await peer.start())
        await store.is_at(StoreState.UP)
        peer.answer = junk
        assert await store.ask(A) in (NO_ANSWER, None)
        await store.is_at(StoreState.DOWN)
        assert store.row[counters.STORE_FAILURE] in (Failure.PROTOCOL, Failure.TIMEOUT, Failure.REFUSED)
        peer.answer = MISSING
        await store.is_at(StoreState.UP)
        assert await store.ask(A) is None
        store.redis.stop()

    with caplog.at_level(logging.INFO):
        asyncio.run(scenario())
    lines = [record.getMessage() for record in caplog.records if "Redis" in record.getMessage()]
    assert [line.split(" ")[1] for line in lines] == ["can't", "is"], lines
    assert all(len(line) < 400 and line.isprintable() for line in lines)


@pytest.mark.parametrize("seed", range(4))
def test_answers_cut_anywhere_are_no_answers(seed: int) -> None:
    """The connection ends within a reply: nobody gets a part of it."""
    whole = b"$12\r\nb1-of-the-end\r\n:60000\r\n".replace(b"b1-of-the-end", b"b1-of-theend")
    dice = random.Random(seed)
    cuts = dice.sample(range(len(whole)), 4)

    async def scenario() -> None:
        peer = Server()
        store = Store(await peer.start())
        for cut in cuts:
            peer.answer, peer.then_close = MISSING, False
            await store.is_at(StoreState.UP)
            peer.answer, peer.then_close = whole[:cut], True
            assert await store.ask(A) is NO_ANSWER
        peer.answer, peer.then_close, peer.sizes = whole, False, 1
        await store.is_at(StoreState.UP)
        assert await store.ask(A) == Found(A, "b1-of-theend", 60.0)
        store.redis.stop()

    asyncio.run(scenario())


def test_a_huge_value_is_read_past_and_overwritten(server: RedisServer) -> None:  # noqa: F811
    """Another program's value under our key costs its own user his session, and nobody else anything."""
    client = server.client()
    client.hset("balance:session:" + "a" * 22, "web", "x" * 3_000_000)
    client.hset("balance:session:" + "b" * 22, "web", b"\xff\xfe\r\n$-1\r\n")

    async def scenario() -> None:
        store = Store(server.url, timeout_s=2.0)
        await store.is_at(StoreState.UP)
        huge, odd = await asyncio.gather(store.ask(A), store.ask(B))
        assert isinstance(huge, Found)
        assert huge.backend == ""
        assert isinstance(odd, Found)
        assert odd.backend.startswith("\ufffd")
        store.redis.keep(A, "web", "b1", 60.0, is_moved=False)
        await store.asks_until(lambda answer: answer is not None and answer.backend == "b1")
        assert store.row[counters.STORE_ERRORS] == 0
        store.redis.stop()

    asyncio.run(scenario())


def test_a_huge_message_on_the_channel_is_not_kept(server: RedisServer) -> None:  # noqa: F811
    async def scenario() -> None:
        store = Store(server.url)
        client = server.client()
        await until(lambda: now(client.pubsub_numsub("balance:moved")[0][1]))
        flushed_at = store.redis.flushed_at
        client.publish("balance:moved", "x" * 3_000_000)
        client.publish("balance:moved", b"\xff\x00")
        client.publish("balance:moved", '{"session": "aaaaaaaaaaaaaaaaaaaaaa", "pool": "web", "backend": "b7"}')
        await until(lambda: now(store.moved))
        assert [moved.backend for moved in store.moved] == ["b7"]
        assert store.redis.flushed_at == flushed_at, "the subscription ended"
        store.redis.stop()

    asyncio.run(scenario())


def test_many_users_at_once_over_a_bad_line_each_get_their_own(server: RedisServer) -> None:  # noqa: F811
    """Some give up, connections are cut and made anew: nobody is ever told of another's backend."""
    client = server.client()
    names = {b"%022d" % number: f"of-{number}" for number in range(200)}
    with client.pipeline() as pipeline:
        for session, name in names.items():
            pipeline.hset(f"balance:session:{session.decode()}", "web", name)
        pipeline.execute()
    dice = random.Random(7)
    relay = Relay(server.port)

    async def user(store: Store, session: bytes) -> list[str]:
        told = []
        for _ in range(20):
            answer = await store.ask(session)
            if answer is NO_ANSWER:
                await asyncio.sleep(dice.uniform(0.0, 0.05))
            else:
                told.append(answer.backend if answer else "")
            relay.delay_s = dice.choice((0.0, 0.0, 0.0, 0.001, 0.03))
            if dice.random() < 0.002:
                client.client_kill_filter(_type="normal", skipme=True)
        return told

    async def scenario() -> None:
        store = Store(relay.url, timeout_s=0.02)
        await store.is_at(StoreState.UP)
        told = await asyncio.gather(*[user(store, session) for session in names])
        assert sum(map(len, told)) > 100
        assert [set(each) - {name} for each, name in zip(told, names.values(), strict=True)] == [set()] * len(names)
        assert store.row[counters.STORE_ERRORS], "nothing went wrong"
        store.redis.stop()

    asyncio.run(scenario())
    relay.close()


def test_clients_that_are_killed_paused_and_flushed_are_back_by_themselves(server: RedisServer) -> None:  # noqa: F811
    client = server.client()

    async def scenario() -> None:
        store = Store(server.url)
        store.redis.keep(A, "web", "b1", 600.0, is_moved=False)
        await store.asks_until(bool)
        for _ in range(3):
            client.client_kill_filter(_type="normal", skipme=True)
            client.client_kill_filter(_type="pubsub", skipme=True)
            found = await store.asks_until(lambda answer: answer is not NO_ANSWER)
            assert found is not None
            assert found.backend == "b1"
        client.client_pause(600, all=True)
        asked_at = asyncio.get_running_loop().time()
        assert await store.ask(A) is NO_ANSWER
        assert asyncio.get_running_loop().time() - asked_at < 5.0
        await store.asks_until(lambda answer: answer is not None and answer.backend == "b1")
        client.flushall()
        assert await store.ask(A) is None
        store.redis.keep(A, "web", "b2", 600.0, is_moved=False)
        await store.asks_until(lambda answer: answer is not None and answer.backend == "b2")
        store.redis.stop()

    asyncio.run(scenario())
