"""A pool that is watched: who is chosen while breakers, ejections, ramps and panic say who may be."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest

from balance.balancing import POLICIES
from balance.config.model import BackendConfig, CircuitBreaker, HealthCheck, PassiveChecks, PoolConfig
from balance.health.circuit_breaker import STATE, TOTAL_OPENINGS, UNTIL_US, BreakerState
from balance.health.states import State
from balance.model import Address, Outcome, Why
from balance.runtime import counters
from balance.runtime.backend import Backend
from balance.runtime.health_gate import Shared
from balance.runtime.pool import Pool
from balance.runtime.pool_health import PoolHealth, needs_health
from balance.runtime.row import Row

OFF = PassiveChecks(enabled=False)
BREAKER = CircuitBreaker(enabled=True, failure_threshold=3, success_threshold=1, timeout_s=10.0)


def watched(count: int = 3, algorithm: str = "round-robin", **given: Any) -> tuple[Pool, memoryview]:
    """A pool of `count` backends alone in the world."""
    view = memoryview(bytearray(8 * counters.row_cells(count + 1))).cast("Q")
    row = Row(view)
    config = PoolConfig("web", (), algorithm, **given)
    backends = [Backend(BackendConfig(f"b{slot}", Address("127.0.0.1", slot)), slot) for slot in range(1, count + 1)]
    policy = POLICIES[algorithm](random.Random(1).random)
    return Pool(
        "web", backends, algorithm, policy, row, health=PoolHealth(config, backends, row, Shared.with_nobody(view))
    ), view


def health_of(pool: Pool) -> PoolHealth:
    assert pool.health is not None
    return pool.health


def chosen(pool: Pool, count: int, now: float = 0.0) -> Counter[str]:
    """Who gets `count` requests that all go well."""
    names: Counter[str] = Counter()
    for _ in range(count):
        lease = pool.acquire(b"", now)
        assert lease is not None
        names[lease.backend.name] += 1
        lease.release(Outcome.OK, now)
    return names


def see(pool: Pool, backend: Backend, now: float, state: State | None = None) -> None:
    """The worker looks at its board, where OPEN is as good as HALF_OPEN once its time is over."""
    health = backend.health
    assert health is not None
    phase = BreakerState(health.evidence[STATE])
    if phase is BreakerState.OPEN and now * 1e6 >= health.evidence[UNTIL_US]:
        phase = BreakerState.HALF_OPEN
    health_of(pool).update(backend, backend.state if state is None else state, phase, now)
    pool.rebuild()


def break_(pool: Pool, backend: Backend, now: float = 0.0) -> None:
    """Three requests there fail."""
    assert backend.health is not None
    for _ in range(3):
        backend.health.ended(object(), Outcome.FAILED, 0, now)
    see(pool, backend, now)


@pytest.mark.parametrize(
    ("given", "needed"),
    [
        ({"health_check": HealthCheck(passive=OFF)}, False),
        ({"health_check": HealthCheck(enabled=True, passive=OFF)}, False),
        ({"health_check": HealthCheck(passive=OFF), "breaker": BREAKER}, True),
        ({"health_check": HealthCheck(slow_start_s=1.0, passive=OFF)}, True),
        ({"health_check": HealthCheck(panic_threshold=50, passive=OFF)}, True),
        ({}, True),
    ],
)
def test_only_who_asks_for_it_pays_for_it(given: dict[str, Any], needed: bool) -> None:
    assert needs_health(PoolConfig("web", (), **given)) is needed


def test_an_open_breaker_is_passed_over_while_others_live() -> None:
    pool, _ = watched(breaker=BREAKER)
    break_(pool, pool.backends[1])
    assert chosen(pool, 10) == {"b1": 5, "b3": 5}


def test_when_all_are_open_they_are_asked_all_the_same() -> None:
    pool, _ = watched(2, breaker=BREAKER)
    for backend in pool.backends:
        break_(pool, backend)
    assert health_of(pool).is_last_resort
    assert chosen(pool, 10, 0.5) == {"b1": 5, "b2": 5}


def test_one_that_is_open_while_the_others_are_ill_is_asked_all_the_same_and_the_ill_are_not() -> None:
    pool, _ = watched(3, breaker=BREAKER)
    ejected, open_, ill = pool.backends
    see(pool, ejected, 0.0, State.EJECTED)
    break_(pool, open_)
    see(pool, ill, 0.0, State.UNHEALTHY)
    assert chosen(pool, 10) == {"b1": 5, "b2": 5}
    assert pool.acquire(b"", 0.0, [ejected, open_]) is None
    see(pool, ejected, 0.0, State.MAINTENANCE)
    see(pool, open_, 0.0, State.DRAINING)
    assert pool.acquire(b"", 0.0) is None
    see(pool, ill, 0.0, State.HEALTHY)
    assert chosen(pool, 4) == {"b3": 4}


def test_as_soon_as_somebody_is_ready_ejections_and_breakers_hold_again() -> None:
    pool, _ = watched(3, breaker=BREAKER)
    first, second, third = pool.backends
    see(pool, first, 0.0, State.EJECTED)
    break_(pool, second)
    see(pool, third, 0.0, State.UNHEALTHY)
    assert health_of(pool).is_last_resort
    see(pool, third, 0.0, State.HEALTHY)
    assert not health_of(pool).is_last_resort
    assert chosen(pool, 4) == {"b3": 4}


def test_a_request_that_had_nobody_else_and_goes_well_ends_the_breaker_s_being_open_before_its_time() -> None:
    pool, _ = watched(1, breaker=BREAKER)
    (only,) = pool.backends
    break_(pool, only)
    for now, phase in (
        (0.5, BreakerState.OPEN),
        (1.5, BreakerState.HALF_OPEN),
        (1.6, BreakerState.CLOSED),
    ):  # not sooner than after a second
        assert chosen(pool, 1, now) == {"b1": 1}
        see(pool, only, now)
        assert only.phase is phase
    assert only.gate is None


def test_one_that_goes_on_failing_while_it_is_the_last_resort_does_not_move_its_breaker() -> None:
    pool, view = watched(1, breaker=BREAKER)
    (only,) = pool.backends
    break_(pool, only)
    for number in range(20):
        lease = pool.acquire(b"", 1.0 + number / 10)
        assert lease is not None
        lease.release(Outcome.FAILED, 1.0 + number / 10)
        see(pool, only, 1.0 + number / 10)
    assert only.phase is BreakerState.OPEN
    assert only.health is not None
    assert only.health.evidence[TOTAL_OPENINGS] == 1
    assert only.health.special == {}
    assert view[only.block + counters.TRIALS] == 0


def test_a_request_that_could_connect_to_no_other_goes_to_one_that_only_its_traffic_speaks_against() -> None:
    pool, _ = watched(4, breaker=BREAKER)
    well, ejected, open_, ill = pool.backends
    see(pool, ejected, 0.0, State.EJECTED)
    break_(pool, open_)
    see(pool, ill, 0.0, State.UNHEALTHY)
    assert chosen(pool, 6) == {"b1": 6}
    tried = [well]
    for _ in range(2):
        assert pool.has_other(tried)
        assert pool.acquire(b"", 0.0, tried) is None
        lease = pool.spare(0.0, tried)
        assert lease is not None
        tried.append(lease.backend)
        lease.release(Outcome.FAILED, 0.0, None, Why.CONNECT_REFUSED)
    assert {backend.name for backend in tried} == {"b1", "b2", "b3"}
    assert not pool.has_other(tried)
    assert pool.spare(0.0, tried) is None
    assert chosen(pool, 6) == {"b1": 6}


def test_a_returning_backend_without_others_takes_every_request() -> None:
    pool, view = watched(2)
    first, second = pool.backends
    see(pool, first, 0.0, State.RETURNING)
    see(pool, second, 0.0, State.UNHEALTHY)
    held = [pool.acquire(b"", 0.0) for _ in range(5)]
    assert [lease.backend.name for lease in held if lease] == ["b1"] * 5
    assert view[first.block + counters.TRIALS] == 1
    for lease in held:
        assert lease is not None
        lease.release(Outcome.OK, 0.1)
    assert (view[first.block + counters.TRIALS], view[first.block + counters.TRIALS_PASSED]) == (0, 1)


def test_when_all_are_ill_the_reason_is_their_health() -> None:
    pool, _ = watched(2, breaker=BREAKER)
    for backend in pool.backends:
        see(pool, backend, 0.0, State.UNHEALTHY)
    assert pool.acquire(b"", 1.0) is None
    assert pool.why_nobody is Why.NO_HEALTHY


def test_half_open_one_request_tries_and_the_others_go_elsewhere() -> None:
    pool, view = watched(2, breaker=BREAKER)
    broken = pool.backends[0]
    break_(pool, broken)
    see(pool, broken, 10.0)
    held = [pool.acquire(b"", 10.0) for _ in range(6)]
    names = Counter(lease.backend.name for lease in held if lease)
    assert names == {"b1": 1, "b2": 5}
    assert view[broken.block + counters.LEASES] == 1
    assert broken.load.active == 1
    trial = next(lease for lease in held if lease and lease.backend is broken)
    trial.release(Outcome.OK, 10.1)
    see(pool, broken, 10.1)
    assert broken.phase is BreakerState.CLOSED
    assert chosen(pool, 10, 10.2) == {"b1": 5, "b2": 5}


def test_a_lone_half_open_backend_takes_every_request_and_one_of_them_is_its_trial() -> None:
    pool, view = watched(1, breaker=BREAKER)
    (broken,) = pool.backends
    break_(pool, broken)
    see(pool, broken, 10.0)
    held = [pool.acquire(b"", 10.0) for _ in range(4)]
    assert None not in held
    assert view[broken.block + counters.TRIALS] == 1
    for lease in held:
        assert lease is not None
        lease.release(Outcome.OK, 10.1)
    assert (view[broken.block + counters.TRIALS], view[broken.block + counters.TRIALS_PASSED]) == (0, 1)


def test_a_request_that_tried_all_but_one_on_trial_finds_nobody_because_of_its_breaker() -> None:
    pool, view = watched(2, breaker=BREAKER)
    well, broken = pool.backends
    break_(pool, broken)
    see(pool, broken, 10.0)
    assert [pool.acquire(b"", 10.0, [well]) is not None for _ in range(4)] == [True, False, False, False]
    assert pool.why_nobody is Why.BREAKER_OPEN
    assert (view[broken.block + counters.LEASES], view[broken.block + counters.ABORTED], broken.load.active) == (1, 0, 1)
    assert pool.spare(10.0, [well]) is not None  # but for one that could not connect to the others
    assert view[broken.block + counters.TRIALS] == 1


def test_a_returning_backend_is_tried_by_one_request_at_a_time() -> None:
    pool, view = watched(2, health_check=HealthCheck(passive=PassiveChecks(enabled=True)))
    returning = pool.backends[0]
    see(pool, returning, 0.0, State.RETURNING)
    held = [pool.acquire(b"", 0.0) for _ in range(6)]
    assert Counter(lease.backend.name for lease in held if lease) == {"b1": 1, "b2": 5}
    for lease in held:
        assert lease is not None
        lease.release(Outcome.FAILED if lease.backend is returning else Outcome.OK, 0.1)
    assert view[returning.block + counters.TRIALS_FAILED] == 1


@pytest.mark.parametrize("state", [State.UNHEALTHY, State.EJECTED, State.DRAINING, State.MAINTENANCE])
def test_who_is_out_gets_nothing(state: State) -> None:
    pool, _ = watched(2, breaker=BREAKER)
    see(pool, pool.backends[0], 0.0, state)
    assert chosen(pool, 6) == {"b2": 6}


def test_in_panic_all_are_used_but_those_an_operator_took_out_and_open_breakers() -> None:
    pool, _ = watched(5, breaker=BREAKER, health_check=HealthCheck(enabled=True, panic_threshold=50))
    ill, ejected, drained, broken, _ = pool.backends
    see(pool, ill, 0.0, State.UNHEALTHY)
    see(pool, drained, 0.0, State.DRAINING)
    break_(pool, broken)
    assert not health_of(pool).is_panicking
    assert chosen(pool, 6) == {"b2": 3, "b5": 3}
    see(pool, broken, 0.0, State.UNHEALTHY)
    see(pool, ejected, 0.0, State.EJECTED)
    assert health_of(pool).is_panicking
    assert chosen(pool, 9) == {"b1": 3, "b2": 3, "b5": 3}
    for backend in (ill, ejected):
        see(pool, backend, 0.0, State.HEALTHY)
    assert not health_of(pool).is_panicking
    assert chosen(pool, 9) == {"b1": 3, "b2": 3, "b5": 3}


@pytest.mark.parametrize("algorithm", POLICIES)
def test_who_comes_back_gets_a_tenth_of_its_share_at_first_under_any_algorithm(algorithm: str) -> None:
    pool, _ = watched(2, algorithm, health_check=HealthCheck(enabled=True, slow_start_s=30.0))
    back = pool.backends[0]
    see(pool, back, 0.0, State.UNHEALTHY)
    see(pool, back, 100.0, State.HEALTHY)
    share = chosen(pool, 400, 101.0)["b1"] / 400
    assert 0 < share <= 0.11
    full = chosen(pool, 400, 130.0)["b1"] / 400
    assert full > 0.3
    assert back.gate is None


def test_nobody_starts_slowly_when_the_process_starts() -> None:
    pool, _ = watched(2, health_check=HealthCheck(enabled=True, slow_start_s=30.0))
    for backend in pool.backends:
        health_of(pool).update(backend, State.UNHEALTHY, BreakerState.CLOSED, None)
        health_of(pool).update(backend, State.HEALTHY, BreakerState.CLOSED, None)
    pool.rebuild()
    assert chosen(pool, 10) == {"b1": 5, "b2": 5}


def test_the_first_probe_of_a_backend_in_use_starts_no_ramp() -> None:
    pool, _ = watched(2, health_check=HealthCheck(enabled=True, slow_start_s=30.0))
    for backend in pool.backends:
        see(pool, backend, 1.0, State.HEALTHY)
    assert [backend.gate for backend in pool.backends] == [None, None]


def test_where_all_start_slowly_no_request_is_refused_for_it() -> None:
    pool, view = watched(3, health_check=HealthCheck(enabled=True, slow_start_s=30.0))
    for backend in pool.backends:
        see(pool, backend, 0.0, State.UNHEALTHY)
    for backend in pool.backends:
        see(pool, backend, 100.0, State.HEALTHY)
    names = chosen(pool, 300, 100.0)
    assert set(names) == {"b1", "b2", "b3"}
    assert min(names.values()) > 50
    assert sum(view[backend.block + counters.LEASES] for backend in pool.backends) == 300


def test_a_lone_backend_that_starts_slowly_gets_all() -> None:
    pool, _ = watched(1, health_check=HealthCheck(enabled=True, slow_start_s=30.0))
    see(pool, pool.backends[0], 0.0, State.UNHEALTHY)
    see(pool, pool.backends[0], 1.0, State.HEALTHY)
    assert chosen(pool, 10, 1.0) == {"b1": 10}


def test_a_breaker_that_closes_starts_slowly_too() -> None:
    pool, _ = watched(2, breaker=BREAKER, health_check=HealthCheck(slow_start_s=30.0))
    back = pool.backends[0]
    break_(pool, back)
    health_of(pool).update(back, back.state, BreakerState.CLOSED, 50.0)
    pool.rebuild()
    assert chosen(pool, 100, 50.0)["b1"] < 20


def test_an_answer_that_is_no_good_counts_as_a_failure_of_the_backend() -> None:
    for status, phase in ((500, BreakerState.CLOSED), (503, BreakerState.OPEN)):
        pool, _ = watched(1, breaker=BREAKER)
        for _ in range(3):
            lease = pool.acquire(b"", 0.0)
            assert lease is not None
            lease.release(Outcome.OK, 0.0, end=status)
        see(pool, pool.backends[0], 0.0)
        assert pool.backends[0].phase is phase


@pytest.mark.parametrize(
    ("count", "outcome", "end", "is_blamed"),
    [
        ((), Outcome.FAILED, Why.CONNECT_REFUSED, False),
        (("connect",), Outcome.FAILED, Why.CONNECT_REFUSED, True),
        (("connect",), Outcome.FAILED, Why.CONNECT_TIMEOUT, True),
        (("connect",), Outcome.FAILED, Why.RESET_BEFORE_RESPONSE, False),
        (("reset",), Outcome.FAILED, Why.RESET_BEFORE_RESPONSE, True),
        (("reset",), Outcome.FAILED, Why.RESET_MID_RESPONSE, False),
        (("broken",), Outcome.FAILED, Why.RESET_MID_RESPONSE, True),
        (("broken",), Outcome.FAILED, Why.BAD_RESPONSE, True),
        (("timeout",), Outcome.FAILED, Why.RESPONSE_HEADER_TIMEOUT, True),
        (("timeout",), Outcome.FAILED, Why.RESPONSE_IDLE, True),
        ((500,), Outcome.OK, 500, True),
        ((500,), Outcome.OK, 503, False),
        ((501,), Outcome.OK, 501, True),
    ],
)
@pytest.mark.parametrize("algorithm", ["round-robin", "least-connections", "least-response-time"])
def test_what_counts_is_configured(
    algorithm: str, count: tuple[str | int, ...], outcome: Outcome, end: int, is_blamed: bool
) -> None:
    pool, view = watched(1, algorithm, health_check=HealthCheck(passive=PassiveChecks(count=count)))
    lease = pool.acquire(b"", 0.0)
    assert lease is not None
    lease.release(outcome, 0.1, None, end)
    assert view[pool.backends[0].block + counters.BLAMED] == is_blamed


def test_a_client_that_gives_up_is_never_held_against_a_backend() -> None:
    pool, view = watched(1, breaker=BREAKER)
    for _ in range(50):
        lease = pool.acquire(b"", 0.0)
        assert lease is not None
        lease.release(Outcome.ABORTED, 0.0)
    block = pool.backends[0].block
    assert (view[block + counters.ABORTED], view[block + counters.BLAMED]) == (50, 0)


@pytest.mark.parametrize("algorithm", POLICIES)
def test_leases_of_every_algorithm_are_evidence_and_still_teach_the_policy(algorithm: str) -> None:
    pool, view = watched(1, algorithm, breaker=BREAKER)
    for _ in range(2):
        lease = pool.acquire(b"", 1.0)
        assert lease is not None
        lease.release(Outcome.FAILED, 1.2)
    lasting = pool.acquire(b"", 2.0)
    assert lasting is not None
    lasting.answered(2.1)
    lasting.release(Outcome.OK, 500.0)
    break_count = view[pool.backends[0].block + counters.BLAMED]
    assert break_count == 2
    assert pool.acquire(b"", 501.0) is not None


@pytest.mark.parametrize("algorithm", POLICIES)
def test_a_stream_is_held_against_the_backend_when_its_answer_is_no_good_and_not_only_when_it_ends(algorithm: str) -> None:
    pool, _ = watched(1, algorithm, breaker=BREAKER)
    for _ in range(3):
        lease = pool.acquire(b"", 0.0)
        assert lease is not None
        lease.answered(0.1, 503)
    see(pool, pool.backends[0], 0.1)
    assert pool.backends[0].phase is BreakerState.OPEN


def test_where_breakers_were_taken_out_one_that_is_open_is_no_reason_any_more() -> None:
    pool, _ = watched(2, breaker=CircuitBreaker(), health_check=HealthCheck(panic_threshold=1))
    for phase in (BreakerState.OPEN, BreakerState.HALF_OPEN):
        health_of(pool).update(pool.backends[0], State.HEALTHY, phase, None)
        pool.rebuild()
        assert chosen(pool, 4) == {"b1": 2, "b2": 2}
        assert (pool.backends[0].gate, pool.backends[0].load.handicap) == (None, 1.0)
