"""Statistics of a simulation."""

from math import isnan

import pytest

from balance.simulation.report import NO_BACKEND, Report


def report() -> Report:
    made = Report(["a", "b"], warm_up_s=1.0)
    made.add(0.5, 0, 9.0, True)  # before it counts
    for number in range(8):
        made.add(1.0 + number, number % 4 // 3, 0.01 * (number + 1), number != 7)
    made.add(9.0, NO_BACKEND, 0.0, False)
    return made


def test_what_came_while_warming_up_is_left_out() -> None:
    assert (report().requests, report().errors) == (9, 2)


def test_shares_are_of_all_requests_and_of_a_time() -> None:
    assert report().shares == {"a": pytest.approx(6 / 9), "b": pytest.approx(2 / 9)}
    assert report().share("b", 4.0, 6.0) == 0.5
    assert report().share("a", 100.0) == 0.0


def test_quantiles_are_of_good_answers() -> None:
    assert report().quantile_s(1.0) == 0.07
    assert report().p50_s == 0.04
    assert report().quantile_s(0.0) == 0.01
    assert isnan(Report(["a"]).p99_s)


def test_text_has_the_figures() -> None:
    assert str(report()) == "9 requests, 2 errors, p50 40.0 ms, p99 70.0 ms, shares 66.67 22.22 %"
