"""A pool's load from counters that only grow."""

from __future__ import annotations

import pytest

from balance.autoscaling.load_meter import Counters, Load, LoadMeter


def test_nothing_is_known_before_two_looks() -> None:
    """S40: the first interval after a start has no number, and is not 0."""
    meter = LoadMeter(10.0)
    assert meter.take(0.0) is None
    meter.look({1: Counters(1000, 1000, 0, 0)}, 1.0)
    assert meter.take(2.0) is None
    meter.look({1: Counters(1010, 1000, 0, 0)}, 11.0)
    assert meter.take(12.0) == Load(10.0, 0.0, 0.0, 0.0)


def test_it_is_for_one_interval_however_late_the_look_comes() -> None:
    meter = LoadMeter(10.0)
    meter.look({1: Counters(0, 0, 0, 0)}, 0.0)
    meter.look({1: Counters(40, 20, 60_000, 3)}, 20.0)
    assert meter.take(20.0) == Load(20.0, 3.0, 10.0, 30.0)
    meter.look({1: Counters(80, 20, 60_000, 3)}, 100.0)
    assert meter.take(100.0) is None  # this process was stopped: what is the mean of a minute and a half?


def test_backends_that_come_and_go_are_no_jump() -> None:
    meter = LoadMeter(10.0)
    meter.look({1: Counters(500, 0, 0, 0)}, 0.0)
    meter.look({1: Counters(510, 0, 0, 0), 2: Counters(900, 0, 0, 0)}, 5.0)
    meter.look({2: Counters(907, 0, 0, 0), 3: Counters(1, 0, 0, 0)}, 8.0)
    meter.look({2: Counters(2, 0, 0, 0)}, 10.0)  # the slot was given to another backend
    load = meter.take(10.0)
    assert load is not None and load.begun == 10 + 7 + 2


def test_under_way_is_a_mean_with_those_that_wait() -> None:
    meter = LoadMeter(3.0)
    for now, active, waiting in ((0, 0, 0), (1, 4, 2), (2, 2, 0), (3, 1, 0)):
        meter.look({1: Counters(0, 0, 0, active, waiting)}, float(now))
    load = meter.take(3.0)
    assert load is not None and load.value("active") == pytest.approx(3.0)


@pytest.mark.parametrize(
    ("load", "value"),
    [
        (Load(10, 1, 10, 250), 25.0),
        (Load(0, 0, 0, 0), 0.0),  # nobody asks
        (Load(10, 10, 0, 0), None),  # its backends hang: the worst of all, not the best
    ],
)
def test_latency_of_nothing_is_none_while_requests_hang(load: Load, value: float | None) -> None:
    assert load.value("latency") == value


def test_loads_of_several_balancers_add_up() -> None:
    assert (Load(1, 2, 3, 30) + Load(1, 0, 1, 50)).value("latency") == 20.0
