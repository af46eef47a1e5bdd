"""Random sampling: by weight, in pairs, and with excluded indices."""

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balance.balancing.policy import NO_BACKEND
from balance.balancing.sampling import WeightedSampler, sample_pair


@given(st.integers(0, 50), st.sets(st.integers(0, 49)), st.integers(0, 999))
def test_pair_is_two_different_ones_of_those_that_are_left(count: int, avoid: set[int], seed: int) -> None:
    first, second = sample_pair(random.Random(seed).random, count, avoid)
    left = set(range(count)) - avoid
    assert {first, second} <= (left or {NO_BACKEND})
    assert (first == second) is (len(left) < 2) or avoid


def test_every_pair_is_as_likely_as_any_other() -> None:
    rand = random.Random(3).random
    seen = Counter(sample_pair(rand, 4, ()) for _ in range(12_000))
    assert len(seen) == 12
    assert min(seen.values()) > 850


def test_one_of_a_pair_stands_alone_when_the_other_was_tried() -> None:
    chances = iter([0.5, 0.5])
    assert sample_pair(lambda: next(chances), 4, {2}) == (1, 1)


@pytest.mark.parametrize("weights", [[1], [1, 1, 1], [3, 2, 1], [1, 1, 98], [65535, 1], [7] * 50, list(range(1, 40))])
def test_lottery_draws_by_weight(weights: list[int]) -> None:
    lottery = WeightedSampler(random.Random(1).random, weights)
    seen = Counter(lottery.sample() for _ in range(40_000))
    for index, weight in enumerate(weights):
        due = 40_000 * weight / sum(weights)
        assert abs(seen[index] - due) <= 5 * due**0.5 + 1


@given(st.lists(st.integers(1, 9), max_size=20), st.sets(st.integers(0, 19)))
def test_lottery_draws_beside_those_that_were_tried(weights: list[int], avoid: set[int]) -> None:
    left = set(range(len(weights))) - avoid
    drawn = WeightedSampler(random.Random(1).random, weights).sample_excluding(avoid)
    assert drawn in left if left else drawn == NO_BACKEND


def test_last_one_left_is_found_among_many() -> None:
    lottery = WeightedSampler(random.Random(1).random, [1] * 1000)
    assert lottery.sample_excluding(set(range(1000)) - {777}) == 777


def test_those_left_keep_their_ratio() -> None:
    lottery = WeightedSampler(random.Random(2).random, [1000, 3, 1])
    seen = Counter(lottery.sample_excluding({0}) for _ in range(4000))
    assert seen[1] == pytest.approx(3000, rel=0.1)
