"""Pools with limits: a full backend is passed over, and nobody overtakes those who wait."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest

from balance.balancing import POLICIES
from balance.config.model import (
    BackendConfig,
    CircuitBreaker,
    Config,
    HealthCheck,
    ListenerConfig,
    PoolConfig,
    QueueConfig,
    Retry,
)
from balance.health.circuit_breaker import CELLS, BreakerState
from balance.health.states import State
from balance.model import Address, Mode, Outcome, Why
from balance.runtime import counters
from balance.runtime.backend import Backend
from balance.runtime.health_gate import NoLocks, Shared
from balance.runtime.lease import Lease
from balance.runtime.pool import Pool
from balance.runtime.pool_health import PoolHealth
from balance.runtime.pool_limits import PoolLimits, has_limits
from balance.runtime.row import Row
from balance.runtime.snapshot import Snapshot, backend_slots, build, prepare


def limited(*limits: int, backups: int = 0, algorithm: str = "round-robin", **given: Any) -> tuple[Pool, memoryview]:
    """b1, b2, ..., of which the last are backups."""
    primaries = len(limits) - backups
    backends = tuple(
        BackendConfig(f"b{n}", Address("a", 1), max_connections=limit, backup=n > primaries)
        for n, limit in enumerate(limits, 1)
    )
    config = Config((ListenerConfig("main", (), Mode.HTTP, "web"),), (PoolConfig("web", backends, algorithm, **given),))
    slots = backend_slots(config)
    view = memoryview(bytearray(8 * counters.row_cells(len(slots) + 1))).cast("Q")
    pool = build(config, slots, Row(view), random.Random(1).random).pools["web"]
    return pool, view


def health_of(pool: Pool) -> PoolHealth:
    assert pool.health is not None
    return pool.health


def limits_of(pool: Pool) -> PoolLimits:
    assert pool.limits is not None
    return pool.limits


def fill(pool: Pool, count: int) -> list[Lease]:
    """As many leases as there are to be had, of `count`."""
    leases = [pool.acquire(b"key %d" % number, 0.0) for number in range(count)]
    return [lease for lease in leases if lease is not None]


def names(leases: list[Lease]) -> Counter[str]:
    return Counter(lease.backend.name for lease in leases)


BREAKER = CircuitBreaker(enabled=True, failure_threshold=3, success_threshold=1, timeout_s=10.0)


class Nobody:
    is_choosy = False

    def turn(self, now: float) -> bool:
        return False

    def waited_too_long(self, now: float) -> None:
        pass


@pytest.mark.parametrize("algorithm", POLICIES)
def test_a_full_backend_is_passed_over_and_no_trace_is_left_of_it(algorithm: str) -> None:
    pool, view = limited(2, 3, 0, algorithm=algorithm)
    leases = fill(pool, 200)
    found = names(leases)
    assert len(leases) == 200
    assert found["b1"] <= 2
    assert found["b2"] <= 3
    assert found["b3"] >= 195
    for backend in pool.backends:
        assert view[backend.block + counters.LEASES] == backend.load.active == found[backend.name]
        assert view[backend.block + counters.ABORTED] == view[backend.block + counters.BLAMED] == 0


def test_when_all_are_full_the_request_may_wait_and_the_reason_is_the_limit() -> None:
    pool, _ = limited(2, 3)
    leases = fill(pool, 20)
    assert names(leases) == {"b1": 2, "b2": 3}
    assert pool.may_wait(())
    assert pool.why_nobody is Why.LIMIT
    assert pool.may_wait([pool.backends[0]])
    assert not pool.may_wait(pool.backends)
    leases[0].release(Outcome.OK, 0.0)
    assert len(fill(pool, 5)) == 1


def test_nobody_waits_for_backends_that_are_unwell() -> None:
    pool, _ = limited(1, 1, breaker=CircuitBreaker(enabled=True))
    for backend in pool.backends:
        health_of(pool).update(backend, State.UNHEALTHY, BreakerState.CLOSED, 0.0)
    pool.rebuild()
    assert pool.acquire(b"", 0.0) is None
    assert not pool.may_wait(())
    assert pool.why_nobody is Why.NO_HEALTHY


def test_a_full_primary_is_waited_for_and_a_backup_is_not_asked() -> None:
    pool, _ = limited(1, 1, 5, backups=1)
    assert names(fill(pool, 9)) == {"b1": 1, "b2": 1}
    assert pool.may_wait(())
    for backend in pool.backends[:2]:
        health_of(pool).update(backend, State.UNHEALTHY, BreakerState.CLOSED, 0.0)
    pool.rebuild()
    assert names(fill(pool, 9)) == {"b3": 5}
    assert pool.may_wait(())


def test_a_backup_may_be_waited_for_by_who_has_tried_all_primaries() -> None:
    pool, _ = limited(1, 1, backups=1)
    first, backup = pool.backends
    assert pool.acquire(b"", 0.0, [first]) is not None
    assert pool.acquire(b"", 0.0, [first]) is None
    assert pool.may_wait([first])
    assert not pool.may_wait([first, backup])


def test_nobody_overtakes_those_who_wait_but_who_has_tried_others() -> None:
    pool, _ = limited(2, 2)
    leases = fill(pool, 4)
    waiter = Nobody()
    assert pool.queue is not None
    assert pool.queue.join(waiter, 0.0)
    for lease in leases:
        lease.release(Outcome.OK, 0.0)
    assert pool.acquire(b"", 0.0) is None
    assert pool.may_wait(())
    assert pool.acquire(b"", 0.0, [pool.backends[0]]) is not None
    pool.queue.leave(waiter)
    assert pool.acquire(b"", 0.0) is not None


def test_the_end_of_a_lease_wakes_the_queue_once_there_is_one() -> None:
    pool, _ = limited(1)
    woken: list[int] = []
    assert pool.queue is not None
    pool.queue.wake = lambda: woken.append(1)
    (lease,) = fill(pool, 2)
    lease.release(Outcome.OK, 0.0)
    assert woken == []
    (lease,) = fill(pool, 2)
    pool.queue.join(Nobody(), 0.0)
    lease.release(Outcome.FAILED, 0.0)
    assert woken == [1]
    pool.rebuild()
    assert woken == [1, 1]


def test_the_board_shows_who_waits() -> None:
    pool, view = limited(1)
    assert pool.queue is not None
    pool.queue.join(Nobody(), 0.0)
    pool.tick()
    assert view[pool.backends[0].block + counters.WAITING] == 1


def test_a_gate_and_a_limit_go_together() -> None:
    pool, _ = limited(1, 1, health_check=HealthCheck(slow_start_s=30.0))
    back, other = pool.backends
    health_of(pool).update(back, State.UNHEALTHY, BreakerState.CLOSED, 0.0)
    pool.rebuild()
    health_of(pool).update(back, State.HEALTHY, BreakerState.CLOSED, 1.0)
    pool.rebuild()
    assert names(fill(pool, 9)) == {"b1": 1, "b2": 1}
    assert (back.load.active, other.load.active) == (1, 1)
    assert pool.may_wait(())


def on_trial(pool: Pool, backend: Backend) -> Lease:
    """Its breaker is half-open, and the one request that may try it is under way."""
    health = backend.health
    assert health is not None
    for _ in range(3):
        health.ended(object(), Outcome.FAILED, 0, 0.0)
    health_of(pool).update(backend, backend.state, BreakerState.HALF_OPEN, 10.0)
    pool.rebuild()
    trial = pool.acquire(b"", 10.0, [other for other in pool.backends if other is not backend])
    assert trial is not None
    assert trial.backend is backend
    return trial


@pytest.mark.parametrize("algorithm", POLICIES)
def test_who_is_turned_away_by_a_gate_in_its_turn_wakes_nobody_not_even_itself(algorithm: str) -> None:
    pool, _ = limited(1, 5, algorithm=algorithm, breaker=BREAKER)
    full, tried = pool.backends
    pool.acquire(b"", 0.0, [tried])
    trial = on_trial(pool, tried)
    assert pool.queue is not None
    pool.queue.join(Nobody(), 10.0)
    woken: list[int] = []
    pool.queue.wake = lambda: woken.append(1)
    pool.queue.is_serving = True
    for _ in range(10):
        assert pool.acquire(b"", 10.0) is None
    assert pool.may_wait(())  # for the one that is only full
    assert woken == []
    assert (full.load.active, tried.load.active) == (1, 1)
    trial.release(Outcome.OK, 10.1)
    assert woken == [1]


@pytest.mark.parametrize("limit", [1, 5])
def test_one_on_trial_without_others_is_waited_for_when_it_is_full_and_not_before(limit: int) -> None:
    pool, _ = limited(limit, breaker=BREAKER)
    on_trial(pool, pool.backends[0])
    assert pool.queue is not None
    pool.queue.join(Nobody(), 10.0)
    assert pool.may_wait(())  # a newcomer, behind who waits
    pool.queue.is_serving = True
    assert (pool.acquire(b"", 10.0) is None) is (limit == 1)
    assert pool.may_wait(()) is (limit == 1)


def test_who_has_tried_others_does_not_wait_for_a_backend_that_is_on_trial() -> None:
    pool, _ = limited(1, 5, breaker=BREAKER)
    full, tried = pool.backends
    on_trial(pool, tried)
    assert pool.queue is not None
    pool.queue.join(Nobody(), 10.0)
    assert pool.acquire(b"", 10.0, [full]) is None
    assert not pool.may_wait([full])
    lease = pool.spare(10.0, [full])
    assert lease is not None
    assert lease.backend is tried


def two_workers(**given: Any) -> tuple[Pool, Pool, list[memoryview]]:
    """Their pools of one backend that takes two requests, and their rows. No bell rings by itself."""
    config = Config((ListenerConfig("main", (), Mode.HTTP, "web"),), (PoolConfig("web", CONFIGS[:1], **given),), workers=2)
    rows = [memoryview(bytearray(8 * counters.row_cells(2))).cast("Q") for _ in range(2)]
    pools = []
    for place, row in enumerate(rows, 1):
        row[counters.PLACE] = place
        shared = Shared(rows, lambda slot: [0] * CELLS, NoLocks())
        pool = build(config, backend_slots(config), Row(row), lambda: 0.0, shared).pools["web"]
        pools.append(pool)
    return pools[0], pools[1], rows


def test_at_a_bell_a_worker_gives_what_it_does_not_use_to_another_whose_requests_wait() -> None:
    one, two, _ = two_workers()
    for lease in fill(one, 2):
        lease.release(Outcome.OK, 0.0)
    assert fill(two, 1) == []
    limits_of(one).look()
    limits_of(two).look()
    assert len(fill(two, 3)) == 2


def test_what_others_took_while_a_ramp_turned_a_request_away_is_not_given_twice() -> None:
    one, two, rows = two_workers(health_check=HealthCheck(slow_start_s=1000.0))
    for pool in (one, two):
        for state in (State.UNHEALTHY, State.HEALTHY):
            health_of(pool).update(pool.backends[0], state, BreakerState.CLOSED, 0.0)
        pool.rebuild()
    assert one.acquire(b"", 0.0) is not None
    rows[1][one.backends[0].block + counters.WANTED] = 1  # the other worker's requests wait
    limits_of(one).look()
    fill(one, 3)
    fill(two, 3)
    assert sum(pool.backends[0].load.active for pool in (one, two)) == 2


def test_only_who_asks_for_it_pays_for_it() -> None:
    assert not has_limits(PoolConfig("web", (BackendConfig("b1", Address("a", 1)),)))
    assert has_limits(PoolConfig("web", (BackendConfig("b1", Address("a", 1), max_connections=1),)))


def test_a_pool_that_replaces_another_keeps_its_queue_and_its_permits() -> None:
    before, view = limited(1, 1)
    leases = fill(before, 2)
    waiter = Nobody()
    assert before.queue is not None
    before.queue.join(waiter, 0.0)
    config = Config((ListenerConfig("main", (), Mode.HTTP, "web"),), (PoolConfig("web", CONFIGS, queue=QueueConfig(3)),))
    slots = backend_slots(config)
    backends = {backend.slot: (before, backend) for backend in before.backends}
    old = Snapshot(OLD, slots, (), {"web": before}, backends, {})
    row = Row(view)
    snapshot, renewals = prepare(config, slots, row, random.Random(1).random, Shared.with_nobody(view), old)
    after = snapshot.pools["web"]
    assert after is not before
    assert after.queue is before.queue
    assert before.backends[0].limit == 1  # nothing has changed yet
    for renewal in renewals:
        renewal.apply()
    assert after.queue.room == 3
    assert list(after.queue.waiters) == [waiter]
    assert after.backends == before.backends
    assert [backend.limit for backend in after.backends] == [2, 0]
    assert after.acquire(b"", 0.0) is None  # behind those who wait
    after.queue.leave(waiter)
    more = [after.acquire(b"", 0.0) for _ in range(6)]
    assert sum(lease is not None and lease.backend.name == "b1" for lease in more) == 1
    for lease in leases:
        lease.release(Outcome.OK, 0.0)


def test_a_pool_that_is_replaced_leaves_the_limits_that_still_hold_and_no_others() -> None:
    pool, view = limited(1, 1)
    kept, freed = pool.backends
    waiter = Nobody()
    assert pool.queue is not None
    pool.queue.join(waiter, 0.0)
    pool.tick()
    freed.limit = 0  # as the configuration that comes has it
    pool.retire()
    assert view[kept.block + counters.WAITING] == 0
    assert (kept.permits is not None, freed.permits) == (True, None)
    pool.queue.leave(waiter)
    assert names(fill(pool, 9))["b1"] == 1


CONFIGS = (BackendConfig("b1", Address("a", 1), max_connections=2), BackendConfig("b2", Address("a", 1)))
OLD = Config((), (PoolConfig("web", (), retry=Retry(enabled=False)),))


@pytest.mark.parametrize("outcome", Outcome)
@pytest.mark.parametrize("algorithm", POLICIES)
def test_what_is_given_back_can_be_had_again_and_its_failure_is_known(algorithm: str, outcome: Outcome) -> None:
    pool, view = limited(2, algorithm=algorithm)
    (backend,) = pool.backends
    for _ in range(3):
        leases = fill(pool, 3)
        assert len(leases) == 2
        for lease in leases:
            lease.release(outcome, 1.0)
        assert backend.load.active == 0
    assert view[backend.block + counters.BLAMED] == (6 if outcome is Outcome.FAILED else 0)
