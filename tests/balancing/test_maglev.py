"""maglev: even shares and few moved keys."""

from collections import Counter
from itertools import islice

import pytest

from balance.balancing.hash_table import WeightedIds
from balance.balancing.maglev import TABLE_SIZE, build_table, turn_order


def members(*weights: int) -> WeightedIds:
    return tuple((b"backend-%d" % number, weight) for number, weight in enumerate(weights))


@pytest.mark.parametrize("count", [1, 2, 3, 5, 10, 20, 50, 100])
def test_no_share_is_more_than_one_percent_above_the_mean(count: int) -> None:
    seen = Counter(build_table(members(*[1] * count)))
    assert len(seen) == count
    assert max(seen.values()) * count / TABLE_SIZE <= 1.01


@pytest.mark.parametrize("weights", [(1, 2), (5, 1, 1), (3, 2, 1), (1, 1, 98), (7, 1, 7, 1, 7), (1, 65535)])
def test_shares_follow_weights(weights: tuple[int, ...]) -> None:
    seen = Counter(build_table(members(*weights)))
    for member, weight in enumerate(weights):
        due = TABLE_SIZE * weight / sum(weights)
        assert abs(seen[member] - due) <= 1 + 0.001 * due


@pytest.mark.parametrize("count", [2, 3, 5, 10, 20, 50, 100])
@pytest.mark.parametrize("place", ["first", "middle", "last"])
def test_removal_moves_at_most_one_percent_of_the_other_keys(count: int, place: str) -> None:
    whole = members(*[1] * count)
    gone = {"first": 0, "middle": count // 2, "last": count - 1}[place]
    less = whole[:gone] + whole[gone + 1 :]
    moved = sum(whole[before] != less[after] for before, after in zip(build_table(whole), build_table(less), strict=True))
    assert moved / TABLE_SIZE <= 1 / count + 0.01


def test_every_member_has_its_turn_before_any_has_two() -> None:
    assert list(islice(turn_order([2, 0, 1], [4, 4, 4]), 6)) == [2, 0, 1, 2, 0, 1]


def test_turns_of_unequal_weights_are_spaced_evenly() -> None:
    order = list(turn_order([0, 1], [3, 1]))
    assert len(order) >= TABLE_SIZE
    assert all(order[start : start + 4].count(1) == 1 for start in range(0, 400, 4))
