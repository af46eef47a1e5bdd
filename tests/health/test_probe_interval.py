"""Delays between health checks."""

import pytest

from balance.config.model import HealthCheck
from balance.health.backend_status import BackendStatus
from balance.health.probe_interval import first_delay_s, next_delay_s
from balance.health.states import Event, State

CHECK = HealthCheck(enabled=True, interval_s=10.0, jitter=0.1, healthy_threshold=2, unhealthy_threshold=3)


def after(state: State, *events: Event, check: HealthCheck = CHECK, is_explicit: bool = False) -> float:
    standing = BackendStatus(check, state)
    for event in events:
        standing.apply(event, "", 0.0, is_explicit=is_explicit)
    return next_delay_s(check, standing, 0.5)


def test_probes_come_faster_while_a_change_is_in_the_making_and_only_then() -> None:
    assert after(State.HEALTHY) == 10.0
    assert after(State.HEALTHY, Event.FAIL) == 1.0
    assert after(State.HEALTHY, Event.FAIL, Event.PASS) == 10.0
    assert after(State.UNHEALTHY, Event.PASS) == 1.0


def test_a_plain_no_is_asked_about_again_sooner_than_silence_and_counts_the_same() -> None:
    assert after(State.HEALTHY, Event.FAIL, is_explicit=True) == 0.25
    standing = BackendStatus(CHECK, State.HEALTHY)
    for _ in range(2):
        standing.apply(Event.FAIL, "status 500, expected 200", 0.0, is_explicit=True)
    assert standing.state is State.HEALTHY


@pytest.mark.parametrize(("interval_s", "delay_s"), [(1.0, 3.0), (5.0, 15.0), (10.0, 15.0), (60.0, 60.0)])
def test_probes_come_slower_while_a_backend_stays_down(interval_s: float, delay_s: float) -> None:
    check = HealthCheck(interval_s=interval_s)
    assert after(State.UNHEALTHY, check=check) == delay_s


def test_a_short_interval_is_never_lengthened_by_the_fast_one() -> None:
    check = HealthCheck(interval_s=0.2, jitter=0.0, unhealthy_threshold=3)
    assert after(State.HEALTHY, Event.FAIL, check=check) == 0.2


@pytest.mark.parametrize(("rand", "delay_s"), [(0.0, 9.0), (0.5, 10.0), (0.75, 10.5)])
def test_jitter_spreads_to_both_sides_of_the_interval(rand: float, delay_s: float) -> None:
    assert next_delay_s(CHECK, BackendStatus(CHECK), rand) == pytest.approx(delay_s)


@pytest.mark.parametrize(("rand", "delay_s"), [(0.0, 5.0), (0.5, 10.0), (0.75, 12.5)])
def test_jitter_is_as_far_as_is_said(rand: float, delay_s: float) -> None:
    check = HealthCheck(interval_s=10.0, jitter=0.5)
    assert next_delay_s(check, BackendStatus(check), rand) == pytest.approx(delay_s)


def test_first_probes_are_spread_over_at_most_a_second() -> None:
    assert [first_delay_s(CHECK, index, 4) for index in range(4)] == [0.0, 0.25, 0.5, 0.75]


def test_in_an_outage_checks_come_often_whatever_the_interval_and_not_too_many_over_the_pool() -> None:
    check = HealthCheck(enabled=True, jitter=0.0, interval_s=10.0)
    down = BackendStatus(check, State.UNHEALTHY)
    assert next_delay_s(check, down, 0.5) == 15.0
    assert next_delay_s(check, down, 0.5, 3) == 1.0
    assert next_delay_s(check, down, 0.5, 3, is_explicit=True) == 0.25
    assert next_delay_s(check, down, 0.5, 100, is_explicit=True) == 2.5  # 40 a second
    assert next_delay_s(check, down, 0.5, 10_000, is_explicit=True) == 10.0
    assert next_delay_s(check, BackendStatus(check, State.MAINTENANCE), 0.5, 3) == 15.0
