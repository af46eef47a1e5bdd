"""Backoff delays: growth, limits, jitter."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balance.config.model import Retry
from balance.retry.backoff import backoff_s

ALMOST_1 = 1.0 - 2**-53


@pytest.mark.parametrize(
    ("jitter", "waits", "rand", "wait_s"),
    [
        (None, 0, 0.0, 0.0),
        (None, 0, 0.5, 0.05),
        (None, 1, 0.5, 0.1),
        (None, 2, ALMOST_1, 0.4),
        (None, 9, ALMOST_1, 5.0),
        (None, 100_000, ALMOST_1, 5.0),
        (0.0, 0, 0.3, 0.1),
        (0.0, 3, 0.9, 0.8),
        (0.1, 0, 0.0, 0.09),
        (0.1, 0, 0.5, 0.1),
        (0.1, 0, ALMOST_1, 0.11),
        (1.0, 1, 0.0, 0.0),
        (1.0, 1, ALMOST_1, 0.4),
    ],
)
def test_wait_doubles_up_to_its_bound_and_strays_as_told(jitter: float | None, waits: int, rand: float, wait_s: float) -> None:
    assert backoff_s(Retry(jitter=jitter), waits, rand) == pytest.approx(wait_s)


@pytest.mark.parametrize(
    ("retry", "waits", "wait_s"),
    [
        (Retry(jitter=0.0, backoff_base_s=3.0), 0, 3.0),
        (Retry(jitter=0.0, backoff_max_s=0.3), 9, 0.3),
        (Retry(jitter=0.0, multiplier=3.0), 2, 0.9),
    ],
)
def test_base_bound_and_growth_are_as_configured(retry: Retry, waits: int, wait_s: float) -> None:
    assert backoff_s(retry, waits, 0.5) == pytest.approx(wait_s)


@given(st.integers(0, 10_000), st.floats(0, ALMOST_1), st.floats(1, 100), st.one_of(st.none(), st.floats(0, 1)))
def test_no_wait_is_negative_or_beyond_its_bound_and_its_jitter(
    waits: int, rand: float, multiplier: float, jitter: float | None
) -> None:
    retry = Retry(multiplier=multiplier, jitter=jitter)
    assert 0.0 <= backoff_s(retry, waits, rand) <= retry.backoff_max_s * (1.0 + (jitter or 0.0))
