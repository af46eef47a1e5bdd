"""Who is chosen, whatever happens to the ready set meanwhile."""

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
from balance.runtime.lease import Lease
from balance.runtime.pool import Pool
from balance.runtime.row import Row


def pool(count: int = 3, algorithm: str = "round-robin") -> tuple[Pool, memoryview]:
    """A pool of `count` backends, and the cells in which it counts."""
    view = memoryview(bytearray(8 * counters.row_cells(count + 1))).cast("Q")
    backends = [
        Backend(BackendConfig(f"b{number}", Address("127.0.0.1", number), number), number) for number in range(1, count + 1)
    ]
    return Pool("web", backends, algorithm, POLICIES[algorithm](random.Random(1).random), Row(view)), view


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


@pytest.mark.parametrize("name", sorted(POLICIES))
def test_pool_finds_keys_for_policies_that_ask_for_one(name: str) -> None:
    web, _ = pool(2, name)
    assert (web.key_of is not None) is (Needs.KEY in POLICIES[name](random.random).needs)
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
