"""Leases: counted from the choice, given back once, and everybody who should learns of it."""

from __future__ import annotations

import random

import pytest

from balance.balancing import POLICIES, Needs
from balance.config.model import BackendConfig, CircuitBreaker, PoolConfig
from balance.health.circuit_breaker import CONSECUTIVE_FAILURES
from balance.model import Address, Outcome
from balance.runtime import counters
from balance.runtime.backend import Backend
from balance.runtime.health_gate import UNNAMED_TRIAL, Shared
from balance.runtime.lease import Lease, LeaseTerms
from balance.runtime.max_connections import Permits
from balance.runtime.pool import Pool
from balance.runtime.pool_health import PoolHealth
from balance.runtime.row import Row


def pool(count: int = 3, algorithm: str = "round-robin") -> tuple[Pool, memoryview]:
    """A pool of `count` backends, and the cells in which it counts."""
    view = memoryview(bytearray(8 * counters.row_cells(count + 1))).cast("Q")
    backends = [
        Backend(BackendConfig(f"b{number}", Address("127.0.0.1", number), number), number) for number in range(1, count + 1)
    ]
    return Pool("web", backends, algorithm, POLICIES[algorithm](random.Random(1).random), Row(view)), view


def leased(web: Pool, now: float = 10.0) -> Lease:
    lease = web.acquire(b"", now)
    assert lease is not None
    return lease


def test_lease_counts_from_the_choice_to_the_outcome() -> None:
    web, view = pool()
    lease = web.acquire(b"", 10.0)
    assert lease is not None
    block = lease.backend.block
    assert (lease.backend.load.active, view[block + counters.LEASES]) == (1, 1)
    lease.release(Outcome.OK, 10.002)
    assert lease.backend.load.active == 0


@pytest.mark.parametrize(("outcome", "failed"), [(Outcome.OK, 0), (Outcome.FAILED, 1), (Outcome.ABORTED, 0)])
def test_outcome_says_what_is_counted_against_a_backend(outcome: Outcome, failed: int) -> None:
    web, view = pool(1)
    lease = web.acquire(b"", 1.0)
    assert lease is not None
    lease.release(outcome, 1.5)
    block = lease.backend.block
    assert view[block + counters.FAILURES] == failed


@pytest.mark.parametrize("outcome", Outcome)
def test_lease_is_released_exactly_once(outcome: Outcome) -> None:
    web, _ = pool()
    lease = web.acquire(b"", 0.0)
    assert lease is not None
    lease.release(Outcome.OK, 0.0)
    with pytest.raises(RuntimeError, match=f"{lease.backend.name} released twice"):
        lease.release(outcome, 0.0)
    assert lease.backend.load.active == 0


# --- turned away: as if it had never been --------------------------------------------------------------


class Place:
    """A backend with health and a limit, and the terms of its leases."""

    def __init__(self, needs: Needs = Needs.OUTCOMES, *, is_evidence: bool = True) -> None:
        self.view = memoryview(bytearray(8 * counters.row_cells(2))).cast("Q")
        self.backend = Backend(BackendConfig("b1", Address("127.0.0.1", 1), max_connections=2), 1)
        shared, row = Shared.with_nobody(self.view), Row(self.view)
        PoolHealth(PoolConfig("web", (), breaker=CircuitBreaker(enabled=True)), [self.backend], row, shared)
        assert self.backend.health is not None
        self.health = self.backend.health
        self.permits = Permits(self.backend, self.view, shared)
        self.terms = LeaseTerms(row, needs, is_evidence=is_evidence)
        self.woken = 0
        self.permits.waiters = ("somebody",)
        self.permits.wake = self._wake

    def _wake(self) -> None:
        self.woken += 1

    def cells(self) -> list[int]:
        return [self.view[self.backend.block + cell] for cell in (counters.LEASES, counters.ABORTED, counters.TRIALS)]


def test_one_that_is_withdrawn_leaves_no_trace_and_wakes_nobody() -> None:
    place = Place()
    place.permits.take()
    lease = Lease(place.backend, place.terms, 0.0)
    place.view[place.backend.block + counters.TRIALS] = 1
    place.health.begin_trial(lease, UNNAMED_TRIAL)
    lease.withdraw(0.0)
    assert (place.cells(), place.backend.load.active, place.health.special, place.woken) == ([0, 0, 0], 0, {}, 0)
    with pytest.raises(RuntimeError, match="b1 released twice"):
        lease.release(Outcome.OK, 0.0)


def test_one_that_is_released_wakes_who_waits() -> None:
    place = Place()
    place.permits.take()
    Lease(place.backend, place.terms, 0.0).release(Outcome.ABORTED, 0.0)
    assert (place.cells(), place.woken) == ([1, 1, 0], 1)


@pytest.mark.parametrize("is_evidence", [True, False])
def test_leases_are_evidence_where_their_pool_says_so(is_evidence: bool) -> None:
    place = Place(Needs.NOTHING, is_evidence=is_evidence)
    Lease(place.backend, place.terms, 0.0).release(Outcome.FAILED, 0.0)
    assert place.health.evidence[CONSECUTIVE_FAILURES] == is_evidence
    lasting = Lease(place.backend, place.terms, 0.0)
    lasting.answered(0.1)
    assert place.health.evidence[CONSECUTIVE_FAILURES] == 0
    assert (lasting in place.health.special) is is_evidence
    lasting.release(Outcome.OK, 9.0)
    assert place.health.special == {}


# --- what a policy learns from a lease -----------------------------------------------------------------

LEARNING = [name for name, policy in POLICIES.items() if Needs.LATENCY in policy(random.random).needs]
WATCHING = [name for name, policy in POLICIES.items() if Needs.OUTCOMES in policy(random.random).needs]
CARELESS = [name for name in POLICIES if name not in LEARNING + WATCHING]


def test_every_policy_that_looks_at_load_learns_of_failures() -> None:
    assert set(LEARNING) == {"least-response-time", "adaptive"}
    assert set(WATCHING) == {"least-connections", "weighted-least-connections", "power-of-two", "bounded-load"}


@pytest.mark.parametrize("name", CARELESS)
def test_policy_that_asks_for_nothing_is_told_nothing(name: str) -> None:
    lease = leased(pool(1, name)[0])
    lease.answered(10.1, 503)
    lease.release(Outcome.FAILED, 10.2)
    assert (lease.backend.load.debt, lease.backend.load.expected_cost_s(10.2)) == (0.0, 0.0)


@pytest.mark.parametrize("name", LEARNING)
def test_latency_is_the_first_byte_s_or_else_the_whole_time(name: str) -> None:
    web, _ = pool(1, name)
    load = web.backends[0].load
    leased(web).release(Outcome.OK, 10.5)
    assert load.expected_cost_s(10.5) == pytest.approx(0.5)
    leased(web, 11.0).release(Outcome.OK, 12.0, first_byte_s=0.7)
    assert load.expected_cost_s(12.0) == pytest.approx(0.7)


@pytest.mark.parametrize("name", LEARNING)
def test_what_answers_early_and_ends_late_is_learned_early_and_once(name: str) -> None:
    web, _ = pool(1, name)
    load = web.backends[0].load
    lease = leased(web)
    lease.answered(10.2)
    lease.answered(11.0)
    assert load.expected_cost_s(10.2) == pytest.approx(2 * 0.2)
    lease.release(Outcome.OK, 10.3, first_byte_s=99.0)
    assert load.expected_cost_s(10.3) == pytest.approx(0.2, rel=0.02)


@pytest.mark.parametrize("name", LEARNING + WATCHING)
@pytest.mark.parametrize(
    ("outcome", "end", "is_owed"),
    [(Outcome.OK, 404, False), (Outcome.OK, 500, True), (Outcome.FAILED, 0, True), (Outcome.ABORTED, 503, False)],
)
def test_failures_and_bad_answers_are_held_against_a_backend_and_what_the_client_does_is_not(
    name: str, outcome: Outcome, end: int, is_owed: bool
) -> None:
    web, view = pool(1, name)
    lease = leased(web)
    lease.release(outcome, 10.001, end=end)
    assert (lease.backend.load.current_debt(10.001) > 0) is is_owed
    assert view[lease.backend.block + counters.FAILURES] == (outcome is Outcome.FAILED)


@pytest.mark.parametrize("name", LEARNING + WATCHING)
def test_failure_after_the_answer_has_begun_is_held_against_a_backend(name: str) -> None:
    web, _ = pool(1, name)
    lease = leased(web)
    lease.answered(10.1)
    lease.release(Outcome.FAILED, 10.2)
    assert lease.backend.load.failure_rate(10.2) > 0


@pytest.mark.parametrize("name", LEARNING)
def test_aborted_lease_says_nothing_of_latency(name: str) -> None:
    web, _ = pool(1, name)
    leased(web).release(Outcome.ABORTED, 40.0)
    assert web.backends[0].load.expected_cost_s(40.0) == 0.0


def test_sum_of_what_is_held_survives_any_order_of_flaps_and_releases() -> None:
    web, _ = pool(3, "bounded-load")
    leases = [leased(web) for _ in range(6)]
    out = leases[0].backend
    web.set_ready(out, False)
    leases.pop(0).release(Outcome.OK, 11.0)
    leases += [leased(web) for _ in range(3)]
    web.set_ready(out, True)
    leases.pop().release(Outcome.OK, 12.0)
    leases += [leased(web)]
    (peers,) = {backend.load.pool_active for backend in web.backends}
    assert peers is not None
    assert peers.active == len(leases) == sum(backend.load.active for backend in web.backends)


def test_a_failed_try_is_counted_by_its_why_and_what_went_well_or_was_left_is_not() -> None:
    place = Place()
    for outcome, end in (
        (Outcome.OK, 200),
        (Outcome.ABORTED, 21),
        (Outcome.FAILED, 5),
        (Outcome.FAILED, 5),
        (Outcome.FAILED, 0),
    ):
        Lease(place.backend, place.terms, 0.0).release(outcome, 0.0, None, end)
    start = counters.series_pairs(place.view).start
    assert place.view[start : start + 3].tolist() == [counters.series_key(1, counters.FAILED_TRIES, 5), 2, 0]
    assert counters.series_parts(place.view[start]) == (1, counters.FAILED_TRIES, 5, 0)
