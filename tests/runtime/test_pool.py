"""Leases: taken once, given back once, whatever happens to the ready set meanwhile."""

from __future__ import annotations

import random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, precondition, rule

from balance.balancing import POLICIES, Needs
from balance.config.model import BackendConfig
from balance.http1.head import RequestFields
from balance.model import Address, Outcome
from balance.runtime import counters
from balance.runtime.backend import Backend
from balance.runtime.counters import Row
from balance.runtime.pool import Lease, Pool


def pool(count: int = 3, algorithm: str = "round-robin") -> tuple[Pool, memoryview]:
    """A pool of `count` backends, and the cells in which it counts."""
    view = memoryview(bytearray(8 * counters.row_cells(count + 1))).cast("Q")
    backends = [
        Backend(BackendConfig(f"b{number}", Address("127.0.0.1", number), number), number) for number in range(1, count + 1)
    ]
    return Pool("web", backends, algorithm, POLICIES[algorithm](random.Random(1).random), Row(view)), view


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


def test_backend_that_is_not_ready_is_not_chosen_and_comes_back() -> None:
    web, _ = pool()
    out = web.backends[1]
    assert web.set_ready(out, False)
    assert {lease.backend for _ in range(9) if (lease := web.acquire(b"", 0.0))} == {web.backends[0], web.backends[2]}
    assert web.set_ready(out, True)
    assert {lease.backend for _ in range(9) if (lease := web.acquire(b"", 0.0))} == set(web.backends)


def test_only_a_change_of_readiness_is_a_change() -> None:
    web, _ = pool()
    assert [web.set_ready(web.backends[0], is_ready) for is_ready in (True, False, False, True)] == [False, True, False, True]


def test_nobody_ready_and_nobody_left_are_no_lease() -> None:
    web, view = pool(2)
    assert web.acquire(b"", 0.0, web.backends) is None
    for backend in web.backends:
        web.set_ready(backend, False)
    assert web.ready == ()
    assert web.acquire(b"", 0.0) is None
    assert not any(view)


def test_avoided_backend_is_avoided_by_identity_after_the_ready_set_changed() -> None:
    web, _ = pool()
    first, second, third = web.backends
    web.set_ready(first, False)
    for _ in range(4):
        lease = web.acquire(b"", 0.0, [second, first])
        assert lease is not None
        assert lease.backend is third


# --- what a policy learns from a lease -----------------------------------------------------------------

LEARNING = [name for name, policy in POLICIES.items() if Needs.LATENCY in policy.needs]
WATCHING = [name for name, policy in POLICIES.items() if Needs.OUTCOMES in policy.needs]
CARELESS = [name for name in POLICIES if name not in LEARNING + WATCHING]


def leased(web: Pool, now: float = 10.0) -> Lease:
    lease = web.acquire(b"", now)
    assert lease is not None
    return lease


def test_every_policy_that_looks_at_load_learns_of_failures() -> None:
    assert set(LEARNING) == {"least-response-time", "adaptive"}
    assert set(WATCHING) == {"least-connections", "weighted-least-connections", "power-of-two", "bounded-load"}


@pytest.mark.parametrize("name", CARELESS)
def test_policy_that_asks_for_nothing_has_the_plain_lease(name: str) -> None:
    lease = leased(pool(1, name)[0])
    assert type(lease) is Lease
    lease.answered(10.1, 503)
    lease.release(Outcome.FAILED, 10.2)
    assert (lease.backend.load.debt, lease.backend.load.expected_s(10.2)) == (0.0, 0.0)


@pytest.mark.parametrize("name", LEARNING)
def test_latency_is_the_first_byte_s_or_else_the_whole_time(name: str) -> None:
    web, _ = pool(1, name)
    load = web.backends[0].load
    leased(web).release(Outcome.OK, 10.5)
    assert load.expected_s(10.5) == pytest.approx(0.5)
    leased(web, 11.0).release(Outcome.OK, 12.0, first_byte_s=0.7)
    assert load.expected_s(12.0) == pytest.approx(0.7)


@pytest.mark.parametrize("name", LEARNING)
def test_what_answers_early_and_ends_late_is_learned_early_and_once(name: str) -> None:
    web, _ = pool(1, name)
    load = web.backends[0].load
    lease = leased(web)
    lease.answered(10.2)
    lease.answered(11.0)
    assert load.expected_s(10.2) == pytest.approx(2 * 0.2)
    lease.release(Outcome.OK, 10.3, first_byte_s=99.0)
    assert load.expected_s(10.3) == pytest.approx(0.2, rel=0.02)


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
    assert (lease.backend.load.owed(10.001) > 0) is is_owed
    assert view[lease.backend.block + counters.FAILURES] == (outcome is Outcome.FAILED)


@pytest.mark.parametrize("name", LEARNING + WATCHING)
def test_failure_after_the_answer_has_begun_is_held_against_a_backend(name: str) -> None:
    web, _ = pool(1, name)
    lease = leased(web)
    lease.answered(10.1)
    lease.release(Outcome.FAILED, 10.2)
    assert lease.backend.load.failing(10.2) > 0


@pytest.mark.parametrize("name", LEARNING)
def test_aborted_lease_says_nothing_of_latency(name: str) -> None:
    web, _ = pool(1, name)
    leased(web).release(Outcome.ABORTED, 40.0)
    assert web.backends[0].load.expected_s(40.0) == 0.0


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
    (peers,) = {backend.load.peers for backend in web.backends}
    assert peers is not None
    assert peers.active == len(leases) == sum(backend.load.active for backend in web.backends)


@pytest.mark.parametrize("name", sorted(POLICIES))
def test_pool_finds_keys_for_policies_that_ask_for_one(name: str) -> None:
    web, _ = pool(2, name)
    assert (web.key_of is not None) is (Needs.KEY in POLICIES[name].needs)
    if web.key_of is not None:
        assert web.key_of(RequestFields(), b"/", "10.0.0.1") == bytes([10, 0, 0, 1])


def test_backend_keeps_its_keys_while_others_come_and_go() -> None:
    web, _ = pool(4, "maglev")
    keys = [b"%d" % number for number in range(100)]
    before = {key: lease.backend for key in keys if (lease := web.acquire(key, 0.0))}
    web.set_ready(web.backends[0], False)
    after = {key: lease.backend for key in keys if (lease := web.acquire(key, 0.0))}
    assert all(after[key] is before[key] for key in keys if before[key] is not web.backends[0])


class Leases(RuleBasedStateMachine):
    """Any order of taking, giving back and changes of readiness."""

    leases = Bundle("leases")

    def __init__(self) -> None:
        super().__init__()
        self.held: list[Lease] = []
        self.taken = 0
        self.pool, self.view = pool(4, "least-connections")

    @rule(target=leases, avoid=st.sets(st.integers(0, 3)))
    def acquire(self, avoid: set[int]) -> Lease | None:
        avoided = [self.pool.backends[index] for index in avoid]
        lease = self.pool.acquire(b"", 0.0, avoided)
        open_to_it = [backend for backend in self.pool.ready if backend not in avoided]
        assert (lease is None) == (not open_to_it)
        if lease is not None:
            assert lease.backend in open_to_it
            self.held.append(lease)
            self.taken += 1
        return lease

    @rule(lease=consumes(leases), outcome=st.sampled_from(Outcome))
    def release(self, lease: Lease | None, outcome: Outcome) -> None:
        if lease is not None:
            lease.release(outcome, 1.0)
            self.held.remove(lease)

    @rule(index=st.integers(0, 3), is_ready=st.booleans())
    def set_ready(self, index: int, is_ready: bool) -> None:
        self.pool.set_ready(self.pool.backends[index], is_ready)

    @precondition(lambda self: self.held)
    @rule(index=st.integers(0, 3))
    def rebuild(self, index: int) -> None:
        self.pool.backends[index].load.weight += 1
        self.pool.rebuild()

    @invariant()
    def active_is_what_is_held(self) -> None:
        for backend in self.pool.backends:
            assert backend.load.active == sum(lease.backend is backend for lease in self.held)

    @invariant()
    def every_lease_was_counted(self) -> None:
        assert sum(self.view[backend.block + counters.LEASES] for backend in self.pool.backends) == self.taken


TestLeasesInAnyOrder = Leases.TestCase
TestLeasesInAnyOrder.settings = settings(max_examples=50, stateful_step_count=30, deadline=None)
