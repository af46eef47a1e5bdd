"""The sliding window: never more than it says in any window, however it lies, and most of it for who keeps to it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from limiters import Clock, admitted, tables, window


@pytest.mark.parametrize(
    ("most", "window_s", "steps", "expected"),
    [
        (5, 10.0, [(0, 9)], [5]),
        (5, 10.0, [(0, 9), (10.0, 9), (1.0, 9)], [5, 0, 5]),
        (5, 10.0, [(0.0, 2), (5.0, 9), (6.0, 9), (5.0, 9)], [2, 3, 2, 3]),
        (5, 10.0, [(9.9, 9), (0.2, 9), (5, 9)], [5, 0, 0]),  # over the border of two fixed windows
        (1, 3600.0, [(0, 2), (3600, 1), (360, 2)], [1, 0, 1]),
    ],
)
def test_no_more_than_so_many_in_a_window(
    most: int, window_s: float, steps: list[tuple[float, int]], expected: list[int]
) -> None:
    clock = Clock()
    limiter = window(clock, tables(1)[0], most, window_s)
    found = []
    for wait_s, requests in steps:
        clock.now += wait_s
        found.append(admitted(limiter, requests))
    assert found == expected


def test_it_says_what_is_left_and_until_when() -> None:
    clock = Clock()
    limiter = window(clock, tables(1)[0], most=2)
    assert limiter.admit(b"k")
    assert (limiter.remaining, limiter.reset_s) == (1, pytest.approx(11.0))
    clock.now += 3
    assert limiter.admit(b"k")
    assert (limiter.remaining, limiter.reset_s) == (0, pytest.approx(11.0))
    clock.now += 1
    assert not limiter.admit(b"k")
    assert (limiter.remaining, limiter.reset_s, limiter.retry_s) == (0, pytest.approx(10.0), pytest.approx(7.0))
    clock.now += 7
    assert limiter.admit(b"k")


def test_workers_share_one_window() -> None:
    clock = Clock()
    one, two, three = (window(clock, table) for table in tables(3))
    assert [admitted(one, 2), admitted(two, 2), admitted(three, 2), admitted(one, 1)] == [2, 2, 1, 0]
    clock.now += 11
    assert admitted(three, 9) + admitted(one, 9) == 5


@settings(max_examples=150, deadline=None)
@given(
    most=st.integers(1, 8),
    window_s=st.sampled_from([0.3, 1.0, 60.0, 3600.0]),
    steps=st.lists(st.tuples(st.floats(0, 0.7), st.integers(0, 2), st.integers(1, 5)), max_size=40),
)
def test_no_window_has_more(most: int, window_s: float, steps: list[tuple[float, int, int]]) -> None:
    clock = Clock()
    workers = [window(clock, table, most, window_s) for table in SHARED]
    CASES[0] += 1
    key = b"%d" % CASES[0]
    times: list[float] = []
    for wait, worker, requests in steps:
        clock.now += wait * window_s
        times += [clock.now] * admitted(workers[worker], requests, key)
    for first in times:
        assert sum(first <= each < first + window_s for each in times) <= most


@settings(max_examples=50, deadline=None)
@given(st.floats(1.1, 3.0))
def test_who_waits_for_the_window_and_a_tenth_gets_all_of_it(wait: float) -> None:
    clock = Clock()
    CASES[0] += 1
    limiter = window(clock, SHARED[0])
    for _ in range(4):
        assert admitted(limiter, 9, b"%d" % CASES[0]) == 5
        clock.now += 10 * wait + 1e-6


SHARED = tables(3)
CASES = [0]
