"""Permits: whatever workers do, die or are told, no more are out than the limit allows."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from balance.config.model import BackendConfig
from balance.model import Address
from balance.runtime import counters
from balance.runtime.backend import Backend
from balance.runtime.health_gate import Shared
from balance.runtime.max_connections import UNLIMITED, Permits


class Locks:
    """Locks that somebody else may hold."""

    is_free = True

    def take(self, slot: int) -> bool:
        return self.is_free

    def leave(self, slot: int) -> None:
        pass


class Machine:
    """Workers over one board; bells are heard when a test says so."""

    def __init__(self, limit: int, workers: int) -> None:
        self.limit = limit
        self.locks = Locks()
        self.rows = [memoryview(bytearray(8 * counters.row_cells(2))).cast("Q") for _ in range(workers)]
        for place, row in enumerate(self.rows, 1):
            row[counters.PLACE] = place
        self.rung: set[int] = set()
        self.workers = [self.born(slot) for slot in range(workers)]

    def born(self, slot: int) -> Worker:
        return Worker(self, slot)

    @property
    def held(self) -> int:
        return sum(worker.backend.load.active for worker in self.workers)

    @property
    def permits(self) -> int:
        return sum(row[counters.block(1) + counters.CREDIT] for row in self.rows)

    def die(self, slot: int) -> None:
        """The supervisor zeroes the gauges, and a successor is born."""
        for gauge in counters.BLOCK_GAUGES:
            self.rows[slot][counters.block(1) + gauge] = 0
        self.workers[slot] = self.born(slot)

    def hear(self) -> None:
        """All bells, until none rings any more."""
        for _ in range(100):
            if not self.rung:
                return
            slot = self.rung.pop()
            self.workers[slot].permits.look()
        raise AssertionError("they ring each other without end")


class Worker:
    def __init__(self, machine: Machine, slot: int) -> None:
        self.backend = Backend(BackendConfig("b1", Address("a", 1), max_connections=machine.limit), 1)
        self.woken = 0

        def ring_where(cell: int) -> None:
            machine.rung |= {other for other, row in enumerate(machine.rows) if other != slot and row[cell]}

        def wake() -> None:
            self.woken += 1

        shared = Shared(machine.rows, lambda slot: [], machine.locks, ring_where=ring_where)
        self.permits = Permits(self.backend, machine.rows[slot], shared)
        self.permits.wake = wake

    def acquire(self) -> bool:
        """As a pool does."""
        backend = self.backend
        backend.load.active += 1
        if backend.load.active <= backend.credit or self.permits.take():
            return True
        backend.load.active -= 1
        return False

    def release(self) -> None:
        self.backend.load.active -= 1
        if self.permits.is_pressed or self.permits.waiters:
            self.permits.freed()


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["acquire"] * 6 + ["release"] * 4 + ["tick", "hear", "die", "wait", "served", "lock", "ask"]),
        st.integers(0, 3),
    ),
    max_size=120,
)


def step(machine: Machine, action: str, slot: int) -> None:
    worker = machine.workers[slot % len(machine.workers)]
    match action:
        case "acquire":
            worker.acquire()
        case "release":
            if worker.backend.load.active:
                worker.release()
        case "tick":
            worker.permits.tick()
        case "hear":
            machine.hear()
        case "die":
            machine.die(slot % len(machine.workers))
        case "wait":
            worker.permits.waiters = (1,)
        case "served":
            worker.permits.waiters = ()
        case "lock":
            machine.locks.is_free = not machine.locks.is_free
        case "ask":
            worker.permits.ask_again()


@given(limit=st.integers(1, 9), workers=st.integers(1, 4), steps=STEPS)
@settings(max_examples=300)
def test_no_more_leases_than_the_limit_whatever_happens(limit: int, workers: int, steps: list[tuple[str, int]]) -> None:
    machine = Machine(limit, workers)
    for action, slot in steps:
        step(machine, action, slot)
        assert machine.held <= machine.permits <= limit
        for worker, row in zip(machine.workers, machine.rows, strict=True):
            assert worker.backend.load.active <= worker.backend.credit == row[counters.block(1) + counters.CREDIT]


@given(
    limits=st.lists(st.integers(0, 9), min_size=1, max_size=5),
    steps=st.lists(STEPS, min_size=5, max_size=5),
)
@settings(max_examples=150)
def test_a_limit_that_changes_holds_for_all_that_begins_after_it(limits: list[int], steps: list[list[tuple[str, int]]]) -> None:
    machine = Machine(3, 3)
    for limit, some in zip(limits, steps, strict=False):
        machine.limit = limit
        for worker in machine.workers:
            worker.backend.limit = limit
        for worker in machine.workers:
            worker.permits.tick()  # by then each knows what the others had under way without a limit
        allowed = max(limit, machine.held) if limit else UNLIMITED
        for action, slot in some:
            held = machine.held
            step(machine, action, slot)
            if limit and machine.held > held:
                assert machine.held <= limit
            assert machine.held <= allowed
        machine.locks.is_free = True


@given(limit=st.integers(1, 9), workers=st.integers(1, 4), steps=STEPS)
@settings(max_examples=150)
def test_whoever_wants_a_permit_gets_it_when_all_is_quiet(limit: int, workers: int, steps: list[tuple[str, int]]) -> None:
    machine = Machine(limit, workers)
    for action, slot in steps:
        step(machine, action, slot)
    machine.locks.is_free = True
    for worker in machine.workers:
        worker.permits.waiters = ()
        while worker.backend.load.active:
            worker.release()
    machine.hear()
    for worker in machine.workers:
        worker.permits.tick()
    # Now one worker alone wants all of them.
    wanting = machine.workers[0]
    wanting.permits.waiters = (1,)
    got = 0
    for _ in range(3 * limit):
        got += wanting.acquire()
        wanting.permits.ask_again()
        machine.hear()
    assert got == limit == machine.held


def test_with_enough_permits_nobody_is_asked() -> None:
    machine = Machine(10, 1)
    worker = machine.workers[0]
    assert worker.acquire()
    machine.locks.is_free = False
    assert [worker.acquire() for _ in range(10)] == [True] * 9 + [False]


def test_several_workers_leave_each_other_some() -> None:
    machine = Machine(80, 4)
    assert machine.workers[0].acquire()
    assert machine.permits == 10


def test_a_worker_that_finds_none_is_given_what_another_does_not_use() -> None:
    machine = Machine(8, 2)
    one, two = machine.workers
    for _ in range(8):
        assert one.acquire()
    for _ in range(5):
        one.release()
    assert machine.permits == 8
    assert not two.acquire()
    machine.hear()
    assert machine.permits == 3
    assert [two.acquire() for _ in range(6)] == [True] * 5 + [False]


def test_who_waits_here_is_woken_when_a_lease_ends_here() -> None:
    machine = Machine(1, 2)
    worker = machine.workers[0]
    assert worker.acquire()
    worker.permits.waiters = (1,)
    assert not worker.acquire()
    worker.release()
    assert worker.woken == 1


def test_who_holds_more_than_its_share_gives_back_before_it_serves_its_own() -> None:
    machine = Machine(4, 2)
    one, two = machine.workers
    for _ in range(4):
        one.acquire()
    for worker in (one, two):
        worker.permits.waiters = (1,)
        assert not worker.acquire()
    machine.hear()
    for _ in range(2):
        one.release()
        assert one.woken == 0
        machine.hear()
        assert [two.acquire(), two.acquire()] == [True, False]  # others wait there still
        machine.hear()
    one.release()
    assert one.woken == 1  # two each: that is its own


def test_a_single_permit_goes_round() -> None:
    machine = Machine(1, 3)
    for worker in machine.workers:
        worker.permits.waiters = (1,)
    assert machine.workers[0].acquire()
    for worker in machine.workers[1:]:
        assert not worker.acquire()
    machine.hear()
    machine.workers[0].release()
    assert machine.workers[0].woken == 0
    assert machine.permits == 0
    machine.hear()
    assert machine.workers[1].acquire()


def test_what_is_not_used_for_a_while_is_given_back_by_itself() -> None:
    machine = Machine(80, 4)
    worker = machine.workers[0]
    worker.acquire()
    worker.release()
    for _ in range(10):
        worker.permits.tick()
    assert machine.permits == 0


def test_nobody_gives_back_what_it_needed_since_the_last_tick() -> None:
    machine = Machine(80, 4)
    worker = machine.workers[0]
    worker.acquire()
    worker.permits.tick()
    assert worker.backend.credit == 10


def test_a_raised_limit_is_there_at_once_and_no_limit_is_none() -> None:
    machine = Machine(1, 1)
    (worker,) = machine.workers
    assert [worker.acquire() for _ in range(2)] == [True, False]
    worker.backend.limit = 2
    assert [worker.acquire() for _ in range(2)] == [True, False]
    worker.backend.limit = 0
    assert [worker.acquire() for _ in range(50)] == [True] * 50
    assert machine.permits == 0
    worker.backend.limit = 2
    assert not worker.acquire()
    for _ in range(51):
        worker.release()
    assert (worker.backend.load.active, machine.permits) == (1, 2)
    assert [worker.acquire() for _ in range(2)] == [True, False]


@pytest.mark.parametrize("workers", [1, 4])
def test_a_worker_that_died_has_no_permits_left(workers: int) -> None:
    machine = Machine(2, workers)
    assert [machine.workers[0].acquire() for _ in range(2)] == [True, True]
    machine.die(0)
    other: Any = machine.workers[-1]
    assert [other.acquire() for _ in range(3)] == [True, True, False]


def test_who_lets_a_backend_go_takes_no_permits_along_and_asks_for_none_any_more() -> None:
    machine = Machine(2, 2)
    one, two = machine.workers
    assert [one.acquire() for _ in range(3)] == [True, True, False]  # it wants another
    two.permits.waiters = (1,)
    assert not two.acquire()
    one.backend.load.active = 0
    one.permits.waiters = (1,)
    machine.rung.clear()
    one.backend.let_go()
    assert (one.backend.permits, one.backend.credit) == (None, UNLIMITED)
    assert machine.rung == {1}
    machine.hear()
    assert [two.acquire() for _ in range(3)] == [True, True, False]
    two.release()
    assert (two.permits.is_pressed, two.woken) == (False, 1)
    assert one.permits.waiters == ()
