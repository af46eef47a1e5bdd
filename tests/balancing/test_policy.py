"""Properties that every policy in POLICIES has."""

import random
from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from balance.balancing import NO_BACKEND, POLICIES, Needs, Policy
from balance.balancing.hash_table import HashTable
from balance.load import Load

# Without load these share exactly; the others leave it to chance, to hashes or to what they learn.
TURNS = ("round-robin", "weighted-round-robin", "least-connections", "weighted-least-connections")
# Without keys these share by weight, each in its own grain.
SPREAD = ("random", "power-of-two", "consistent-hash", "maglev", "source-ip")

every_policy = pytest.mark.parametrize("name", sorted(POLICIES))
# Tables take milliseconds to lay.
few_examples = settings(max_examples=15, deadline=None)


def loads_of(*weights: int) -> list[Load]:
    return [Load(weight, identity=b"backend-%d" % number) for number, weight in enumerate(weights)]


def policy(name: str, *weights: int, seed: int = 1) -> tuple[Policy, list[Load]]:
    made = POLICIES[name](random.Random(seed).random)
    loads = loads_of(*weights)
    made.rebuild(loads)
    return made, loads


def picks(chosen: Policy, count: int, avoid: frozenset[int] = frozenset()) -> list[int]:
    return [chosen.pick(b"key", avoid, float(number)) for number in range(count)]


def take(load: Load) -> None:
    """As a lease does."""
    load.active += 1
    if load.pool_active is not None:
        load.pool_active.active += 1


def give(load: Load) -> None:
    load.active -= 1
    if load.pool_active is not None:
        load.pool_active.active -= 1


@every_policy
def test_empty_set_has_nobody(name: str) -> None:
    assert picks(policy(name)[0], 3) == [NO_BACKEND] * 3


@every_policy
def test_set_that_was_never_given_has_nobody(name: str) -> None:
    assert POLICIES[name](random.random).pick(b"", (), 0.0) == NO_BACKEND


@every_policy
def test_nobody_ready_among_the_members_is_nobody(name: str) -> None:
    made = POLICIES[name](random.random)
    made.rebuild([], loads_of(1, 1))
    assert picks(made, 3) == [NO_BACKEND] * 3


@every_policy
@pytest.mark.parametrize("count", [1, 2, 3, 32, 33, 100])
def test_nobody_is_left_when_all_are_avoided(name: str, count: int) -> None:
    chosen, _ = policy(name, *[1] * count)
    assert picks(chosen, 3, frozenset(range(count))) == [NO_BACKEND] * 3
    assert picks(chosen, 1)[0] in range(count)


@every_policy
@few_examples
@given(st.lists(st.integers(1, 3), min_size=1, max_size=40), st.sets(st.integers(0, 39)), st.integers(0, 99))
def test_avoided_are_never_picked_and_the_others_are(name: str, weights: list[int], avoid: set[int], seed: int) -> None:
    chosen, _ = policy(name, *weights, seed=seed)
    left = set(range(len(weights))) - avoid
    for pick in picks(chosen, 5, frozenset(avoid)):
        assert pick in left if left else pick == NO_BACKEND


@every_policy
@pytest.mark.parametrize("count", [2, 3, 5, 10, 32, 33, 50])
def test_nobody_starves(name: str, count: int) -> None:
    chosen, loads = policy(name, *[1] * count)
    seen: Counter[int] = Counter()
    for _ in range(40 * count):
        pick = chosen.pick(b"", (), 0.0)
        take(loads[pick])
        seen[pick] += 1
        if sum(load.active for load in loads) > 2 * count:
            give(max(loads, key=lambda load: load.active))
    assert set(seen) == set(range(count))
    assert max(seen.values()) <= 3 * 40


@every_policy
@pytest.mark.parametrize("gap_s", [0.01, 1.0])
def test_nobody_starves_for_having_been_slow_or_for_having_failed_once(name: str, gap_s: float) -> None:
    chosen, loads = policy(name, 1, 1, 1)
    loads[0].record_latency(5.0, True, 0.0)
    loads[1].record_latency(0.001, False, 0.0)
    seen: Counter[int] = Counter()
    for number in range(int(120 / gap_s)):
        now = gap_s * number
        pick = chosen.pick(b"", (), now)
        seen[pick] += 1
        loads[pick].record_latency(0.02, True, now + 0.02)
    assert set(seen) == {0, 1, 2}
    assert min(seen.values()) > 0.15 * seen.total()


@pytest.mark.parametrize("name", TURNS)
def test_equals_without_load_share_equally(name: str) -> None:
    chosen, _ = policy(name, 1, 1, 1, 1)
    assert set(Counter(picks(chosen, 400)).values()) == {100}


@pytest.mark.parametrize("name", SPREAD)
def test_chance_shares_by_weight(name: str) -> None:
    chosen, _ = policy(name, 3, 2, 1)
    seen = Counter(chosen.pick(b"", (), 0.0) for _ in range(6000))
    for index, due in enumerate((3000, 2000, 1000)):
        assert seen[index] == pytest.approx(due, rel=0.2 if name == "consistent-hash" else 0.1)


@every_policy
def test_first_is_not_favoured_over_many_starts(name: str) -> None:
    rand = random.Random(7).random
    starts: Counter[int] = Counter()
    for _ in range(400):
        chosen = POLICIES[name](rand)
        chosen.rebuild(loads_of(1, 1, 1, 1))
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
@few_examples
@given(st.lists(st.integers(0, 12), min_size=1, max_size=12), st.integers(0, 99))
def test_set_may_grow_and_shrink_while_in_use(name: str, sizes: list[int], seed: int) -> None:
    chosen, _ = policy(name, seed=seed)
    for size in sizes:
        chosen.rebuild(loads_of(*[1 + number % 3 for number in range(size)]))
        for pick in picks(chosen, 2 * size + 1):
            assert pick in range(size) if size else pick == NO_BACKEND


@every_policy
@few_examples
@given(st.lists(st.sets(st.integers(0, 5)), min_size=1, max_size=12), st.integers(0, 99))
def test_members_may_come_and_go_while_leases_are_held(name: str, ready_sets: list[set[int]], seed: int) -> None:
    members = loads_of(1, 2, 3, 1, 2, 3)
    chosen = POLICIES[name](random.Random(seed).random)
    held: list[Load] = []
    for ready in ready_sets:
        loads = [members[index] for index in sorted(ready)]
        chosen.rebuild(loads, members)
        for key in (b"", b"a", b"b", b"c"):
            pick = chosen.pick(key, (), 0.0)
            assert pick in range(len(loads)) if loads else pick == NO_BACKEND
            if loads:
                take(loads[pick])
                held.append(loads[pick])
        for load in held[::2]:
            give(load)
        held = held[1::2]
        assert [load.active for load in members] == [held.count(load) for load in members]
        sums = {id(load.pool_active): load.pool_active.active for load in loads if load.pool_active is not None}
        assert sums in ({}, {id(loads[0].pool_active): sum(load.active for load in loads)} if loads else {})


@every_policy
@pytest.mark.parametrize("rand", [lambda: 0.0, lambda: 1.0 - 2**-53], ids=["least", "most"])
@pytest.mark.parametrize("count", [1, 2, 33, 34])
def test_chance_at_its_ends_stays_inside_the_set(name: str, rand: Callable[[], float], count: int) -> None:
    chosen = POLICIES[name](rand)
    chosen.rebuild(loads_of(*[1] * count))
    for key in (b"", b"key"):
        assert {chosen.pick(key, (), 0.0) for _ in range(3 * count)} <= set(range(count))


@every_policy
def test_whoever_needs_a_key_and_nobody_else_follows_it(name: str) -> None:
    chosen, _ = policy(name, *[1] * 20)
    follows = all(len({chosen.pick(b"key-%d" % key, (), 0.0) for _ in range(20)}) == 1 for key in range(20))
    assert follows is (Needs.KEY in POLICIES[name](random.random).needs)


@every_policy
def test_whoever_lays_a_table_agrees_with_every_other_worker(name: str) -> None:
    if not issubclass(POLICIES[name], HashTable):
        assert Needs.KEY not in POLICIES[name](random.random).needs
        return
    one, _ = policy(name, 1, 2, 3, 4, seed=1)
    two, _ = policy(name, 1, 2, 3, 4, seed=2)
    keys = [b"key-%d" % number for number in range(200)]
    assert [one.pick(key, (), 0.0) for key in keys] == [two.pick(key, (), 9.0) for key in keys]
