"""Who wins where two rules of a route, or a rule and the state of backends, want different things: docs/ROUTING.md, "Who wins".

One row for each pair that can conflict, through a real worker. The route's pool is `pool`, with the backends `one` and `two`;
`v2` is the canary's, `blue` and `green` are sides, `other` is where a rule leads.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from rawclient import get, ok
from routed import http, to
from stage import Stage, serve

from balance.config.model import CircuitBreaker, QueueConfig, SessionAffinity
from balance.config.route_model import BlueGreen, Canary, Condition, RouteConfig, Rule, TrafficPolicy, ValueMatch, WeightedPool
from balance.health.circuit_breaker import BreakerState
from balance.health.states import State
from balance.model import Outcome
from balance.runtime.lease import Lease
from balance.runtime.sessions.session_store import Answer, Found

OTHERS = ("v2", "blue", "green", "other")
CANARY, TESTER = "X-Canary: 1", "Cookie: tester=1"
OPT_IN: dict[str, Any] = {"header": ValueMatch("x-canary", "present"), "cookie": ValueMatch("tester", "present")}
ALWAYS = Condition("prefix", "path", value="/")
ID = "a" * 22
SESSION = "session"  # in the place of a field: the cookie of a session at `one`


def rule(action: str, pool: str = "") -> tuple[Rule, ...]:
    return (Rule(ALWAYS, action, name="rule", pool=pool),)


def sides(active: str = "blue") -> BlueGreen:
    return BlueGreen("blue", "green", active, "x-side")


def split(*weights: int) -> tuple[WeightedPool, ...]:
    return tuple(WeightedPool(pool, weight) for pool, weight in zip(("blue", "green"), weights, strict=True))


@dataclass
class Row:
    """A conflict: the route, the states of `one` and `two`, a request, and what answers it."""

    name: str
    expected: bytes | int  # the name of the backend, or the status of an error
    fields: tuple[str, ...] = ()
    policy: TrafficPolicy = field(default_factory=TrafficPolicy)
    split: tuple[WeightedPool, ...] = ()
    states: dict[str, str] = field(default_factory=dict)

    def route(self) -> RouteConfig:
        base = "" if self.split or self.policy.blue_green else "pool"
        return to("web", base, "pool", *OTHERS, policy=self.policy, split=self.split)


def policies() -> Iterator[Row]:
    """Rules and policies among each other."""
    opt_in, all_over = Canary("v2", **OPT_IN), Canary("v2", 100.0)
    yield Row("a denial, a canary", 403, (CANARY,), TrafficPolicy(canary=opt_in, rules=rule("deny")))
    yield Row("a denial, a side", 403, ("X-Side: green",), TrafficPolicy(blue_green=sides(), rules=rule("deny")))
    yield Row("a denial, a session", 403, (SESSION,), TrafficPolicy(rules=rule("deny")))
    yield Row("a rule's pool, an opt-in", b"other", (CANARY,), TrafficPolicy(canary=opt_in, rules=rule("route", "other")))
    yield Row("a rule's pool, a canary's hash", b"other", (), TrafficPolicy(canary=all_over, rules=rule("route", "other")))
    yield Row("a rule's pool that is the route's", b"one", (CANARY,), TrafficPolicy(canary=opt_in, rules=rule("route", "pool")))
    yield Row("a rule's pool, a side that is picked", b"other", ("X-Side: green",),
              TrafficPolicy(blue_green=sides(), rules=rule("route", "other")))  # fmt: skip
    yield Row("a rule's pool, the active side", b"other", (), TrafficPolicy(blue_green=sides(), rules=rule("route", "other")))
    yield Row("a rule's pool, a split", b"other", (), TrafficPolicy(rules=rule("route", "other")), split(1, 0))
    yield Row("a rule's pool, a split without weights", b"other", (), TrafficPolicy(rules=rule("route", "other")), split(0, 0))
    yield Row("a rule's pool, a session", b"other", (SESSION,), TrafficPolicy(rules=rule("route", "other")))
    yield Row("a rule that allows, a canary", b"v2", (CANARY,), TrafficPolicy(canary=opt_in, rules=rule("allow")))
    yield Row("a side that is picked, the active one", b"green", ("X-Side: green",), TrafficPolicy(blue_green=sides()))
    yield Row("a side that is picked, a canary's header", b"green", (CANARY, "X-Side: green"),
              TrafficPolicy(canary=opt_in, blue_green=sides()))  # fmt: skip
    yield Row("a side that is picked, a canary's hash", b"green", ("X-Side: green",),
              TrafficPolicy(canary=all_over, blue_green=sides()))  # fmt: skip
    yield Row("a canary's header, the active side", b"v2", (CANARY,), TrafficPolicy(canary=opt_in, blue_green=sides("green")))
    yield Row("a canary's hash, the active side", b"v2", (), TrafficPolicy(canary=all_over, blue_green=sides("green")))
    yield Row("a canary's header, its hash", b"v2", (CANARY,), TrafficPolicy(canary=opt_in))
    yield Row("a canary's cookie, its hash", b"v2", (TESTER,), TrafficPolicy(canary=opt_in))
    yield Row("a canary's header, a split", b"v2", (CANARY,), TrafficPolicy(canary=opt_in), split(1, 0))
    yield Row("a canary's hash, a split", b"v2", (), TrafficPolicy(canary=all_over), split(1, 0))
    yield Row("a canary's header, a split without weights", 503, (CANARY,), TrafficPolicy(canary=opt_in), split(0, 0))
    yield Row("a canary's header, a session", b"v2", (CANARY, SESSION), TrafficPolicy(canary=opt_in))
    yield Row("a canary's hash, a session", b"v2", (SESSION,), TrafficPolicy(canary=all_over))
    yield Row("the active side, a session", b"green", (SESSION,), TrafficPolicy(blue_green=sides("green")))
    yield Row("a split, a session", b"green", (SESSION,), split=split(0, 1))


def states() -> Iterator[Row]:
    """Sessions and the states of backends."""
    yield Row("a canary whose pool has nobody, a pool that has", 503, (CANARY,), TrafficPolicy(canary=Canary("v2", **OPT_IN)),
              states={"v2": "maintenance"})  # fmt: skip
    yield Row("an active side that has nobody, a side that has", 503, (), TrafficPolicy(blue_green=sides()),
              states={"blue": "maintenance"})  # fmt: skip
    yield Row("a session, the algorithm", b"one", (SESSION,))
    yield Row("a session, a drain", b"one", (SESSION,), states={"one": "drain"})
    yield Row("a session, weight 0", b"one", (SESSION,), states={"one": "weight 0"})
    yield Row("a session, a full backend", b"two", (SESSION,), states={"one": "full"})
    yield Row("a session, an open breaker", b"two", (SESSION,), states={"one": "breaker"})
    yield Row("a session, maintenance", b"two", (SESSION,), states={"one": "maintenance"})
    yield Row("who is new, a drain", b"two", (), states={"one": "drain"})
    yield Row("who is new, weight 0", b"two", (), states={"one": "weight 0"})
    yield Row("who is new, a full backend", b"two", (), states={"one": "full"})
    yield Row("who is new, an open breaker", b"two", (), states={"one": "breaker"})
    yield Row("weight 0, a drain", 503, (), states={"one": "weight 0", "two": "drain"})
    yield Row("weight 0, maintenance", 503, (), states={"one": "weight 0", "two": "maintenance"})
    yield Row("weight 0, a full backend", 503, (), states={"one": "weight 0", "two": "full"})
    yield Row("weight 0, an open breaker", b"two", (), states={"one": "weight 0", "two": "breaker"})
    yield Row("all of weight 0", 503, (), states={"one": "weight 0", "two": "weight 0"})
    yield Row("a drain, a full backend", 503, (), states={"one": "drain", "two": "full"})
    yield Row("a drain, an open breaker", b"two", (), states={"one": "drain", "two": "breaker"})
    yield Row("a full backend, an open breaker", 503, (), states={"one": "full", "two": "breaker"})
    yield Row("a session, a drain, and a full backend", 503, (SESSION,), states={"one": "drain full", "two": "full"})


ROWS = [*policies(), *states()]
OF_SESSIONS = [row for row in ROWS if SESSION in row.fields]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
async def test_who_wins(stage: Stage, row: Row) -> None:
    await who_wins(stage, row, SessionAffinity(enabled=True), session_at_one)


@pytest.mark.parametrize("row", OF_SESSIONS, ids=lambda row: row.name)
async def test_who_wins_where_machines_share_sessions(stage: Stage, row: Row) -> None:
    """The same as with cookies alone, and Redis is asked for the pool that was chosen, if at all."""
    store = SharedStore()

    def known_session(stage: Stage) -> str:
        for pool in stage.snapshot.pools.values():
            if pool.affinity is not None and pool.affinity.shared is not None:
                pool.affinity.shared._store_of = lambda: store
        store.backend = stage.pool.backends[0].name
        return f"Cookie: LOAD-BALANCING_SESSION={ID}"

    await who_wins(stage, row, SessionAffinity(enabled=True, mode="redis"), known_session)
    assert set(store.asked) <= {"pool"}
    moved = row.name in ("a session, an open breaker", "a session, maintenance")
    assert [kept for kept in store.kept if kept[0] == ID.encode()] == ([(ID.encode(), "pool", True)] if moved else [])


async def who_wins(stage: Stage, row: Row, affinity: SessionAffinity, session: Callable[[Stage], str]) -> None:
    for name in ("one", "two"):
        stage.backend(serve(ok(name.encode())))
    pools = {name: [stage.backend(serve(ok(name.encode())))] for name in OTHERS}
    await stage.open(
        http=http(row.route()), pools=pools, affinity=affinity, limits=[1, 1],
        queue=QueueConfig(size=0), breaker=CircuitBreaker(enabled=True),
    )  # fmt: skip
    cookie = session(stage)
    leases = [lease for name, words in row.states.items() for lease in put(stage, name, words)]
    wire = await stage.client()
    await wire.send(get("/", *(cookie if each is SESSION else each for each in row.fields)))
    reply = await wire.reply()
    assert (reply.body if reply.status == 200 else reply.status) == row.expected
    for lease in leases:
        lease.release(Outcome.OK, 0.0)


class SharedStore:
    """Redis, which knows one session, in the pool `pool`."""

    is_up = True
    takes_writes = True
    denies = False
    flushed_at = -1.0

    def __init__(self) -> None:
        self.backend = ""
        self.asked: list[str] = []
        self.kept: list[tuple[bytes, str, bool]] = []

    def look_up(self, sessions: Sequence[bytes], pool: str, answer: Callable[[Answer], None]) -> None:
        self.asked.append(pool)
        found = Found(sessions[0], self.backend if pool == "pool" else "", 3600.0)
        asyncio.get_running_loop().call_soon(answer, found)

    def keep(self, session: bytes, pool: str, backend: str, ttl_s: float, *, is_moved: bool) -> None:
        self.kept.append((session, pool, is_moved))

    def extend(self, session: bytes, ttl_s: float) -> None:
        pass


def session_at_one(stage: Stage) -> str:
    """The cookie of a session at `one`."""
    affinity = stage.pool.affinity
    assert affinity is not None
    token = next(token for token, backend in affinity.by_token.items() if backend is stage.pool.backends[0])
    return f"Cookie: LOAD-BALANCING_SESSION={token.decode()}"


def put(stage: Stage, name: str, words: str) -> Iterator[Lease]:
    """Bring a backend into these states. Yields the lease that fills it."""
    pool = stage.pool if name in ("one", "two") else stage.snapshot.pools[name]
    backend = pool.backends[1 if name == "two" else 0]
    if "full" in words:
        lease = pool.acquire_bound(backend, 0.0)
        assert lease is not None
        yield lease
    if "weight 0" in words:
        backend.load.weight = 0
    state = State.DRAINING if "drain" in words else State.MAINTENANCE if "maintenance" in words else State.HEALTHY
    phase = BreakerState.OPEN if "breaker" in words else BreakerState.CLOSED
    if pool.health is not None:
        pool.health.update(backend, state, phase, None)
        pool.rebuild()
    else:
        pool.set_ready(backend, state is State.HEALTHY)
