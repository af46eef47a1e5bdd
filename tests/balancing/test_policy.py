"""What every policy of the table promises, whichever it is: a new one is held to this by standing in POLICIES."""

import random
from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balance.balancing import NOBODY, POLICIES, Policy
from balance.load import Load

every_policy = pytest.mark.parametrize("name", sorted(POLICIES))


def policy(name: str, *weights: int, seed: int = 1) -> tuple[Policy, list[Load]]:
    made = POLICIES[name](random.Random(seed).random)
    loads = [Load(weight) for weight in weights]
    made.rebuild(loads)
    return made, loads


def picks(chosen: Policy, count: int, avoid: frozenset[int] = frozenset()) -> list[int]:
    return [chosen.pick(b"key", avoid, float(number)) for number in range(count)]


@every_policy
def test_empty_set_has_nobody(name: str) -> None:
    assert picks(policy(name)[0], 3) == [NOBODY] * 3


@every_policy
def test_set_that_was_never_given_has_nobody(name: str) -> None:
    assert POLICIES[name](random.random).pick(b"", (), 0.0) == NOBODY


@every_policy
@pytest.mark.parametrize("count", [1, 2, 3, 32, 33, 100])
def test_nobody_is_left_when_all_are_avoided(name: str, count: int) -> None:
    chosen, _ = policy(name, *[1] * count)
    assert picks(chosen, 3, frozenset(range(count))) == [NOBODY] * 3
    assert picks(chosen, 1)[0] in range(count)


@every_policy
@given(st.lists(st.integers(1, 9), min_size=1, max_size=40), st.sets(st.integers(0, 39)), st.integers(0, 99))
def test_avoided_are_never_picked_and_the_others_are(name: str, weights: list[int], avoid: set[int], seed: int) -> None:
    chosen, _ = policy(name, *weights, seed=seed)
    left = set(range(len(weights))) - avoid
    for pick in picks(chosen, 5, frozenset(avoid)):
        assert pick in left if left else pick == NOBODY


@every_policy
@pytest.mark.parametrize("count", [2, 3, 5, 10, 32, 33, 50])
def test_nobody_starves(name: str, count: int) -> None:
    chosen, loads = policy(name, *[1] * count)
    seen: Counter[int] = Counter()
    for _ in range(40 * count):
        pick = chosen.pick(b"", (), 0.0)
        loads[pick].active += 1
        seen[pick] += 1
        if len(seen) and sum(load.active for load in loads) > 2 * count:
            loads[max(range(count), key=lambda index: loads[index].active)].active -= 1
    assert set(seen) == set(range(count))
    assert max(seen.values()) <= 3 * 40


@every_policy
def test_equals_without_load_share_equally(name: str) -> None:
    chosen, _ = policy(name, 1, 1, 1, 1)
    assert set(Counter(picks(chosen, 400)).values()) == {100}


@every_policy
def test_first_is_not_favoured_over_many_starts(name: str) -> None:
    rand = random.Random(7).random
    starts: Counter[int] = Counter()
    for _ in range(400):
        chosen = POLICIES[name](rand)
        chosen.rebuild([Load(), Load(), Load(), Load()])
        starts[chosen.pick(b"", (), 0.0)] += 1
    assert set(starts) == {0, 1, 2, 3}
    assert max(starts.values()) < 160


@every_policy
def test_set_that_flaps_after_every_pick_is_still_shared(name: str) -> None:
    chosen, loads = policy(name, 1, 1, 1)
    seen: Counter[int] = Counter()
    for _ in range(600):
        chosen.rebuild(loads)
        seen[chosen.pick(b"", (), 0.0)] += 1
    assert min(seen[0], seen[1], seen[2]) > 100


@every_policy
@given(st.lists(st.integers(0, 12), min_size=1, max_size=12), st.integers(0, 99))
def test_set_may_grow_and_shrink_while_in_use(name: str, sizes: list[int], seed: int) -> None:
    chosen, _ = policy(name, seed=seed)
    for size in sizes:
        chosen.rebuild([Load(1 + number % 3) for number in range(size)])
        for pick in picks(chosen, 2 * size + 1):
            assert pick in range(size) if size else pick == NOBODY


@every_policy
@pytest.mark.parametrize("rand", [lambda: 0.0, lambda: 1.0 - 2**-53], ids=["least", "most"])
@pytest.mark.parametrize("count", [1, 2, 33, 34])
def test_chance_at_its_ends_stays_inside_the_set(name: str, rand: Callable[[], float], count: int) -> None:
    chosen = POLICIES[name](rand)
    chosen.rebuild([Load() for _ in range(count)])
    assert set(picks(chosen, 3 * count)) <= set(range(count))
