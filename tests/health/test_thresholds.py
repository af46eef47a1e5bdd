"""Thresholds as a table: a run of results in, the states it passes through out."""

import pytest

from balance.config.model import HealthCheck
from balance.health.thresholds import State, Thresholds, Transition, first_delay_s

CHECK = HealthCheck(enabled=True, interval_s=10.0, jitter=0.1, healthy_threshold=2, unhealthy_threshold=3)
U, H, X = State.UNKNOWN, State.HEALTHY, State.UNHEALTHY


@pytest.mark.parametrize(
    ("start", "results", "states"),
    [
        (U, "+", [H]),
        (U, "-", [X]),
        (H, "+++", [H, H, H]),
        (H, "---", [H, H, X]),
        (H, "--+--+--", [H] * 8),
        (H, "--+---", [H, H, H, H, H, X]),
        (X, "++", [X, H]),
        (X, "+-+-+-", [X] * 6),
        (X, "+-++", [X, X, X, H]),
        (U, "---", [X, X, X]),
        (U, "-++---", [X, X, H, H, H, X]),
    ],
)
def test_results_in_a_row_lead_from_state_to_state(start: State, results: str, states: list[State]) -> None:
    thresholds = Thresholds(CHECK, start)
    seen = []
    for now, result in enumerate(results):
        thresholds.observe(result == "+", "", float(now))
        seen.append(thresholds.state)
    assert seen == states


def test_only_a_change_is_returned_and_it_says_how_it_came_about() -> None:
    thresholds = Thresholds(CHECK, State.HEALTHY, since=5.0)
    assert [thresholds.observe(False, "connection refused", now) for now in (10.0, 11.0, 12.0, 13.0)] == [
        None,
        None,
        Transition(State.HEALTHY, State.UNHEALTHY, 3, "connection refused"),
        None,
    ]
    assert thresholds.since == 12.0


def test_probes_come_faster_while_a_change_is_in_the_making_and_only_then() -> None:
    thresholds = Thresholds(CHECK, State.HEALTHY)
    assert thresholds.next_delay_s(0.5) == 10.0
    thresholds.observe(False, "", 0.0)
    assert thresholds.next_delay_s(0.5) == 1.0
    thresholds.observe(True, "", 1.0)
    assert thresholds.next_delay_s(0.5) == 10.0


def test_a_short_interval_is_never_lengthened_by_the_fast_one() -> None:
    thresholds = Thresholds(HealthCheck(interval_s=0.2, jitter=0.0, unhealthy_threshold=3), State.HEALTHY)
    thresholds.observe(False, "", 0.0)
    assert thresholds.next_delay_s(0.9) == 0.2


@pytest.mark.parametrize(("rand", "delay_s"), [(0.0, 9.0), (0.5, 10.0), (0.75, 10.5)])
def test_jitter_spreads_to_both_sides_of_the_interval(rand: float, delay_s: float) -> None:
    assert Thresholds(CHECK).next_delay_s(rand) == pytest.approx(delay_s)


def test_first_probes_are_spread_over_at_most_a_second() -> None:
    delays = [first_delay_s(CHECK, index, 4) for index in range(4)]
    assert delays == [0.0, 0.25, 0.5, 0.75]


def test_unhealthy_is_the_only_state_that_gets_no_traffic() -> None:
    assert [state for state in State if not state.is_ready] == [State.UNHEALTHY]
