"""Slow start: the growth of the share, and the fraction of admitted requests."""

import pytest

from balance.health.slow_start import SlowStart


@pytest.mark.parametrize(
    ("now", "share"), [(100.0, 0.1), (101.0, 0.1), (103.0, 0.1), (115.0, 0.5), (129.0, 29 / 30), (131.0, 1.0)]
)
def test_the_share_grows_from_a_tenth_in_a_straight_line(now: float, share: float) -> None:
    assert SlowStart(30.0, 100.0).fraction(now) == pytest.approx(share)


@pytest.mark.parametrize(("at_s", "admitted"), [(0.0, 10), (15.0, 50), (30.0, 100)])
def test_of_a_hundred_requests_the_share_gets_through_evenly_spaced(at_s: float, admitted: int) -> None:
    slow_start = SlowStart(30.0, 0.0)
    passed = [slow_start.admits(at_s) for _ in range(100)]
    assert sum(passed) == pytest.approx(admitted, abs=1)
    longest = max(len(run) for run in "".join("x" if each else " " for each in passed).split("x"))
    assert longest <= 100 // admitted


def test_it_is_over_at_the_end_of_its_window() -> None:
    slow_start = SlowStart(30.0, 100.0)
    assert [slow_start.is_over(now) for now in (100.0, 129.9, 130.0)] == [False, False, True]
