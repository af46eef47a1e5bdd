from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from balance.cli.bench.histogram import BUCKETS, Histogram, bucket_of, highest_of
from balance.cli.bench.result import PERCENTILES

LATENCIES = st.lists(st.integers(0, 1 << 44), min_size=1, max_size=60)


@settings(max_examples=30)
@given(st.integers(0, 1 << 45))
def test_a_bucket_is_as_narrow_as_a_thousandth(ns: int) -> None:
    bucket = bucket_of(ns)
    assert bucket < BUCKETS
    assert ns <= highest_of(bucket) <= ns * 1.001 + 1


@settings(max_examples=30)
@given(st.integers(0, BUCKETS - 1))
def test_buckets_follow_each_other_without_a_gap(bucket: int) -> None:
    assert bucket_of(highest_of(bucket)) == bucket
    assert bucket_of(highest_of(bucket) + 1) == min(bucket + 1, BUCKETS - 1)


def test_what_took_longer_than_hours_is_in_the_last() -> None:
    assert bucket_of(1 << 60) == BUCKETS - 1


@settings(max_examples=30)
@given(LATENCIES, st.sampled_from([*PERCENTILES, 1.0, 100.0]))
def test_a_percentile_is_a_latency_that_was_measured(values: list[int], percent: float) -> None:
    """fortio#1080 (a guess between the bounds of a bucket), vegeta#41 and #726 (an estimate of the tail)."""
    histogram = Histogram()
    for value in values:
        histogram.record(value)
    exact = sorted(values)[math.ceil(len(values) * percent / 100 - 1e-9) - 1]
    assert exact <= histogram.percentile_ns(percent) <= exact * 1.001 + 1


def test_a_hundred_alike_have_that_at_every_percentile() -> None:
    histogram = Histogram()
    histogram.record(500_000_000, 100)
    found = {histogram.percentile_ns(each) for each in PERCENTILES} | {histogram.max_ns, histogram.min_ns}
    assert len(found) == 1
    assert found.pop() == pytest.approx(5e8, rel=0.001)


@settings(max_examples=30)
@given(LATENCIES, LATENCIES)
def test_histograms_of_two_processes_are_added_up(one: list[int], other: list[int]) -> None:
    """Not their percentiles: the mean of two p99 is the p99 of nothing."""
    parts = []
    for values in (one, other, one + other):
        histogram = Histogram()
        for value in values:
            histogram.record(value)
        parts.append(histogram)
    parts[0].add(parts[1])
    assert parts[0].counts == parts[2].counts


def test_a_list_of_buckets_becomes_one() -> None:
    dense = [0] * BUCKETS
    dense[bucket_of(1_000)] = 3
    assert Histogram.of(dense).total == 3


def test_nothing_has_no_percentile() -> None:
    assert (Histogram().percentile_ns(50), Histogram().mean_ns, Histogram().deviation_ns, Histogram().max_ns) == (0, 0, 0, 0)


def test_mean_and_deviation() -> None:
    histogram = Histogram()
    for value in (100, 300):
        histogram.record(value)
    assert (histogram.mean_ns, histogram.deviation_ns) == (200, 100)
