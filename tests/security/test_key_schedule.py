"""When keys are fetched again."""

from __future__ import annotations

import pytest

from balance.security.key_schedule import life_s, refresh_after_s, retry_after_s


@pytest.mark.parametrize(
    ("cache_control", "age", "life"),
    [
        ("", "", 600.0), ("max-age=120", "", 120.0), ("public, MAX-AGE = 120", "20", 100.0), ('max-age="120"', "", 120.0),
        ("max-age=5", "", 30.0), ("max-age=0", "", 30.0), ("no-store", "", 30.0), ("no-cache, max-age=99", "", 30.0),
        ("max-age=86400", "", 600.0), ("max-age=120", "9999", 30.0), ("max-age=120, s-maxage=60", "", 60.0),
        ("max-age=-5", "", 600.0), ("max-age=1e9", "", 600.0), ("max-age=99999999999999999999", "", 600.0),
        ("max-age=x", "", 600.0),
        ("max-age=120", "-5", 120.0), ("max-age=120", "²", 120.0), ("xmax-age=40", "", 600.0), ("max-age", "", 600.0),
    ],
    ids=range(19),
)  # fmt: skip
def test_a_reply_lives_as_long_as_it_says_within_bounds(cache_control: str, age: str, life: float) -> None:
    assert life_s(cache_control, age, 600.0) == life
    assert life_s(cache_control, age, 0.5) == 0.5


def test_it_is_fetched_before_it_ends() -> None:
    assert [refresh_after_s(100.0, rand) for rand in (0.0, 0.5)] == [80.0, 90.0]


def test_pauses_grow_up_to_a_minute() -> None:
    assert [retry_after_s(failures, 600.0, 1.0) for failures in (1, 2, 3, 7, 8, 5000)] == [1.0, 2.0, 4.0, 60.0, 60.0, 60.0]
    assert retry_after_s(1, 600.0, 0.0) == 0.5
    assert retry_after_s(9, 5.0, 1.0) == 5.0
    assert retry_after_s(9, 0.1, 1.0) == 1.0
