"""adaptive: the lower cost of two random backends."""

import random

import pytest

from balance.balancing.adaptive import MIN_SUCCESS, Adaptive, cost
from balance.load import Load


def load(latency_s: float = 0.02, weight: int = 1, active: int = 0, handicap: float = 1.0) -> Load:
    made = Load(weight, active)
    made.record_latency(latency_s, True, 0.0)
    made.handicap = handicap
    return made


@pytest.mark.parametrize(
    ("dearer", "cheaper", "factor"),
    [
        (load(0.04), load(0.02), 2),
        (load(active=3), load(), 4),
        (load(), load(weight=5), 5),
        (load(handicap=7.0), load(), 7),
    ],
)
def test_latency_leases_weight_and_handicap_multiply(dearer: Load, cheaper: Load, factor: int) -> None:
    assert cost(dearer, 0.0) == pytest.approx(factor * cost(cheaper, 0.0))
    for loads in ([dearer, cheaper], [cheaper, dearer]):
        policy = Adaptive(random.Random(1).random)
        policy.rebuild(loads)
        assert {loads[policy.pick(b"", (), 0.0)] for _ in range(50)} == {cheaper}


def failing(bad: int, good: int) -> Load:
    """After so many answers of 20 ms each, mixed."""
    made = load()
    for number in range(bad + good):
        made.record_outcome(number % (bad + good) >= bad, number / 1e4)
    made.debt = 0.0
    return made


def test_success_counts_squared() -> None:
    unwell = failing(4, 0)
    success = 1 - unwell.failure_rate(0.0003)
    assert 0.5 < success < 0.7
    assert cost(unwell, 0.0003) == pytest.approx(cost(load(), 0.0003) / success**2)


def test_one_that_only_fails_is_dear_and_not_beyond_all_measure() -> None:
    assert cost(failing(2000, 0), 0.2) == pytest.approx(cost(load(), 0.2) / MIN_SUCCESS**2)
