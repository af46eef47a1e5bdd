"""power-of-two: the less loaded of two random backends."""

import random
from collections import Counter

import pytest

from balance.balancing.power_of_two import PowerOfTwo
from balance.load import Load


def policy(loads: list[Load], seed: int = 1) -> PowerOfTwo:
    made = PowerOfTwo(random.Random(seed).random)
    made.rebuild(loads)
    return made


@pytest.mark.parametrize(
    ("loads", "less"),
    [
        ([Load(active=1), Load(active=2)], 0),
        ([Load(active=1, elsewhere=5), Load(active=2)], 1),
        ([Load(weight=3, active=5), Load(weight=1, active=2)], 0),
        ([Load(weight=3, active=7), Load(weight=1, active=2)], 1),
    ],
)
def test_of_two_the_less_loaded_for_its_weight_is_picked(loads: list[Load], less: int) -> None:
    made = policy(loads)
    assert {made.pick(b"", (), 0.0) for _ in range(50)} == {less}


def test_most_loaded_of_many_is_never_picked_and_the_least_is_picked_most() -> None:
    made = policy([Load(active=number) for number in range(10)])
    seen = Counter(made.pick(b"", (), 0.0) for _ in range(5000))
    assert seen[9] == 0
    assert seen[0] == pytest.approx(1000, rel=0.15)  # in every pair that it is drawn into: 2 of 10


def test_idle_pool_shares_by_weight() -> None:
    made = policy([Load(6), Load(3), Load(1)])
    seen = Counter(made.pick(b"", (), 0.0) for _ in range(10_000))
    assert [round(seen[index] / 1000) for index in range(3)] == [6, 3, 1]


def test_held_load_fills_up_more_evenly_than_chance() -> None:
    loads = [Load() for _ in range(100)]
    made = policy(loads)
    for _ in range(10_000):
        loads[made.pick(b"", (), 0.0)].active += 1
    held = [load.active for load in loads]
    assert max(held) - min(held) <= 10  # by chance alone it would be some 60


def test_failures_count_as_load() -> None:
    loads = [Load(), Load(active=1)]
    loads[0].debt = 3.0
    assert {policy(loads, seed).pick(b"", (), 0.0) for seed in range(20)} == {1}


def test_second_candidate_is_not_one_that_was_tried() -> None:
    made = policy([Load(active=9), Load(), Load(active=5)])
    assert {made.pick(b"", {1}, 0.0) for _ in range(50)} == {2}
