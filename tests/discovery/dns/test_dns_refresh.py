"""S2: never a storm of questions, and never slower than `refresh`."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balance.discovery.dns.refresh import refresh_pause_s, retry_pause_s

PAUSES = [
    # TTL, refresh, pause without jitter
    (0, 30.0, 5.0),
    (1, 30.0, 5.0),
    (12, 30.0, 12.0),
    (3600, 30.0, 30.0),
    (None, 30.0, 30.0),
    (3600, 2.0, 2.0),  # who asks for it gets it
    (0, 2.0, 2.0),
    (0, 86400.0, 5.0),
]


@pytest.mark.parametrize(("ttl_s", "refresh_s", "expected"), PAUSES)
def test_ttl_is_kept_within_bounds(ttl_s: int | None, refresh_s: float, expected: float) -> None:
    assert refresh_pause_s(ttl_s, refresh_s, 0.0) == expected
    assert min(5.0, refresh_s) <= refresh_pause_s(ttl_s, refresh_s, 0.999) <= expected


def test_pauses_after_failures_grow_to_the_normal_one() -> None:
    assert [retry_pause_s(count, 30.0, 0.0) for count in range(1, 6)] == [5.0, 10.0, 20.0, 30.0, 30.0]
    assert [retry_pause_s(count, 1.0, 0.0) for count in (1, 1000)] == [1.0, 1.0]


@given(st.integers(1, 10_000), st.floats(0.1, 1e5), st.floats(0, 0.999))
def test_pause_after_a_failure_is_within_bounds(count: int, refresh_s: float, rand: float) -> None:
    assert 0.9 * min(5.0, refresh_s) <= retry_pause_s(count, refresh_s, rand) <= refresh_s
