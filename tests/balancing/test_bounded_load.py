"""bounded-load: no backend exceeds the bound, and keys stay on their backend while it has room."""

import random
from collections import Counter
from math import ceil

from hypothesis import given, settings
from hypothesis import strategies as st

from balance.balancing.bounded_load import FACTOR, REFRESH_S, BoundedLoad
from balance.balancing.consistent_hash import ConsistentHash
from balance.load import Load


def fleet(*weights: int) -> list[Load]:
    return [Load(weight, identity=b"backend-%d" % number) for number, weight in enumerate(weights)]


def policy(loads: list[Load], members: list[Load] | None = None) -> BoundedLoad:
    made = BoundedLoad(random.Random(1).random)
    made.rebuild(loads, members or loads)
    return made


def take(load: Load) -> None:
    load.active += 1
    assert load.pool_active is not None
    load.pool_active.active += 1


def give(load: Load) -> None:
    load.active -= 1
    assert load.pool_active is not None
    load.pool_active.active -= 1


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([(1,), (1, 1, 1), (1,) * 10, (3, 2, 1), (9, 1, 1, 1)]),
    st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=1, max_size=200),
    st.integers(0, 99),
)
def test_never_above_the_bound(weights: tuple[int, ...], steps: list[tuple[int, bool]], seed: int) -> None:
    loads = fleet(*weights)
    made = policy(loads)
    held: list[Load] = []
    luck = random.Random(seed)
    for key, gives_back in steps:
        if gives_back and held:
            give(held.pop(luck.randrange(len(held))))
            continue
        load = loads[made.pick(b"key-%d" % key, (), 0.0)]
        take(load)
        held.append(load)
        assert load.active <= ceil(FACTOR * len(held) * load.weight / sum(weights))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.one_of(st.integers(0, 3), st.sets(st.integers(0, 4), min_size=1)), min_size=1, max_size=60))
def test_never_above_the_bound_of_those_that_are_ready(steps: list[int | set[int]]) -> None:
    members = fleet(1, 1, 1, 1, 1)
    ready = members
    made = policy(ready, members)
    for step in steps:
        if isinstance(step, set):
            ready = [members[index] for index in sorted(step)]
            made.rebuild(ready, members)
            continue
        load = ready[made.pick(b"key-%d" % step, (), 0.0)]
        take(load)
        assert load.active <= ceil(FACTOR * sum(load.active for load in ready) / len(ready))


def test_load_that_others_hold_counts() -> None:
    loads = fleet(1, 1, 1, 1)
    home = loads[policy(loads).pick(b"key", (), 0.0)]
    home.active_elsewhere = 5
    for other in loads:
        if other is not home:
            other.active_elsewhere = 1
    made = policy(loads)
    assert loads[made.pick(b"key", (), 0.0)] is not home
    home.active_elsewhere = 1
    assert loads[made.pick(b"key", (), 2 * REFRESH_S)] is home


def test_keys_stay_where_the_ring_has_them_while_there_is_room() -> None:
    loads = fleet(1, 1, 1, 1, 1)
    ring = ConsistentHash(random.random)
    ring.rebuild(loads)
    made = policy(loads)
    for number in range(500):
        key = b"key-%d" % number
        assert made.pick(key, (), 0.0) == ring.pick(key, (), 0.0)


def test_hottest_key_spills_in_one_order() -> None:
    loads = fleet(1, 1, 1, 1)
    made = policy(loads)
    order = []
    for _ in range(40):
        index = made.pick(b"hot", (), 0.0)
        take(loads[index])
        order.append(index)
    assert order[0] != order[2]  # ceil(1.25 x 3 / 4) is 1
    assert max(Counter(order).values()) <= ceil(FACTOR * 40 / 4)
    again = fleet(1, 1, 1, 1)
    second = policy(again)
    repeated = []
    for _ in range(40):
        index = second.pick(b"hot", (), 0.0)
        take(again[index])
        repeated.append(index)
    assert repeated == order


def test_what_does_not_fit_is_not_poured_into_one_that_is_empty_because_it_fails() -> None:
    loads = fleet(1, 1, 1)
    made = policy(loads)
    home = made.pick(b"hot", (), 0.0)
    heir = made.pick(b"hot", {home}, 0.0)
    take(loads[home])
    take(loads[home])
    loads[heir].debt = 5.0
    assert made.pick(b"hot", (), 0.0) == 3 - home - heir


def test_those_at_the_bound_are_used_when_all_others_were_tried() -> None:
    loads = fleet(1, 1)
    made = policy(loads)
    for _ in range(10):
        take(loads[0])
    assert made.pick(b"key", {1}, 0.0) == 0
