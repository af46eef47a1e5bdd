"""Which pool and backend a route's requests get, over real connections: canary, split, blue-green, algorithms of its own."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from itertools import count

from rawclient import Message, Wire, get, ok
from routed import http, prefix, to
from stage import Backend, Stage, serve, until

from balance.config.model import Config, HashKey, ListenerConfig
from balance.config.route_model import BlueGreen, Canary, HeaderChange, TrafficPolicy, Transform, ValueMatch, WeightedPool
from balance.model import Why
from balance.runtime import counters

SWITCH = TrafficPolicy(blue_green=BlueGreen("blue", "green", header="x-side"))
UPGRADE = ("Connection: upgrade", "Upgrade: websocket")


def named(name: str) -> Callable[[Message], bytes]:
    return lambda request: ok(name.encode())


def pools(stage: Stage, *names: str) -> dict[str, list[Backend]]:
    """A backend in `pool`, and one in each of these."""
    stage.backend(serve(named("pool")))
    return {name: [stage.backend(serve(named(name)))] for name in names}


async def ask(wire: Wire, *fields: str, path: str = "/") -> Message:
    await wire.send(get(path, *fields))
    return await wire.reply()


def cookie_of(reply: Message) -> str | None:
    line = reply.get("set-cookie")
    return None if line is None else f"Cookie: {line.partition(';')[0]}"


async def ids(stage: Stage) -> None:
    """New users get ids that differ: the stage's own chance is always the same."""
    numbers = count(1)
    stage.worker.rand = lambda: next(numbers) * 0.618034 % 1


async def test_a_split_keeps_each_user_by_the_cookie_that_it_sets_once(stage: Stage) -> None:
    split = (WeightedPool("pool", 1), WeightedPool("v2", 1))
    await stage.open(http=http(to("web", "", "pool", "v2", split=split)), pools=pools(stage, "v2"))
    await ids(stage)
    wire = await stage.client()
    sides = Counter[bytes]()
    for _ in range(20):
        first = await ask(wire)
        cookie = cookie_of(first)
        assert cookie is not None
        again = [await ask(wire, cookie) for _ in range(3)]
        assert {reply.body for reply in again} == {first.body}
        assert not any(reply.all("set-cookie") for reply in again)
        sides[first.body] += 1
    assert min(sides.values()) > 4
    assert set(sides) == {b"pool", b"v2"}


async def test_users_of_a_canary_are_pinned_on_both_sides_and_a_ramp_by_reload_moves_nobody_back(stage: Stage) -> None:
    def canary(percent: float) -> TrafficPolicy:
        return TrafficPolicy(canary=Canary("v2", percent))

    await stage.open(http=http(to("web", "pool", "v2", policy=canary(20))), pools=pools(stage, "v2"))
    await ids(stage)
    wire = await stage.client()
    users = [str(cookie_of(await ask(wire))) for _ in range(60)]
    early = {user for user in users if (await ask(wire, user)).body == b"v2"}
    assert 0 < len(early) < 30
    await stage.reload(with_policy(stage.snapshot.config, canary(50)))
    late = {user for user in users if (await ask(wire, user)).body == b"v2"}
    assert early < late


def with_policy(config: Config, policy: TrafficPolicy) -> Config:
    """The configuration with another policy of its one route."""
    listener = config.listeners[0]
    route = replace(listener.http.routes[0], policy=policy)
    changed: ListenerConfig = replace(listener, http=replace(listener.http, routes=(route,)))
    return replace(config, listeners=(changed,))


async def test_the_cookie_comes_with_our_own_errors_too(stage: Stage) -> None:
    stage.backend(serve(named("pool")))
    policy = TrafficPolicy(canary=Canary("v2", 50))
    await stage.open(http=http(to("web", "pool", "v2", policy=policy)), pools={"v2": []})
    wire = await stage.client()
    assert await _status_and_cookie(wire, stage) == {200, 503}


async def test_an_upgrade_brings_the_cookie_and_the_changes_of_its_route(stage: Stage) -> None:
    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.send(b"HTTP/1.1 101 Switching Protocols\r\nX-Old: 1\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")

    stage.backend(script)
    changes = (HeaderChange("remove", "X-Old"), HeaderChange("set", "X-New", "2"))
    policy = TrafficPolicy(canary=Canary("v2", 0.1))
    route = to("web", "pool", "v2", policy=policy, transform=Transform(response_headers=changes))
    await stage.open(http=http(route), pools={"v2": []})
    wire = await stage.client()
    await wire.send(get("/", *UPGRADE))
    reply = await wire.reply()
    assert (reply.status, reply.get("upgrade"), reply.get("x-old"), reply.get("x-new")) == (101, "websocket", None, "2")
    assert cookie_of(reply) is not None


async def _status_and_cookie(wire: Wire, stage: Stage) -> set[int]:
    await ids(stage)
    found = set()
    for _ in range(20):
        reply = await ask(wire)
        assert re.fullmatch("Cookie: balance-side=[0-9a-f]{16}", cookie_of(reply) or "")
        found.add(reply.status)
    return found


async def test_all_of_weight_zero_is_503_and_the_connection_stays(stage: Stage) -> None:
    split = (WeightedPool("pool", 0), WeightedPool("v2", 0))
    await stage.open(http=http(to("web", "", "pool", "v2", split=split)), pools=pools(stage, "v2"))
    wire = await stage.client()
    assert [(await ask(wire)).status for _ in range(2)] == [503, 503]
    assert stage.whys == {Why.NO_HEALTHY: 2}


async def test_testers_go_to_the_canary_by_header_or_cookie(stage: Stage) -> None:
    canary = Canary("v2", header=ValueMatch("x-canary", "present"), cookie=ValueMatch("tester", "equals", "1"))
    await stage.open(http=http(to("web", "pool", "v2", policy=TrafficPolicy(canary=canary))), pools=pools(stage, "v2"))
    wire = await stage.client()
    replies = [await ask(wire, *fields) for fields in ([], ["X-Canary: y"], ["Cookie: a=b; tester=1"], ["Cookie: tester=2"])]
    assert [reply.body for reply in replies] == [b"pool", b"v2", b"v2", b"pool"]
    assert not any(reply.all("set-cookie") for reply in replies)


async def test_a_switch_holds_for_the_next_request_of_a_connection_and_what_is_under_way_stays(stage: Stage) -> None:
    async def tunnel(wire: Wire) -> None:
        while (request := await wire.request()) is not None:
            if request.target == "/ws":
                await wire.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")
                while data := await wire.some():
                    await wire.send(b"blue:" + data)
                return
            if request.target == "/slow":
                await until(lambda: is_switched)
            await wire.send(ok(b"blue"))

    is_switched: list[bool] = []
    stage.backend(serve(named("pool")))
    two = {"blue": [stage.backend(tunnel)], "green": [stage.backend(serve(named("green")))]}
    await stage.open(http=http(to("web", "", "blue", "green", policy=SWITCH)), pools=two)
    wire, slow, socket = [await stage.client() for _ in range(3)]
    assert (await ask(wire)).body == b"blue"
    await socket.send(get("/ws", *UPGRADE))
    assert (await socket.reply()).status == 101
    await slow.send(get("/slow"))
    await until(lambda: sum(backend.load.active for backend in stage.snapshot.pools["blue"].backends) == 2)

    assert SWITCH.blue_green is not None
    await stage.reload(with_policy(stage.snapshot.config, TrafficPolicy(blue_green=replace(SWITCH.blue_green, active="green"))))
    assert (await ask(wire)).body == b"green"
    assert (await ask(wire, "X-Side: blue")).body == b"blue"
    is_switched.append(True)
    assert (await slow.reply()).body == b"blue"
    assert (await ask(slow)).body == b"green"
    await socket.send(b"frame")
    assert await socket.until(b"frame") == b"blue:frame"
    socket.close()


async def test_a_route_balances_by_an_algorithm_of_its_own_over_the_same_backends(stage: Stage) -> None:
    for number in range(3):
        stage.backend(serve(named(f"b{number}")))
    own = to("own", match=prefix("/own"), algorithm="consistent-hash", hash_key=HashKey("header", "x-user"))
    await stage.open(http=http(own, to("rest")))
    wire = await stage.client()
    rest = [(await ask(wire)).body for _ in range(6)]
    assert Counter(rest) == {b"b0": 2, b"b1": 2, b"b2": 2}
    users = {user: {(await ask(wire, f"X-User: {user}", path="/own")).body for _ in range(3)} for user in range(12)}
    assert {len(each) for each in users.values()} == {1}
    assert len(set.union(*users.values())) == 3
    assert sum(stage.count(backend, counters.LEASES) for backend in stage.backends) == 6 + 36

    out = next(iter(users[0]))
    stage.pool.set_ready(stage.pool.backends[int(out[1:])], False)  # it follows the pool
    after = {user: {(await ask(wire, f"X-User: {user}", path="/own")).body for _ in range(3)} for user in range(12)}
    assert all(after[user] == users[user] for user in users if users[user] != {out})
    assert out not in set.union(*after.values())


async def test_a_reload_keeps_a_routes_algorithm_and_its_users_backends(stage: Stage) -> None:
    for number in range(3):
        stage.backend(serve(named(f"b{number}")))
    own = to("own", match=prefix("/own"), algorithm="consistent-hash", hash_key=HashKey("header", "x-user"))
    await stage.open(http=http(own, to("rest")))
    wire = await stage.client()
    before = [(await ask(wire, f"X-User: {user}", path="/own")).body for user in range(12)]
    config = stage.snapshot.config
    for changed in (
        replace(config, listeners=(replace(config.listeners[0], http=http(own, to("rest", match=prefix("/rest")))),)),
        replace(config, pools=(replace(config.pools[0], algorithm="random"),)),
    ):
        await stage.reload(changed)
        assert [(await ask(wire, f"X-User: {user}", path="/own")).body for user in range(12)] == before
    await stage.reload(replace(config, listeners=(replace(config.listeners[0], http=http(to("own"))),)))
    assert len({(await ask(wire, "X-User: 1", path="/own")).body for user in range(6)}) == 3
