"""weighted-round-robin: exact shares without bursts."""

import random
from collections import Counter
from time import perf_counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balance.balancing.weighted_round_robin import MAX_STEPS, WeightedRoundRobin, smooth, spread
from balance.load import Load


def picks(weights: list[int], count: int, rand: float = 0.0) -> list[int]:
    policy = WeightedRoundRobin(lambda: rand)
    policy.rebuild([Load(weight) for weight in weights])
    return [policy.pick(b"", (), 0.0) for _ in range(count)]


def windows(order: list[int], size: int) -> list[Counter[int]]:
    return [Counter(order[start : start + size]) for start in range(len(order) - size + 1)]


@pytest.mark.parametrize("rand", [0.0, 0.2, 0.5, 0.9])
def test_3_2_1_gives_three_two_and_one_of_any_six(rand: float) -> None:
    for window in windows(picks([3, 2, 1], 60, rand), 6):
        assert window == {0: 3, 1: 2, 2: 1}


def test_5_1_1_is_never_a_burst() -> None:
    assert "".join("abc"[index] for index in picks([5, 1, 1], 14)) == "aabacaa" * 2


@pytest.mark.parametrize(
    ("weights", "order"),
    [([1], "a"), ([7], "a"), ([1, 1], "ab"), ([2, 1], "aba"), ([10, 20, 30], "cbacbc"), ([300, 200, 100], "abacba"),
     ([4, 1], "aabaa")],
)  # fmt: skip
def test_order_is_nginx_s_for_the_least_numbers_of_the_same_shares(weights: list[int], order: str) -> None:
    assert "".join("abc"[index] for index in picks(weights, len(order))) == order


@given(st.lists(st.integers(1, 12), min_size=1, max_size=8), st.floats(0, 0.999))
def test_shares_are_exact_over_any_period(weights: list[int], rand: float) -> None:
    period = sum(weights)
    for window in windows(picks(weights, 2 * period, rand), period):
        assert window == dict(enumerate(weights))


@given(st.lists(st.integers(1, 12), min_size=1, max_size=8))
def test_spread_and_smooth_are_equally_exact(weights: list[int]) -> None:
    assert Counter(spread(weights)) == Counter(smooth(weights)) == dict(enumerate(weights))


@given(st.lists(st.integers(1, 12), min_size=2, max_size=8))
def test_spread_is_never_more_than_one_turn_from_its_due(weights: list[int]) -> None:
    total = sum(weights)
    served: Counter[int] = Counter()
    for turn, index in enumerate(spread(weights), start=1):
        served[index] += 1
        for other, weight in enumerate(weights):
            assert abs(served[other] - turn * weight / total) <= len(weights)


def test_large_set_of_unequal_weights_keeps_its_shares_and_is_built_quickly() -> None:
    weights = [1 + number % 7 for number in range(1000)]
    assert len(weights) * sum(weights) > MAX_STEPS
    began = perf_counter()
    assert Counter(picks(weights, sum(weights))) == dict(enumerate(weights))
    assert perf_counter() - began < 1.0


def test_large_set_of_equal_weights_takes_turns() -> None:
    order = picks([5] * 10_000, 20_000)
    assert order == list(range(10_000)) * 2


def test_avoided_are_passed_over_and_the_others_keep_their_ratio() -> None:
    policy = WeightedRoundRobin(lambda: 0.0)
    policy.rebuild([Load(3), Load(2), Load(1)])
    assert Counter(policy.pick(b"", {0}, 0.0) for _ in range(30)) == {1: 20, 2: 10}


def test_weights_are_read_again_at_a_rebuild() -> None:
    policy = WeightedRoundRobin(random.Random(3).random)
    loads = [Load(1), Load(1)]
    policy.rebuild(loads)
    loads[1].weight = 9
    policy.rebuild(loads)
    assert Counter(policy.pick(b"", (), 0.0) for _ in range(100)) == {0: 10, 1: 90}
