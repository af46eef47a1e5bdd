"""consistent-hash: moved keys and evenness of the ring."""

from collections import Counter
from time import process_time

import pytest

from balance.balancing.consistent_hash import MAX_POINTS, POINTS_PER_WEIGHT, points_per_weight, ring
from balance.balancing.hash_table import WeightedIds
from balance.balancing.hashing import SPACE


def members(*weights: int) -> WeightedIds:
    return tuple((b"backend-%d" % number, weight) for number, weight in enumerate(weights))


def shares(membership: WeightedIds) -> list[float]:
    """What part of the space is whose."""
    points, owners = ring(membership)
    held: Counter[int] = Counter()
    before = points[-1] - SPACE
    for point, owner in zip(points, owners, strict=True):
        held[owner] += point - before
        before = point
    return [held[member] / SPACE for member in range(len(membership))]


def owner_of(membership: WeightedIds, spot: int) -> bytes:
    points, owners = ring(membership)
    place = next((index for index, point in enumerate(points) if point >= spot), 0)
    return membership[owners[place]][0]


@pytest.mark.parametrize(
    ("count", "most", "least"), [(3, 1.1, 0.9), (10, 1.15, 0.8), (50, 1.25, 0.8), (100, 1.25, 0.75), (1000, 1.35, 0.7)]
)
def test_shares_are_within_the_bounds_that_are_published(count: int, most: float, least: float) -> None:
    found = shares(members(*[1] * count))
    assert max(found) * count <= most
    assert min(found) * count >= least
    assert sum(found) == pytest.approx(1.0)


def test_shares_follow_weights() -> None:
    for share, due in zip(shares(members(6, 3, 1)), (0.6, 0.3, 0.1), strict=True):
        assert share == pytest.approx(due, rel=0.2)


def test_removal_moves_the_keys_of_the_removed_and_no_other() -> None:
    whole = members(1, 2, 1, 1)
    less = whole[:2] + whole[3:]
    for spot in range(0, SPACE, SPACE // 500):
        owner = owner_of(whole, spot)
        assert owner == b"backend-2" or owner_of(less, spot) == owner


def test_points_are_halved_where_weights_are_large() -> None:
    assert points_per_weight(members(1, 2, 3)) == POINTS_PER_WEIGHT
    heavy = members(1000, 65535, 1)
    assert MAX_POINTS / 2 < points_per_weight(heavy) * sum(weight for _, weight in heavy) <= MAX_POINTS
    assert set(ring(heavy)[1]) == {0, 1, 2}


def test_large_set_is_laid_quickly() -> None:
    began = process_time()
    assert len(ring(members(*[1] * 10_000))[0]) <= MAX_POINTS
    assert process_time() - began < 2.0
