"""The token bucket: what it admits, what it says, and that it never admits more."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from limiters import START, Clock, admitted, bucket, tables, window

from balance.rate_limiting.sliding_window import SlidingWindow
from balance.rate_limiting.token_bucket import TokenBucket


@pytest.mark.parametrize(
    ("rate", "burst", "steps", "expected"),
    [
        (1.0, 5, [(0, 9)], [5]),
        (1.0, 5, [(0, 9), (0.999, 9), (0.001, 9)], [5, 0, 1]),
        (1.0, 5, [(0, 9), (2, 9), (60, 9)], [5, 2, 5]),
        (1.0, 5, [(0, 2), (1000, 9)], [2, 5]),
        (10.0, 1, [(0, 3), (0.1, 3), (0.05, 3), (0.05, 3)], [1, 1, 0, 1]),
        (0.25, 2, [(0, 3), (3.9, 1), (0.1, 2)], [2, 0, 1]),
        (1000.0, 3, [(0, 9), (0.002, 9)], [3, 2]),
    ],
)
def test_a_burst_is_admitted_and_then_the_rate(
    rate: float, burst: int, steps: list[tuple[float, int]], expected: list[int]
) -> None:
    clock = Clock()
    limiter = bucket(clock, tables(1)[0], rate, burst)
    found = []
    for wait_s, requests in steps:
        clock.now += wait_s
        found.append(admitted(limiter, requests))
    assert found == expected


def test_it_says_what_is_left_and_until_when() -> None:
    clock = Clock()
    limiter = bucket(clock, tables(1)[0], rate=2.0, burst=3)
    said = []
    for _ in range(4):
        is_admitted = limiter.admit(b"k")
        said.append((is_admitted, limiter.remaining, round(limiter.reset_s, 6)))
    assert said == [(True, 2, 0.5), (True, 1, 1.0), (True, 0, 1.5), (False, 0, 1.5)]
    assert limiter.retry_s == pytest.approx(0.5)
    clock.now += limiter.retry_s
    assert limiter.admit(b"k")


@pytest.mark.parametrize("make", [bucket, window])
def test_a_refused_request_leaves_nothing_behind(make: Callable[..., TokenBucket | SlidingWindow]) -> None:
    """A flood on one key makes nothing grow, and does not put off its own end."""
    clock, table = Clock(), tables(1)[0]
    limiter = make(clock, table)
    assert admitted(limiter, 9) == 5
    before, kept = sha256(table.numbers).digest(), len(limiter._slots.young)
    clock.now += 0.5
    assert admitted(limiter, 2000) == 0
    assert (sha256(table.numbers).digest(), len(limiter._slots.young)) == (before, kept)


def test_keys_and_limits_do_not_share() -> None:
    clock, table = Clock(), tables(1)[0]
    one, other = bucket(clock, table), bucket(clock, table, name="other")
    assert [admitted(one, 9), admitted(one, 9, b"j"), admitted(other, 9)] == [5, 5, 5]


def test_a_limit_that_is_built_again_goes_on_and_one_with_other_numbers_begins_anew() -> None:
    clock, table = Clock(), tables(1)[0]
    assert admitted(bucket(clock, table), 4) == 4
    assert admitted(bucket(clock, table), 4) == 1
    assert admitted(bucket(clock, table, burst=6), 9) == 6


def test_workers_share_one_bucket_and_a_dead_ones_requests_stay_counted() -> None:
    clock = Clock()
    one, two, three = (bucket(clock, table) for table in tables(3))
    assert [admitted(one, 2), admitted(two, 2), admitted(three, 2), admitted(one, 1)] == [2, 2, 1, 0]
    clock.now += 2
    assert [admitted(two, 1), admitted(three, 9)] == [1, 1]
    clock.now += 100
    assert admitted(three, 9) + admitted(one, 9) == 5


@settings(max_examples=150, deadline=None)
@given(
    rate=st.sampled_from([0.01, 0.5, 1.0, 3.0, 7.0, 1000.0]),
    burst=st.integers(1, 8),
    steps=st.lists(st.tuples(st.floats(0, 6), st.integers(0, 2), st.integers(1, 4)), max_size=40),
)
def test_no_span_of_time_has_more_than_the_burst_and_the_rate(
    rate: float, burst: int, steps: list[tuple[float, int, int]]
) -> None:
    clock = Clock()
    workers = [bucket(clock, table, rate, burst) for table in SHARED]
    CASES[0] += 1
    key = b"%d" % CASES[0]
    times: list[float] = []
    for wait, worker, requests in steps:
        clock.now += wait / rate
        times += [clock.now] * admitted(workers[worker], requests, key)
    for index, first in enumerate(times):
        for more, last in enumerate(times[index:], 1):
            assert more <= burst + rate * (last - first) + 0.001


@given(st.lists(st.floats(0, 3), min_size=1, max_size=30))
@settings(max_examples=100, deadline=None)
def test_who_keeps_to_the_rate_is_never_refused(waits: list[float]) -> None:
    clock = Clock()
    CASES[0] += 1
    key = b"%d" % CASES[0]
    workers = [bucket(clock, table, rate=0.5, burst=1) for table in SHARED]
    for number, wait in enumerate(waits):
        clock.now += 2.0 + wait
        assert workers[number % 3].admit(key)


SHARED = tables(3)
CASES = [0]
assert START > 0
