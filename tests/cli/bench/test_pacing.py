from __future__ import annotations

import os
from time import monotonic_ns

import pytest
from polling import is_readable

from balance.cli.bench.pacing import NEVER, Schedule, timer_fd


def taken(schedule: Schedule) -> list[int]:
    times = []
    while schedule.next_ns != NEVER:
        times.append(schedule.take())
    return times


def test_requests_are_planned_evenly() -> None:
    assert taken(Schedule(1000, 5, 4)) == [5, 1_000_005, 2_000_005, 3_000_005]


def test_no_fraction_is_lost_over_a_long_run() -> None:
    assert taken(Schedule(3, 0, 3001))[-1] == 1_000_000_000_000


def test_many_a_second_are_planned_in_ticks() -> None:
    times = taken(Schedule(20_000, 0, 9))
    assert times == [0, 0, 0, 0, 200_000, 200_000, 200_000, 200_000, 400_000]


@pytest.mark.parametrize(("rate", "tick_ns"), [(1, 10**9), (5000, 200_000), (100_000, 200_000)])
def test_the_timer_is_no_finer_than_is_of_use(rate: float, tick_ns: int) -> None:
    assert Schedule(rate, 0, 1).tick_ns == tick_ns


def test_what_was_planned_and_not_sent_is_told() -> None:
    schedule = Schedule(1000, 0, 100)
    schedule.take()
    assert schedule.overdue(3_000_000) == [1_000_000, 2_000_000, 3_000_000]
    assert schedule.next_ns == 4_000_000


def test_a_timer_is_readable_when_it_is_time_and_again() -> None:
    began = monotonic_ns()
    fd = timer_fd(began + 2_000_000, 1_000_000)
    assert fd is not None
    try:
        assert is_readable(fd, 5)
        assert monotonic_ns() - began >= 2_000_000
        assert len(os.read(fd, 8)) == 8
        assert is_readable(fd, 5)
    finally:
        os.close(fd)
