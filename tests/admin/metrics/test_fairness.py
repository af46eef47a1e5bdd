"""Jain's index, and the requests of about the last minute."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balance.admin.metrics.fairness import STEP_S, WINDOW_S, RecentRequests, jain


@pytest.mark.parametrize(
    ("shares", "index"),
    [([], 1), ([0, 0], 1), ([5], 1), ([3, 3, 3], 1), ([9, 0, 0], 1 / 3), ([1, 2], 0.9), ([4, 0, 4, 0], 0.5)],
)
def test_the_index(shares: list[float], index: float) -> None:
    assert jain(shares) == pytest.approx(index)


@given(st.lists(st.integers(0, 10**9), min_size=1))
def test_it_is_between_one_nth_and_one(shares: list[int]) -> None:
    assert 1 / len(shares) - 1e-9 <= jain(shares) <= 1 + 1e-9


def test_what_is_counted_is_of_the_last_minute_however_often_it_is_asked() -> None:
    recent = RecentRequests()
    assert recent.since_then(0.0, [5, 7]) == [5, 7]
    for second in range(1, 1000):
        found = recent.since_then(float(second), [5 + second, 7])
        assert found[1] == 0
        assert min(second, WINDOW_S) <= found[0] <= WINDOW_S + STEP_S
    assert len(recent._past) <= WINDOW_S / STEP_S + 2


def test_backends_that_join_and_slots_that_begin_anew_are_whole() -> None:
    recent = RecentRequests()
    recent.since_then(0.0, [100, 50])
    assert recent.since_then(10.0, [110, 3, 4]) == [10, 3, 4]
