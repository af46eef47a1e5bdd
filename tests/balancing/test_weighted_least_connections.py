"""weighted-least-connections: fewest leases per weight, exact turns among ties."""

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balance.balancing.least_connections import SCAN_LIMIT
from balance.balancing.weighted_least_connections import WeightedLeastConnections
from balance.load import Load


def policy(loads: list[Load], seed: int = 1) -> WeightedLeastConnections:
    made = WeightedLeastConnections(random.Random(seed).random)
    made.rebuild(loads)
    return made


@pytest.mark.parametrize("seed", range(5))
def test_idle_pool_of_3_2_1_gives_three_two_and_one_of_any_six(seed: int) -> None:
    made = policy([Load(3), Load(2), Load(1)], seed)
    order = [made.pick(b"", (), 0.0) for _ in range(60)]
    for start in range(55):
        assert Counter(order[start : start + 6]) == {0: 3, 1: 2, 2: 1}


@pytest.mark.parametrize(
    ("loads", "least"),
    [
        ([Load(active=1), Load(active=0), Load(active=2)], 1),
        ([Load(active=0, elsewhere=5), Load(active=4)], 1),
        ([Load(weight=3, active=2), Load(weight=1, active=1)], 0),
        ([Load(weight=3, active=1), Load(weight=1, active=0)], 1),
    ],
)
def test_least_loaded_for_its_weight_is_picked(loads: list[Load], least: int) -> None:
    assert {policy(loads, seed).pick(b"", (), 0.0) for seed in range(10)} == {least}


@given(st.lists(st.builds(Load, st.integers(1, 9), st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=SCAN_LIMIT))
def test_nobody_has_less_than_the_one_that_is_picked(loads: list[Load]) -> None:
    held = [(load.active + load.active_elsewhere) / load.weight for load in loads]
    assert held[policy(loads).pick(b"", (), 0.0)] == min(held)


@pytest.mark.parametrize("count", [3, 3 * SCAN_LIMIT])
def test_load_that_is_held_fills_up_by_weight(count: int) -> None:
    loads = [Load(1 + number % 3) for number in range(count)]
    made = policy(loads)
    for _ in range(100 * count):
        loads[made.pick(b"", (), 0.0)].active += 1
    for load in loads:
        assert load.active == pytest.approx(50 * load.weight, abs=10)


def test_those_that_stay_keep_their_turn_when_another_goes() -> None:
    loads = [Load(5), Load(1), Load(1)]
    made = policy(loads)
    seen: Counter[int] = Counter()
    for number in range(700):
        made.rebuild(loads[: 2 + number % 2])
        seen[made.pick(b"", (), 0.0)] += 1
    assert seen[0] == pytest.approx(540, abs=30)
    assert min(seen[1], seen[2]) > 40


def test_failures_count_as_load() -> None:
    loads = [Load(), Load(active=1)]
    loads[0].debt = 3.0
    assert policy(loads).pick(b"", (), 0.0) == 1
