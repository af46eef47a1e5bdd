"""Outlier detection: when a backend is ejected, and the limits on ejections."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balance.config.model import HealthCheck, PassiveChecks
from balance.health.backend_status import BackendStatus
from balance.health.outlier_detection import (
    MAX_EJECTION_S,
    ejection_reason,
    ejection_s,
    max_ejections,
    may_eject,
    remaining_ejections,
)
from balance.health.states import Event, State
from balance.health.window import Volume

CHECKS = PassiveChecks(enabled=True)
H, X, E, R, D = State.HEALTHY, State.UNHEALTHY, State.EJECTED, State.RETURNING, State.DRAINING


@pytest.mark.parametrize(
    ("run", "volume", "reason"),
    [
        (4, Volume(4, 4), ""),
        (5, Volume(5, 5), "5 failures in a row"),
        (0, Volume(9, 9), ""),
        (1, Volume(10, 5), "5 of 10 requests failed within 60s"),
        (1, Volume(10, 4), ""),
        (1, Volume(100_000, 49_999), ""),
        (0, Volume(10, 0), ""),
        (0, Volume(0, 0), ""),
    ],
)
def test_what_makes_an_outlier(run: int, volume: Volume, reason: str) -> None:
    assert ejection_reason(CHECKS, run, volume) == reason


@pytest.mark.parametrize(
    ("checks", "run", "volume", "reason"),
    [
        (PassiveChecks(consecutive_failures=2), 2, Volume(2, 2), "2 failures in a row"),
        (PassiveChecks(error_rate_threshold=0.9), 1, Volume(20, 17), ""),
        (PassiveChecks(error_rate_threshold=0.1), 1, Volume(20, 2), "2 of 20 requests failed within 60s"),
        (PassiveChecks(min_requests=50), 1, Volume(49, 30), ""),
        (PassiveChecks(min_requests=3), 1, Volume(3, 2), "2 of 3 requests failed within 60s"),
    ],
)
def test_what_makes_an_outlier_is_as_configured(checks: PassiveChecks, run: int, volume: Volume, reason: str) -> None:
    assert ejection_reason(checks, run, volume) == reason


def test_without_a_failure_nobody_is_an_outlier_whatever_the_threshold() -> None:
    assert ejection_reason(PassiveChecks(enabled=True, error_rate_threshold=0.0), 0, Volume(100, 0)) == ""


@pytest.mark.parametrize(
    ("states", "may"),
    [
        ([H], False),
        ([H, H], True),
        ([H, E], False),
        ([H, H, E], False),
        ([H, H, H, E], True),
        ([H, H, H, R], True),
        ([H, H, E, R], False),
        ([H, X, X, X], False),
        ([H, D], False),
    ],
)
def test_never_more_than_the_percentage_nor_the_last_that_is_ready(states: list[State], may: bool) -> None:
    assert may_eject(CHECKS, states) is may


@pytest.mark.parametrize(
    ("count", "percent", "allowed"), [(5, 10, 0), (10, 10, 1), (3, 50, 1), (2, 50, 1), (3, 100, 3), (7, 0, 0)]
)
def test_the_percentage_is_rounded_down(count: int, percent: int, allowed: int) -> None:
    assert max_ejections(PassiveChecks(enabled=True, max_ejection_percent=percent), count) == allowed


@pytest.mark.parametrize(("times", "seconds"), [(1, 10.0), (2, 20.0), (9, 90.0), (31, MAX_EJECTION_S), (1000, MAX_EJECTION_S)])
def test_an_ejection_grows_with_repetition_up_to_a_bound(times: int, seconds: float) -> None:
    assert ejection_s(CHECKS, times) == seconds


def test_a_long_ejection_time_is_never_shortened_by_the_bound() -> None:
    assert ejection_s(PassiveChecks(ejection_time_s=3600.0), 3) == 3600.0


@pytest.mark.parametrize(("well_s", "times"), [(0.0, 4), (9.0, 4), (10.0, 3), (35.0, 1), (1e6, 0)])
def test_ejections_are_forgotten_one_by_one(well_s: float, times: int) -> None:
    assert remaining_ejections(CHECKS, 4, well_s) == times


@given(
    count=st.integers(1, 12),
    percent=st.integers(0, 100),
    events=st.lists(st.tuples(st.integers(0, 11), st.sampled_from(Event)), max_size=60),
)
def test_under_any_events_never_more_than_the_percentage_is_ejected(
    count: int, percent: int, events: list[tuple[int, Event]]
) -> None:
    checks = PassiveChecks(enabled=True, max_ejection_percent=percent)
    standings = [BackendStatus(HealthCheck()) for _ in range(count)]
    for index, event in events:
        standing = standings[index % count]
        states = [each.state for each in standings]
        if event is Event.EJECT and not may_eject(checks, states):
            continue
        standing.apply(event, "", 0.0)
        ejected = sum(each.state in (State.EJECTED, State.RETURNING) for each in standings)
        assert ejected * 100 <= percent * count
        if event is Event.EJECT:
            assert any(each.state.is_ready for each in standings)
