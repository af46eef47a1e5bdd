"""A backend of weight 0: nothing new goes there, and whoever is there already, or belongs there, stays (HAProxy's rule)."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from balance.balancing import POLICIES, Needs
from balance.config.model import (
    BackendConfig,
    Config,
    HealthCheck,
    ListenerConfig,
    PassiveChecks,
    PoolConfig,
    SessionAffinity,
    SessionCookie,
)
from balance.health.circuit_breaker import BreakerState
from balance.health.states import State
from balance.http1.head import RequestFields
from balance.model import Address, Mode, Outcome, Why
from balance.runtime import counters
from balance.runtime.backend import Backend
from balance.runtime.health_gate import Shared
from balance.runtime.pool import Pool
from balance.runtime.row import Row
from balance.runtime.snapshot import Snapshot, backend_slots, build, prepare

PLAIN = HealthCheck(passive=PassiveChecks(enabled=False))
HASHING = [name for name, policy in POLICIES.items() if Needs.KEY in policy(random.random).needs]


class Made:
    """A snapshot of one pool, and another in its place when weights change."""

    def __init__(self, *weights: int, backups: Sequence[int] = (), **given: Any) -> None:
        backends = [BackendConfig(f"b{n}", Address("127.0.0.1", n), weight) for n, weight in enumerate(weights, 1)]
        backends += [
            BackendConfig(f"s{n}", Address("127.0.0.2", n), weight, backup=True) for n, weight in enumerate(backups, 1)
        ]
        listener = ListenerConfig("main", (), Mode.HTTP, "web")
        self.config = Config((listener,), (PoolConfig("web", tuple(backends), **given),))
        self.row = Row(memoryview(bytearray(8 * counters.row_cells(len(backends) + 1))).cast("Q"))
        self.shared = Shared.with_nobody(self.row.cells)
        slots = backend_slots(self.config)
        self.snapshot: Snapshot = build(self.config, slots, self.row, random.Random(1).random, self.shared)

    @property
    def pool(self) -> Pool:
        return self.snapshot.pools["web"]

    def weigh(self, **weights: int) -> None:
        """As a reload or an order does it."""
        (pool,) = self.config.pools
        backends = tuple(replace(each, weight=weights.get(each.name, each.weight)) for each in pool.backends)
        self.config = replace(self.config, pools=(replace(pool, backends=backends),))
        slots = self.snapshot.slots
        rand = random.Random(2).random
        self.snapshot, renewals = prepare(self.config, slots, self.row, rand, self.shared, self.snapshot)
        for renewal in renewals:
            renewal.apply()

    def chosen(self, count: int = 60, avoid: Sequence[Backend] = ()) -> Counter[str]:
        names: Counter[str] = Counter()
        for number in range(count):
            lease = self.pool.acquire(b"key %d" % number if self.pool.key_of else b"", 0.0, avoid)
            names[lease.backend.name if lease is not None else "nobody"] += 1
            if lease is not None:
                lease.release(Outcome.OK, 0.001)
        return names


@pytest.mark.parametrize("given", [{"health_check": PLAIN}, {}], ids=["plain", "watched"])
@pytest.mark.parametrize("algorithm", POLICIES)
def test_a_backend_of_weight_0_is_never_picked(algorithm: str, given: dict[str, Any]) -> None:
    made = Made(2, 0, 2, 0, algorithm=algorithm, **given)
    assert set(made.chosen()) == {"b1", "b3"}
    first, _, third, _ = made.pool.backends
    assert set(made.chosen(avoid=[first])) == {"b3"}
    assert set(made.chosen(avoid=[first, third])) == {"nobody"}
    assert made.pool.ready == (first, third)


@pytest.mark.parametrize("algorithm", POLICIES)
def test_with_all_at_0_there_is_nobody_and_the_reason_is_that_none_is_ready(algorithm: str) -> None:
    made = Made(0, 0, algorithm=algorithm)
    assert set(made.chosen()) == {"nobody"}
    assert made.pool.why_nobody is Why.NO_HEALTHY


@pytest.mark.parametrize("algorithm", POLICIES)
def test_a_weight_becomes_0_and_is_none_any_more_while_what_is_under_way_goes_on(algorithm: str) -> None:
    made = Made(1, 1, algorithm=algorithm)
    leases = [made.pool.acquire(b"key %d" % number, 0.0) for number in range(40)]
    assert {lease.backend.name for lease in leases if lease} == {"b1", "b2"}
    made.weigh(b2=0)
    assert set(made.chosen()) == {"b1"}
    assert made.pool.backends[1].load.active == sum(lease is not None and lease.backend.name == "b2" for lease in leases) > 0
    for lease in leases:
        assert lease is not None
        lease.release(Outcome.OK, 1.0)
    made.weigh(b1=0)
    assert set(made.chosen()) == {"nobody"}
    made.weigh(b1=1, b2=1)
    assert set(made.chosen()) == {"b1", "b2"}


@pytest.mark.parametrize("algorithm", HASHING)
def test_a_weight_of_0_moves_the_keys_that_removing_the_backend_would_move(algorithm: str) -> None:
    def owners(made: Made) -> list[str]:
        return [lease.backend.name for n in range(500) if (lease := made.pool.acquire(b"key %d" % n, 0.0))]

    without = Made(1, 1, 1, algorithm=algorithm)
    at_zero = Made(1, 1, 1, 1, algorithm=algorithm)
    at_zero.weigh(b4=0)
    if algorithm != "bounded-load":  # that one looks at what each holds, too
        assert owners(at_zero) == owners(without)
    assert "b4" not in owners(at_zero)


@pytest.mark.parametrize("algorithm", POLICIES)
def test_backups_serve_while_the_others_have_weight_0_and_one_of_weight_0_is_none(algorithm: str) -> None:
    made = Made(0, 0, backups=(1, 0), algorithm=algorithm)
    assert set(made.chosen()) == {"s1"}
    made.weigh(b1=1)
    assert set(made.chosen()) == {"b1"}


@pytest.mark.parametrize("mode", ["cookie", "source-ip"])
def test_sessions_stay_at_a_weight_of_0_and_new_ones_do_not_begin_there(mode: str) -> None:
    made = Made(1, 1, affinity=SessionAffinity(enabled=True, mode=mode, secret="s", cookie=SessionCookie("c")))
    pool = made.pool
    assert pool.key_of is not None

    def visit(session: int) -> str:
        pool = made.pool
        assert pool.affinity is not None
        assert pool.key_of is not None
        known = pool.affinity.tokens
        token = b"" if known is None else tokens.get(session, b"")
        fields = RequestFields()
        fields.forward = b"cookie: c=%b\r\n" % token if token else b""
        key = pool.key_of(fields, b"/", f"10.0.0.{session}")
        lease = pool.acquire(key, 0.0)
        assert lease is not None
        if known is not None:
            tokens[session] = known.token(lease.backend)
        lease.release(Outcome.OK, 0.0)
        return lease.backend.name

    tokens: dict[int, bytes] = {}
    before = [visit(session) for session in range(20)]
    assert set(before) == {"b1", "b2"}
    made.weigh(b2=0)
    assert [visit(session) for session in range(20)] == before
    assert {visit(session) for session in range(20, 60)} == {"b1"}
    made.weigh(b1=0)
    assert [visit(session) for session in range(20)] == before


def test_one_of_weight_0_is_neither_the_last_resort_nor_a_reason_to_panic() -> None:
    made = Made(1, 0, 0, health_check=HealthCheck(panic_threshold=50))
    pool = made.pool
    health = pool.health
    assert health is not None
    health.update(pool.backends[1], State.UNHEALTHY, BreakerState.CLOSED, None)
    pool.rebuild()
    assert not health.is_panicking
    health.update(pool.backends[0], State.EJECTED, BreakerState.CLOSED, None)
    pool.rebuild()
    assert set(made.chosen()) == {"b1"}
    health.update(pool.backends[0], State.DRAINING, BreakerState.CLOSED, None)
    pool.rebuild()
    assert set(made.chosen()) == {"nobody"}
