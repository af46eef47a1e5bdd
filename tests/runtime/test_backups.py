"""Backups: nobody sees them while another backend will do."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest

from balance.balancing import POLICIES
from balance.config.model import BackendConfig, CircuitBreaker, Config, HealthCheck, ListenerConfig, PassiveChecks, PoolConfig
from balance.health.circuit_breaker import BreakerState
from balance.health.states import State
from balance.model import Address, Mode, Outcome
from balance.runtime import counters
from balance.runtime.backend import Backend
from balance.runtime.pool import Pool
from balance.runtime.row import Row
from balance.runtime.snapshot import backend_slots, build


def pool_of(primaries: int = 2, backups: int = 2, algorithm: str = "round-robin", **given: Any) -> Pool:
    """p1, p2, ..., then s1, s2, ..."""
    names = [*(f"p{n}" for n in range(1, primaries + 1)), *(f"s{n}" for n in range(1, backups + 1))]
    backends = tuple(BackendConfig(name, Address("127.0.0.1", 1), backup=name[0] == "s") for name in names)
    config = Config((ListenerConfig("main", (), Mode.HTTP, "web"),), (PoolConfig("web", backends, algorithm, **given),))
    slots = backend_slots(config)
    row = Row(memoryview(bytearray(8 * counters.row_cells(len(slots) + 1))).cast("Q"))
    return build(config, slots, row, random.Random(1).random).pools["web"]


def chosen(pool: Pool, count: int, avoid: Sequence[Backend] = (), now: float = 0.0) -> Counter[str]:
    names: Counter[str] = Counter()
    for number in range(count):
        lease = pool.acquire(b"key %d" % number, now, avoid)
        if lease is None:
            names["nobody"] += 1
        else:
            names[lease.backend.name] += 1
            lease.release(Outcome.OK, now)
    return names


@pytest.mark.parametrize("algorithm", POLICIES)
def test_backups_get_nothing_while_a_primary_is_ready_and_then_share_by_the_algorithm(algorithm: str) -> None:
    pool = pool_of(algorithm=algorithm, health_check=HealthCheck(passive=PassiveChecks(enabled=False)))
    first, second, *backups = pool.backends
    assert set(chosen(pool, 60)) == {"p1", "p2"}
    pool.set_ready(first, False)
    assert set(chosen(pool, 60)) == {"p2"}
    pool.set_ready(second, False)
    assert set(chosen(pool, 60)) == {"s1", "s2"}
    assert pool.ready == tuple(backups)
    pool.set_ready(second, True)
    assert set(chosen(pool, 60)) == {"p2"}


def test_a_request_whose_every_primary_has_failed_goes_to_a_backup() -> None:
    pool = pool_of()
    first, second, spare, last = pool.backends
    assert set(chosen(pool, 4, [first])) == {"p2"}
    assert set(chosen(pool, 4, [first, second])) == {"s1", "s2"}
    assert set(chosen(pool, 4, [first, second, spare])) == {"s2"}
    assert set(chosen(pool, 4, [first, second, spare, last])) == {"nobody"}
    assert len(pool.ready) == 4


def test_shares_and_tables_are_those_of_a_pool_without_backups() -> None:
    alone, together = pool_of(3, 0, "maglev"), pool_of(3, 5, "maglev")
    for number in range(300):
        one, two = (pool.acquire(b"key %d" % number, 0.0) for pool in (alone, together))
        assert one is not None
        assert two is not None
        assert one.backend.name == two.backend.name


def see(pool: Pool, name: str, state: State, phase: BreakerState = BreakerState.CLOSED, now: float = 0.0) -> None:
    assert pool.health is not None
    pool.health.update(next(backend for backend in pool.backends if backend.name == name), state, phase, now)
    pool.rebuild()


def test_panic_is_over_the_primaries_alone() -> None:
    pool = pool_of(3, 3, health_check=HealthCheck(enabled=True, panic_threshold=50))
    see(pool, "p1", State.UNHEALTHY)
    assert set(chosen(pool, 12)) == {"p2", "p3"}
    see(pool, "p2", State.UNHEALTHY)
    assert set(chosen(pool, 12)) == {"p1", "p2", "p3"}


def test_a_backup_that_is_ready_is_better_than_panic_where_no_primary_is() -> None:
    pool = pool_of(2, 1, health_check=HealthCheck(enabled=True, panic_threshold=50))
    see(pool, "p1", State.UNHEALTHY)
    see(pool, "p2", State.EJECTED)
    assert set(chosen(pool, 12)) == {"s1"}
    see(pool, "s1", State.UNHEALTHY)
    assert set(chosen(pool, 12)) == {"p1", "p2"}


def test_a_primary_that_starts_slowly_is_ready_and_a_backup_is_not_asked() -> None:
    pool = pool_of(1, 1, health_check=HealthCheck(enabled=True, slow_start_s=30.0))
    see(pool, "p1", State.UNHEALTHY)
    assert set(chosen(pool, 12)) == {"s1"}
    see(pool, "p1", State.HEALTHY, now=100.0)
    assert chosen(pool, 100, now=100.0) == {"p1": 100}


def test_who_a_half_open_primary_turns_away_goes_to_a_backup() -> None:
    pool = pool_of(1, 1, breaker=CircuitBreaker(enabled=True))
    see(pool, "p1", State.UNKNOWN, BreakerState.OPEN)
    assert chosen(pool, 3) == {"s1": 3}
    see(pool, "p1", State.RETURNING)
    held = [pool.acquire(b"", 0.0) for _ in range(3)]
    assert [lease.backend.name for lease in held if lease] == ["p1", "s1", "s1"]


def test_a_pool_of_one_primary_and_no_backup_has_no_such_layer() -> None:
    assert pool_of(1, 0).backups is None
