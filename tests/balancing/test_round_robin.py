"""round-robin: turns regardless of weights."""

import random

import pytest

from balance.balancing.round_robin import RoundRobin
from balance.load import Load


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_everyone_has_a_turn_before_anyone_has_two(count: int) -> None:
    policy = RoundRobin(random.Random(1).random)
    policy.rebuild([Load(1 + 100 * number) for number in range(count)])
    order = [policy.pick(b"", (), 0.0) for _ in range(4 * count)]
    assert order[:count] * 4 == order
    assert sorted(order[:count]) == list(range(count))


def test_place_of_the_avoided_goes_to_the_next_and_no_turn_is_lost() -> None:
    policy = RoundRobin(lambda: 0.0)
    policy.rebuild([Load(), Load(), Load()])
    assert [policy.pick(b"", {1}, 0.0) for _ in range(4)] == [0, 2, 0, 2]
    assert [policy.pick(b"", (), 0.0) for _ in range(3)] == [0, 1, 2]


@pytest.mark.parametrize(("rand", "first"), [(0.0, 0), (0.34, 1), (0.67, 2), (0.999, 2)])
def test_start_is_where_chance_says(rand: float, first: int) -> None:
    policy = RoundRobin(lambda: rand)
    policy.rebuild([Load(), Load(), Load()])
    assert policy.pick(b"", (), 0.0) == first
