"""least-connections: the fewest leases per weight over all workers; ties go round-robin."""

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balance.balancing.least_connections import SCAN_LIMIT, LeastConnections
from balance.load import Load


def policy(loads: list[Load], rand: float = 0.999) -> LeastConnections:
    made = LeastConnections(lambda: rand)
    made.rebuild(loads)
    return made


@pytest.mark.parametrize(
    ("loads", "least"),
    [
        ([Load(active=1), Load(active=0), Load(active=2)], 1),
        ([Load(active=1, elsewhere=5), Load(active=4)], 1),
        ([Load(weight=1, active=0), Load(weight=3, active=1)], 1),
        ([Load(weight=1, active=0), Load(weight=3, active=3)], 0),
        ([Load(weight=65535, active=65533), Load(weight=1, active=0)], 0),
    ],
)
def test_least_loaded_for_its_weight_is_picked(loads: list[Load], least: int) -> None:
    for rand in (0.0, 0.5, 0.999):
        assert policy(loads, rand).pick(b"", (), 0.0) == least


@given(st.lists(st.builds(Load, st.integers(1, 9), st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=SCAN_LIMIT))
def test_nobody_has_less_than_the_one_that_is_picked(loads: list[Load]) -> None:
    due = [(load.active + load.active_elsewhere + 1) / load.weight for load in loads]
    assert due[policy(loads).pick(b"", (), 0.0)] == min(due)


def test_ties_go_round() -> None:
    made = policy([Load(), Load(), Load()])
    assert [made.pick(b"", (), 0.0) for _ in range(6)] == [0, 1, 2, 0, 1, 2]


def test_load_that_is_held_fills_up_evenly_by_weight() -> None:
    loads = [Load(3), Load(2), Load(1)]
    made = policy(loads)
    for _ in range(600):
        loads[made.pick(b"", (), 0.0)].active += 1
    assert [load.active for load in loads] == [300, 200, 100]


def test_load_that_others_hold_counts() -> None:
    loads = [Load(elsewhere=10), Load()]
    made = policy(loads)
    for _ in range(10):
        loads[made.pick(b"", (), 0.0)].active += 1
    assert [load.active for load in loads] == [0, 10]


def test_two_candidates_stand_for_a_large_set() -> None:
    rand = random.Random(5)
    loads = [Load() for _ in range(100)]
    made = LeastConnections(rand.random)
    made.rebuild(loads)
    for _ in range(10_000):
        loads[made.pick(b"", (), 0.0)].active += 1
    held = [load.active for load in loads]
    assert max(held) - min(held) <= 10  # by chance alone it would be some 60


def test_two_candidates_are_never_the_same() -> None:
    chances = iter([0.5, 0.5] * 10)
    made = LeastConnections(lambda: next(chances, 0.0))
    loads = [Load(active=number) for number in range(SCAN_LIMIT + 1)]
    made.rebuild(loads)
    assert made.pick(b"", {16}, 0.0) == 17


def test_rest_is_searched_when_both_candidates_are_avoided() -> None:
    made = LeastConnections(lambda: 0.0)
    made.rebuild([Load(active=number) for number in range(SCAN_LIMIT + 1)])
    assert made.pick(b"", {0, 1}, 0.0) == 2
    assert Counter(made.pick(b"", set(range(32)), 0.0) for _ in range(5)) == {32: 5}
