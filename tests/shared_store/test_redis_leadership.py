"""Several balancers and one real Redis: one leads, and who has lost the lead can write nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import pytest
from redis_server import RedisServer

from balance.autoscaling.leadership import State
from balance.autoscaling.load_meter import Load
from balance.config.model import RedisConfig
from balance.shared_store.failures import Failure, StoreError
from balance.shared_store.redis_leadership import RedisLeadership

pytestmark = pytest.mark.long
LOAD = Load(10.0, 1.0, 10.0, 100.0)
EARLIEST = 1_700_000_000  # a token that is a time


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    server = RedisServer()
    yield server
    server.destroy()


@pytest.fixture(autouse=True)
def _clean(server: RedisServer) -> None:
    server.client().flushall()


def balancer(server: RedisServer, name: str) -> RedisLeadership:
    return RedisLeadership(RedisConfig(url=server.url), "web", name)


def test_one_leads_and_everybody_hears_every_load(server: RedisServer) -> None:
    async def run() -> None:
        one, other = balancer(server, "one"), balancer(server, "other")
        first = await one.sync(LOAD, 15.0)
        second = await other.sync(LOAD, 15.0)
        assert first.token >= EARLIEST
        assert first.leader == "one"
        assert (second.token, second.leader, second.balancers) == (0, "one", 2)
        assert second.load == LOAD + LOAD
        assert (await one.sync(None, 15.0)).token == first.token  # it stays, and what it told before counts while it is fresh
        one.close()
        other.close()

    asyncio.run(run())


def test_the_next_leader_has_a_greater_token_and_the_last_can_write_nothing(server: RedisServer) -> None:
    """S41: the paused leader. Its lease ends by Redis's clock, however long it sleeps."""

    async def run() -> None:
        paused, heir = balancer(server, "paused"), balancer(server, "heir")
        before = await paused.sync(LOAD, 0.1)
        assert await paused.write(before.token, State(3, is_done=True))
        assert not (await heir.sync(LOAD, 0.1)).token
        server.client().delete("balance:autoscaler:{web}:leader")  # as when its time is over
        after = await heir.sync(LOAD, 0.1)
        assert after.token > before.token
        assert (after.state.desired, after.state.is_done) == (3, True)
        assert not await paused.write(before.token, State(9))
        assert await heir.write(after.token, State(4))
        server.client().delete("balance:autoscaler:{web}:leader")
        assert not await paused.write(before.token, State(9))  # nobody leads: it does not lead either
        again = await paused.sync(LOAD, 0.1)
        assert again.token > after.token
        assert again.state.desired == 4

    asyncio.run(run())


def test_a_redis_that_forgets_the_counter_gives_no_token_twice(server: RedisServer) -> None:
    async def run() -> None:
        one = balancer(server, "one")
        server.client().set("balance:autoscaler:{web}:state", '9000000041 1000 {"desired":4,"done":true}')
        assert (await one.sync(LOAD, 15.0)).token == 9_000_000_042

    asyncio.run(run())


def test_a_redis_that_has_lost_everything_goes_on_above_what_it_gave(server: RedisServer) -> None:
    """What a driver has written elsewhere, an annotation say, must not keep every later leader from acting."""

    async def run() -> None:
        one = balancer(server, "one")
        before = (await one.sync(LOAD, 15.0)).token
        await asyncio.sleep(before + 1 - time.time())  # tokens are seconds at least
        server.client().flushall()
        assert (await one.sync(LOAD, 15.0)).token > before

    asyncio.run(run())


def test_a_lease_ends_by_itself(server: RedisServer) -> None:
    async def run() -> None:
        await balancer(server, "one").sync(LOAD, 0.1)
        assert 0 < server.client().pttl("balance:autoscaler:{web}:leader") <= 2000

    asyncio.run(run())


@pytest.mark.parametrize("value", ["", "junk", "99999999999999999999999999 1 {}", '1 2 {"desired":1e99}'])
def test_what_others_write_there_breaks_nothing(server: RedisServer, value: str) -> None:
    async def run() -> None:
        for key in ("leader", "state"):
            server.client().flushall()
            server.client().set(f"balance:autoscaler:{{web}}:{key}", value, px=60000)
            turn = await balancer(server, "one").sync(LOAD, 15.0)
            assert turn.state.desired in (0, 1)

    asyncio.run(run())


def test_a_redis_that_is_gone_or_of_another_type_is_a_store_error(server: RedisServer) -> None:
    async def run() -> None:
        with pytest.raises(StoreError) as found:
            await RedisLeadership(RedisConfig(url="redis://127.0.0.1:1"), "web", "one").sync(LOAD, 15.0)
        assert found.value.kind is Failure.CONNECT
        server.client().set("balance:autoscaler:{web}:loads", "no hash")
        with pytest.raises(StoreError):
            await balancer(server, "one").sync(LOAD, 15.0)

    asyncio.run(run())
