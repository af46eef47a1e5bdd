"""Circuit breaker: transitions, cells, and properties under any order of events."""

import pytest

from balance.config.model import CircuitBreaker
from balance.health.circuit_breaker import (
    CAUSE,
    CELLS,
    CONSECUTIVE_FAILURES,
    MAX_OPEN_S,
    SINCE_US,
    STATE,
    SUCCESSFUL_TRIALS,
    TABLE,
    TOTAL_OPENINGS,
    UNTIL_US,
    Breaker,
    BreakerChange,
    BreakerState,
    Signal,
)  # fmt: skip

CONFIG = CircuitBreaker(enabled=True, failure_threshold=3, success_threshold=2, timeout_s=10.0, half_open_requests=1)
C, O, H = BreakerState.CLOSED, BreakerState.OPEN, BreakerState.HALF_OPEN  # noqa: E741 - as the table is read


def breaker(config: CircuitBreaker = CONFIG) -> tuple[Breaker, list[int]]:
    cells = [0] * CELLS
    return Breaker(config, cells), cells


@pytest.mark.parametrize("phase", BreakerState)
@pytest.mark.parametrize("signal", Signal)
def test_the_table_is_the_whole_machine(phase: BreakerState, signal: Signal) -> None:
    allowed = {(C, Signal.FAILURES): O, (C, Signal.RATE): O, (O, Signal.TIME): H, (O, Signal.LAST_RESORT_PASSED): H,
               (H, Signal.TRIALS_PASSED): C, (H, Signal.TRIAL_FAILED): O}  # fmt: skip
    made, cells = breaker()
    cells[STATE] = phase
    change = made.apply(signal, 1)
    assert TABLE.get((phase, signal)) is allowed.get((phase, signal))
    assert made.state is allowed.get((phase, signal), phase)
    assert (change is None) is ((phase, signal) not in allowed)


def test_it_opens_at_the_threshold_and_not_before() -> None:
    made, cells = breaker()
    seen = []
    for run in (1, 2, 3):
        cells[CONSECUTIVE_FAILURES] = run  # whoever saw the failure counts it
        seen.append(made.on_failure(0, 5_000_000))
    assert seen == [None, None, BreakerChange(C, O, Signal.FAILURES, 10.0)]
    assert cells[UNTIL_US] == 15_000_000
    assert cells[CONSECUTIVE_FAILURES] == 0


@pytest.mark.parametrize(("threshold", "phases"), [(1, [O]), (2, [C, O]), (4, [C, C, C, O])])
def test_it_opens_after_as_many_failures_as_are_said(threshold: int, phases: list[BreakerState]) -> None:
    made, cells = breaker(CircuitBreaker(failure_threshold=threshold))
    seen = []
    for run in range(1, threshold + 1):
        cells[CONSECUTIVE_FAILURES] = run
        made.on_failure(0, 5_000_000)
        seen.append(made.state)
    assert seen == phases


@pytest.mark.parametrize(("threshold", "phases"), [(1, [C]), (3, [H, H, C])])
def test_it_closes_after_as_many_good_trials_as_are_said(threshold: int, phases: list[BreakerState]) -> None:
    made, cells = breaker(CircuitBreaker(success_threshold=threshold))
    cells[STATE] = H
    seen = []
    for _ in range(threshold):
        made.on_success(made.epoch, 1)
        seen.append(made.state)
    assert seen == phases


def test_open_ends_by_time_alone() -> None:
    made, _ = breaker()
    made.apply(Signal.RATE, 0)
    assert made.on_failure(0, 1) is None
    assert made.on_success(made.epoch, 1) is None
    assert [made.is_timeout_over(now_us) for now_us in (9_999_999, 10_000_000)] == [False, True]
    assert made.apply(Signal.TIME, 10_000_000) == BreakerChange(O, H, Signal.TIME)
    assert not made.is_timeout_over(99_000_000)


def test_so_many_good_trials_close_it() -> None:
    made, cells = breaker()
    made.apply(Signal.RATE, 0)
    made.apply(Signal.TIME, 0)
    assert made.on_success(made.epoch, 1) is None
    assert cells[SUCCESSFUL_TRIALS] == 1
    assert made.on_success(made.epoch, 2) == BreakerChange(H, C, Signal.TRIALS_PASSED)


def test_one_bad_trial_opens_it_for_twice_as_long_and_a_close_forgets_that() -> None:
    made, _ = breaker()
    spans = [made.apply(Signal.FAILURES, 0)]
    for _ in range(3):
        made.apply(Signal.TIME, 0)
        spans.append(made.on_failure(made.epoch, 0))
    assert [change.open_s for change in spans if change] == [10.0, 20.0, 40.0, 80.0]
    made.apply(Signal.TIME, 0)
    made.on_success(made.epoch, 0)
    made.on_success(made.epoch, 0)
    change = made.apply(Signal.FAILURES, 0)
    assert change is not None
    assert change.open_s == 10.0


def test_good_trials_before_a_bad_one_do_not_count_towards_the_next_close() -> None:
    made, _ = breaker()
    made.apply(Signal.FAILURES, 0)
    made.apply(Signal.TIME, 0)
    assert made.on_success(made.epoch, 0) is None
    assert made.on_failure(made.epoch, 0) is not None
    made.apply(Signal.TIME, 0)
    assert made.on_success(made.epoch, 0) is None
    assert made.on_success(made.epoch, 0) == BreakerChange(H, C, Signal.TRIALS_PASSED)


def test_where_one_failure_opens_it_one_bad_trial_opens_it_again() -> None:
    made, cells = breaker(CircuitBreaker(enabled=True, failure_threshold=1, timeout_s=10.0))
    made.apply(Signal.FAILURES, 0)
    made.apply(Signal.TIME, 0)
    cells[CONSECUTIVE_FAILURES] = 1  # the trial counts as any failure does
    assert made.on_failure(made.epoch, 0) == BreakerChange(H, O, Signal.TRIAL_FAILED, 20.0)


def test_it_is_known_since_when_and_why_a_phase_lasts() -> None:
    made, cells = breaker()
    for signal, now_us in ((Signal.RATE, 5), (Signal.TIME, 7)):
        made.apply(signal, now_us)
        assert (cells[SINCE_US], cells[CAUSE]) == (now_us, signal)


@pytest.mark.parametrize(("timeout_s", "longest_s"), [(1.0, MAX_OPEN_S), (60.0, MAX_OPEN_S), (3600.0, 3600.0)])
def test_doubling_is_bounded(timeout_s: float, longest_s: float) -> None:
    made, _ = breaker(CircuitBreaker(enabled=True, timeout_s=timeout_s))
    assert made.open_s(1) == timeout_s
    assert made.open_s(1_000_000) == longest_s


def test_what_was_sent_before_says_nothing_about_a_later_half_open() -> None:
    made, cells = breaker()
    made.apply(Signal.FAILURES, 0)
    made.apply(Signal.TIME, 0)
    stale = made.epoch
    made.on_failure(stale, 0)
    made.apply(Signal.TIME, 0)
    assert made.epoch != stale
    assert made.on_failure(stale, 0) is None
    assert made.on_failure(0, 0) is None
    assert made.on_success(stale, 0) is None
    assert (cells[SUCCESSFUL_TRIALS], cells[TOTAL_OPENINGS]) == (0, 2)
    assert made.state is H


def test_every_signal_has_its_words() -> None:
    assert [signal for signal in Signal if not signal.text] == [Signal.NOTHING]
