"""On which side a user is, and who changes sides when the thresholds move."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balance.balancing.hashing import SPACE, key_hash
from balance.routing.sides import Places, side, thresholds

USERS = [b"user-%d" % number for number in range(4000)]
WEIGHTS = st.lists(st.integers(0, 1000), min_size=1, max_size=6)


@pytest.mark.parametrize("percent", [1, 10, 50, 99])
def test_a_percentage_is_that_of_the_users(percent: int) -> None:
    share = sum(Places("canary").of(user) < percent for user in USERS) / len(USERS) * 100
    assert abs(share - percent) < 2.5


def test_a_ramp_moves_nobody_back() -> None:
    places = [Places("canary").of(user) for user in USERS]
    over = [{user for user, place in zip(USERS, places, strict=True) if place < percent} for percent in (0, 10, 20, 50, 100)]
    assert all(before < after for before, after in pairwise(over))
    assert (len(over[0]), len(over[-1])) == (0, len(USERS))


def test_salts_and_kinds_choose_other_users() -> None:
    chosen = [
        {user for user in USERS if places.of(user) < 10}
        for places in (Places("canary"), Places("canary", "b"), Places("split"))
    ]
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert len(chosen[one] & chosen[other]) < len(USERS) * 0.02  # a tenth of a tenth


def test_the_users_of_a_canary_are_spread_over_what_hashing_algorithms_see() -> None:
    hashes = [key_hash(user) for user in USERS if Places("canary").of(user) < 10]
    quarters = [sum(SPACE * number // 4 <= each < SPACE * (number + 1) // 4 for each in hashes) for number in range(4)]
    assert min(quarters) > len(hashes) / 8


@pytest.mark.parametrize(("salt", "user", "place"), [("", b"u", 3.6036), ("s", b"u", 75.9033), ("s", b"", 54.2794)])
def test_a_place_is_the_same_in_every_process_and_version(salt: str, user: bytes, place: float) -> None:
    assert Places("canary", salt).of(user) == pytest.approx(place, abs=1e-4)


@given(st.binary(max_size=40), st.text(max_size=5))
def test_every_place_is_within_the_hundred(key: bytes, salt: str) -> None:
    assert 0 <= Places("canary", salt).of(key) < 100


@pytest.mark.parametrize(
    ("weights", "ends"),
    [
        ([90, 10], (90, 100)),
        ([1, 1, 2], (25, 50, 100)),
        ([0, 1], (0, 100)),
        ([1, 0], (100, 100)),
        ([0, 0], ()),
        ([5], (100,)),
    ],
)
def test_thresholds_are_cumulative(weights: list[int], ends: tuple[float, ...]) -> None:
    assert thresholds(weights) == ends


@given(WEIGHTS, st.floats(0, 100, exclude_max=True))
def test_weight_zero_gets_nothing_and_every_place_has_a_side(weights: list[int], place: float) -> None:
    ends = thresholds(weights)
    if ends:
        assert weights[side(ends, place)] > 0
    else:
        assert not any(weights)


@given(st.integers(1, 1000), st.integers(0, 1000), st.integers(0, 1000))
def test_of_two_pools_the_one_that_grows_loses_nobody(first: int, second: int, growth: int) -> None:
    before, after = thresholds([first, second]), thresholds([first, second + growth])
    for place in range(100):
        assert side(after, place) >= side(before, place)


def test_a_change_of_weights_moves_only_who_is_beside_a_threshold_that_moved() -> None:
    before, after = thresholds([50, 30, 20]), thresholds([50, 20, 30])
    moved = {place for place in range(100) if side(before, place) != side(after, place)}
    assert moved == set(range(70, 80))


def test_what_is_remembered_of_keys_is_bounded() -> None:
    places = Places("canary")
    for number in range(10_000):
        assert places.of(b"%d" % number) == Places("canary").of(b"%d" % number) == places.of(b"%d" % number)
    places.of(b"x" * 8000)
    assert len(places._known) <= 4096
    assert max(map(len, places._known)) <= 64
