"""Sums that lose a part do not fall."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from balance.admin.metrics.unbroken import Unbroken


def test_what_was_shown_of_a_lost_part_stays() -> None:
    sums = Unbroken()
    assert [sums.value("a", counted) for counted in (10, 15, 4, 6, 0, 1)] == [10, 15, 15, 17, 17, 18]
    assert sums.value("b", 3) == 3
    assert sums.values("c", [1, 2]) == [1, 2]
    assert sums.values("c", [0, 5]) == [1, 5]


@given(st.lists(st.integers(0, 1000)))
def test_it_never_falls_and_rises_by_what_is_counted(counts: list[int]) -> None:
    sums = Unbroken()
    shown = [sums.value("a", counted) for counted in counts]
    assert shown == sorted(shown)
    for before, after, one, other in zip(counts, counts[1:], shown, shown[1:], strict=False):
        assert other - one == max(after - before, 0)
