"""Workers that share numbers: failures in a row are counted over all of them, and so are the trials of a half-open breaker."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from balance.config.model import CircuitBreaker, PassiveChecks
from balance.health.circuit_breaker import CELLS, CONSECUTIVE_FAILURES, PEAK_FAILURES, BreakerChange, BreakerState
from balance.model import Outcome
from balance.runtime import counters
from balance.runtime.health_gate import NO_TRIAL, UNNAMED_TRIAL, HealthGate, NoLocks, Shared

CONFIG = CircuitBreaker(enabled=True, failure_threshold=5, success_threshold=2, timeout_s=10.0, half_open_requests=1)
NO_BREAKER = CircuitBreaker()


class Group:
    """So many workers with one backend, in slot 1."""

    def __init__(self, workers: int, config: CircuitBreaker = CONFIG) -> None:
        self.rows = [memoryview(bytearray(8 * counters.row_cells(2))).cast("Q") for _ in range(workers)]
        self.evidence = [0] * CELLS
        self.changes: list[BreakerState] = []
        self.bells = 0
        shared = Shared(self.rows, lambda slot: self.evidence, NoLocks(), self.changed, self.rung)
        self.gates = [HealthGate(config, 1, row, shared) for row in self.rows]

    def changed(self, slot: int, change: BreakerChange) -> None:
        assert slot == 1
        self.changes.append(change.after)

    def rung(self) -> None:
        self.bells += 1

    def cell(self, cell: int) -> int:
        return sum(row[counters.block(1) + cell] for row in self.rows)

    def fail(self, worker: int, now: float = 0.0, lease: object = None) -> None:
        self.gates[worker].ended(lease, Outcome.FAILED, 0, now)


def open_group(workers: int = 4, config: CircuitBreaker = CONFIG) -> Group:
    group = Group(workers, config)
    for failure in range(config.failure_threshold):
        group.fail(failure % workers)
    assert group.changes == [BreakerState.OPEN]
    return group


def test_one_failure_in_each_of_five_workers_opens_the_breaker() -> None:
    group = Group(5)
    for worker in range(4):
        group.fail(worker)
    assert group.changes == []
    group.fail(4)
    assert group.changes == [BreakerState.OPEN]


def test_a_success_in_any_worker_ends_the_run_of_all() -> None:
    group = Group(2)
    for _ in range(4):
        group.fail(0)
    group.gates[1].ended(object(), Outcome.OK, 0, 0.0)
    group.fail(0)
    assert (group.evidence[CONSECUTIVE_FAILURES], group.evidence[PEAK_FAILURES], group.changes) == (1, 4, [])


@pytest.mark.parametrize(
    ("outcome", "end", "blamed"),
    [
        (Outcome.OK, 500, 0),
        (Outcome.OK, 503, 1),
        (Outcome.FAILED, 0, 1),
        (Outcome.ABORTED, 0, 0),
        (Outcome.ABORTED, 503, 0),
    ],
)
def test_what_is_blamed_on_the_backend(outcome: Outcome, end: int, blamed: int) -> None:
    group = Group(1)
    group.gates[0].ended(object(), outcome, end, 0.0)
    assert (group.cell(counters.BLAMED), group.evidence[CONSECUTIVE_FAILURES], group.bells) == (blamed, blamed, blamed)


def test_a_lease_that_lasts_is_evidence_when_its_answer_begins_and_only_once() -> None:
    group = Group(1)
    gate, lease = group.gates[0], object()
    group.fail(0)
    gate.answered(lease, 0, 0.0)
    gate.answered(lease, 0, 0.0)
    assert group.evidence[CONSECUTIVE_FAILURES] == 0
    group.fail(0)
    gate.ended(lease, Outcome.OK, 0, 9.0)
    assert group.evidence[CONSECUTIVE_FAILURES] == 1
    assert gate.special == {}


def test_a_lease_that_breaks_after_its_answer_is_a_failure_too() -> None:
    group = Group(1)
    lease = object()
    group.gates[0].answered(lease, 0, 0.0)
    group.fail(0, lease=lease)
    assert group.cell(counters.BLAMED) == 1


def test_nobody_is_admitted_before_the_time_is_over_and_then_one_at_a_time_over_all_workers() -> None:
    group = open_group()
    assert [gate.admit(False, 9.9) for gate in group.gates] == [None] * 4
    trials = [gate.admit(False, 10.0) for gate in group.gates]
    assert trials[1:] == [None] * 3
    assert trials[0]
    assert group.changes == [BreakerState.OPEN, BreakerState.HALF_OPEN]


def test_a_trial_that_ends_makes_room_for_the_next_until_the_breaker_is_closed() -> None:
    group = open_group()
    for worker in (2, 3):
        gate, lease = group.gates[worker], object()
        trial = gate.admit(False, 10.0)
        assert trial
        gate.begin_trial(lease, trial)
        gate.ended(lease, Outcome.OK, 0, 10.1)
    assert group.changes == [BreakerState.OPEN, BreakerState.HALF_OPEN, BreakerState.CLOSED]
    assert group.cell(counters.TRIALS) == 0
    assert group.gates[0].admit(False, 10.2) == NO_TRIAL


def test_a_trial_that_the_client_breaks_off_decides_nothing_and_makes_room() -> None:
    group = open_group()
    gate, lease = group.gates[0], object()
    trial = gate.admit(False, 10.0)
    assert trial
    gate.begin_trial(lease, trial)
    gate.ended(lease, Outcome.ABORTED, 0, 10.1)
    assert group.changes == [BreakerState.OPEN, BreakerState.HALF_OPEN]
    assert group.gates[1].admit(False, 10.2)


def test_another_configuration_of_the_breaker_holds_at_once_and_what_was_counted_stands() -> None:
    group = Group(1)
    (gate,) = group.gates
    group.fail(0)
    gate.configure(CircuitBreaker(enabled=True, failure_threshold=2, timeout_s=10.0, half_open_requests=2), PassiveChecks())
    group.fail(0)
    assert group.changes == [BreakerState.OPEN]
    assert [bool(gate.admit(False, 10.0)) for _ in range(3)] == [True, True, False]
    gate.configure(NO_BREAKER, PassiveChecks())
    assert gate.breaker is None


def test_the_trial_of_a_dead_worker_is_given_back_with_its_row() -> None:
    group = open_group()
    assert group.gates[0].admit(False, 10.0)
    assert group.gates[1].admit(False, 10.0) is None
    group.rows[0][counters.block(1) + counters.TRIALS] = 0  # as the supervisor zeroes gauges
    assert group.gates[1].admit(False, 10.0)


def test_an_ejected_backend_is_tried_by_one_request_even_without_a_breaker() -> None:
    group = Group(3, NO_BREAKER)
    assert [gate.admit(True, 0.0) for gate in group.gates] == [UNNAMED_TRIAL, None, None]
    lease = object()
    group.gates[0].begin_trial(lease, UNNAMED_TRIAL)
    group.gates[0].ended(lease, Outcome.OK, 0, 1.0)
    assert (group.cell(counters.TRIALS_PASSED), group.cell(counters.TRIALS)) == (1, 0)


def test_without_the_lock_nobody_is_admitted_and_nothing_breaks() -> None:
    class Held:
        def take(self, slot: int) -> bool:
            return False

        def leave(self, slot: int) -> None:
            raise AssertionError

    row = memoryview(bytearray(8 * counters.row_cells(2))).cast("Q")
    gate = HealthGate(CONFIG, 1, row, Shared((row,), lambda slot: [0] * CELLS, Held()))
    gate.ended(object(), Outcome.FAILED, 0, 0.0)
    assert gate.admit(True, 0.0) is None


class HalfOpen(RuleBasedStateMachine):
    """Any interleaving of four workers that ask, succeed, fail and give up, while time goes on."""

    ALLOWANCE = 3

    def __init__(self) -> None:
        super().__init__()
        self.group = Group(
            4, CircuitBreaker(enabled=True, failure_threshold=3, timeout_s=5.0, half_open_requests=self.ALLOWANCE)
        )
        self.trials: list[tuple[int, object]] = []
        self.now = 0.0

    @rule(seconds=st.floats(0, 20))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(worker=st.integers(0, 3))
    def somebody_asks(self, worker: int) -> None:
        trial = self.group.gates[worker].admit(False, self.now)
        if trial:
            lease = object()
            self.group.gates[worker].begin_trial(lease, trial)
            self.trials.append((worker, lease))

    @rule(which=st.integers(0, 9), outcome=st.sampled_from(Outcome))
    def a_trial_ends(self, which: int, outcome: Outcome) -> None:
        if self.trials:
            worker, lease = self.trials.pop(which % len(self.trials))
            self.group.gates[worker].ended(lease, outcome, 0, self.now)

    @rule(worker=st.integers(0, 3), outcome=st.sampled_from(Outcome))
    def something_older_ends(self, worker: int, outcome: Outcome) -> None:
        self.group.gates[worker].ended(object(), outcome, 0, self.now)

    @rule(worker=st.integers(0, 3))
    def a_worker_dies(self, worker: int) -> None:
        self.group.rows[worker][counters.block(1) + counters.TRIALS] = 0
        self.group.gates[worker].special.clear()
        self.trials = [(other, lease) for other, lease in self.trials if other != worker]

    @invariant()
    def never_more_than_the_allowance(self) -> None:
        assert len(self.trials) <= self.ALLOWANCE
        assert self.group.cell(counters.TRIALS) == len(self.trials)


TestHalfOpenInAnyOrder = HalfOpen.TestCase
TestHalfOpenInAnyOrder.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
