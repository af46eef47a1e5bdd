"""The load of a backend as policies read it."""

from math import e, exp

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balance.load import DECAY_S, DEFAULT_LATENCY_S, ELSEWHERE_SAMPLES, FAILURE_RATE_SAMPLES, MIN_DEBT, PENALTY, Load


def answered(latency_s: float, *, times: int = 1, start: float = 0.0, gap_s: float = 0.1, is_good: bool = True) -> Load:
    load = Load()
    for number in range(times):
        load.record_latency(latency_s, is_good, start + gap_s * number)
    return load


# --- latency: peak EWMA ------------------------------------------------------------------------------


def test_rise_is_believed_at_once() -> None:
    load = answered(0.02, times=10)
    load.record_latency(0.2, True, 1.0)
    assert load.expected_cost_s(1.0) == 0.2


def test_fall_is_believed_with_time() -> None:
    load = answered(0.2)
    load.record_latency(0.02, True, DECAY_S)
    assert load.expected_cost_s(DECAY_S) == pytest.approx(0.2 / e + 0.02 * (1 - 1 / e))


def test_look_is_an_observation_of_nothing() -> None:
    load = answered(0.2)
    assert load.expected_cost_s(DECAY_S) == pytest.approx(0.2 / e)
    assert load.expected_cost_s(2 * DECAY_S) == pytest.approx(0.2 / e**2)


@given(st.lists(st.floats(0, 30), max_size=8))
def test_it_makes_no_difference_how_often_one_looks(times: list[float]) -> None:
    load = answered(0.2)
    for time in sorted(times):
        load.expected_cost_s(time)
    assert load.expected_cost_s(30.0) == pytest.approx(0.2 * exp(-30 / DECAY_S))


@pytest.mark.parametrize(("active", "factor"), [(0, 1), (1, 2), (9, 10)])
def test_what_is_in_flight_waits_ahead(active: int, factor: int) -> None:
    load = answered(0.02)
    load.active = active
    assert load.expected_cost_s(0.0) == pytest.approx(0.02 * factor)


def test_unknown_backend_is_tried_at_once_and_then_counts_as_slow_until_it_answers() -> None:
    load = Load()
    assert load.expected_cost_s(5.0) == 0.0
    load.active = 1
    assert load.expected_cost_s(5.0) == 2 * DEFAULT_LATENCY_S
    load.record_latency(0.01, True, 5.01)
    assert load.expected_cost_s(5.01) == pytest.approx(0.02)


def test_backend_that_was_slow_long_ago_is_tried_by_one_request() -> None:
    load = answered(0.5)
    assert load.expected_cost_s(60.0) < 0.01
    load.active = 1
    assert load.expected_cost_s(60.0) == 2 * DEFAULT_LATENCY_S


def test_clock_that_steps_back_changes_nothing() -> None:
    load = answered(0.2, start=10.0)
    assert load.expected_cost_s(9.0) == 0.2
    load.record_latency(0.02, False, 9.0)
    assert 0.0 < load.failure_rate(8.0) <= 1.0


# --- other workers ------------------------------------------------------------------------------------


def test_what_others_hold_is_the_mean_of_many_looks() -> None:
    load = Load()
    for number in range(200):
        load.sample_elsewhere(10 * (number % 2))
    assert load.active_elsewhere == pytest.approx(5, abs=0.5)


def test_what_others_hold_for_seconds_is_believed() -> None:
    load = Load()
    for _ in range(3 * ELSEWHERE_SAMPLES):
        load.sample_elsewhere(40)
    assert load.active_elsewhere > 35


# --- failures ----------------------------------------------------------------------------------------


def test_failure_costs_what_many_usual_answers_cost_however_fast_it_came() -> None:
    load = answered(0.02, times=5)
    load.record_latency(0.001, False, 0.5)
    assert load.expected_cost_s(0.5) == pytest.approx(PENALTY * 0.02, rel=0.01)


def test_penalty_is_nothing_unusual_after_three_decay_times() -> None:
    load = answered(0.02, times=5)
    load.record_latency(0.001, False, 0.5)
    assert load.expected_cost_s(0.5 + 3 * DECAY_S) <= 0.02


def test_penalty_does_not_feed_on_itself() -> None:
    load = answered(0.02, times=5)
    for number in range(50):
        load.record_latency(0.001, False, 0.5 + number / 100)
    load.debt = 0.0
    assert load.expected_cost_s(1.0) <= PENALTY * 0.02


def test_failure_of_one_that_never_answered_counts_as_slow() -> None:
    load = answered(0.001, is_good=False)
    load.debt = 0.0
    assert load.expected_cost_s(0.0) == DEFAULT_LATENCY_S


def test_failure_that_took_long_counts_for_what_it_took() -> None:
    load = answered(0.02, times=5)
    load.record_latency(30.0, False, 30.0)
    load.debt = 0.0
    assert load.expected_cost_s(30.0) == 30.0


def test_share_that_failed_is_of_the_recent_answers() -> None:
    load = Load()
    for number in range(2000):
        load.record_outcome(number % 4 != 0, number / 1000)
    assert load.failure_rate(2.0) == pytest.approx(0.25, abs=0.15)


def test_stray_failure_leaves_next_to_nothing() -> None:
    load = Load()
    for number in range(1000):
        load.record_outcome(number != 900, number / 100)
    assert load.current_debt(9.99) == 0.0
    assert load.failure_rate(9.99) < 0.01


def test_each_failure_of_one_that_only_fails_leaves_a_lease_behind() -> None:
    load = Load()
    for number in range(1000):
        load.record_outcome(False, 100 + number / 1e6)
    assert 1000 - FAILURE_RATE_SAMPLES <= load.current_debt(100.001) <= 1000


def test_debt_melts_and_what_is_left_of_a_lease_counts_for_nothing() -> None:
    load = Load()
    load.record_outcome(False, 100.0)
    assert load.current_debt(100.0) == pytest.approx(1.0, abs=0.001)
    assert load.current_debt(105.0) == pytest.approx(exp(-0.5), abs=0.001)
    assert exp(-0.5) > MIN_DEBT > exp(-0.7)
    assert load.current_debt(107.0) == 0.0
    load.current_debt(150.0)
    assert load.debt == 0.0


def test_failures_that_each_leave_little_add_up_however_often_one_looks() -> None:
    load = Load()
    load.record_outcome(True, 0.0)
    for number in range(40):
        load.record_outcome(False, number / 1000)
        load.current_debt(number / 1000)
    assert load.current_debt(0.04) > 5


def test_good_answers_end_the_failing() -> None:
    load = answered(0.01, times=20, is_good=False)
    for number in range(500):
        load.record_latency(0.01, True, 2.0 + number / 100)
    assert load.failure_rate(7.0) < 0.01
