"""Hash tables: keys moved by a flapping backend, and the next choice when a backend is not ready."""

import random
from collections import Counter

import pytest

from balance.balancing import POLICIES, Policy
from balance.balancing.consistent_hash import ring
from balance.balancing.hash_table import MAX_PROBES, HashTable
from balance.balancing.maglev import build_table
from balance.load import Load

TABLES = sorted(name for name, policy in POLICIES.items() if issubclass(policy, HashTable))
KEYS = [b"client-%d" % number for number in range(2000)]

every_table = pytest.mark.parametrize("name", TABLES)


def members_of(count: int) -> list[Load]:
    return [Load(identity=b"backend-%d" % number) for number in range(count)]


def chosen(policy: Policy, loads: list[Load], avoid: frozenset[int] = frozenset()) -> list[Load]:
    return [loads[policy.pick(key, avoid, 0.0)] for key in KEYS]


def test_there_are_four() -> None:
    assert TABLES == ["bounded-load", "consistent-hash", "maglev", "source-ip"]


@every_table
def test_a_flap_moves_the_keys_of_the_one_that_goes_and_no_other_and_brings_them_back(name: str) -> None:
    members = members_of(10)
    policy = POLICIES[name](random.random)
    policy.rebuild(members, members)
    before = chosen(policy, members)
    ready = members[:3] + members[4:]
    policy.rebuild(ready, members)
    during = chosen(policy, ready)
    assert members[3] not in during
    assert [(old, new) for old, new in zip(before, during, strict=True) if old is not new and old is not members[3]] == []
    policy.rebuild(members, members)
    assert chosen(policy, members) == before


@every_table
def test_keys_of_the_one_that_goes_are_shared_by_the_others(name: str) -> None:
    members = members_of(5)
    policy = POLICIES[name](random.random)
    policy.rebuild(members, members)
    before = chosen(policy, members)
    policy.rebuild(members[1:], members)
    heirs = Counter(new for old, new in zip(before, chosen(policy, members[1:]), strict=True) if old is members[0])
    assert set(heirs) == set(members[1:])
    assert max(heirs.values()) < 0.5 * heirs.total()


@every_table
def test_avoiding_one_is_the_same_as_its_not_being_ready(name: str) -> None:
    members = members_of(6)
    policy = POLICIES[name](random.random)
    policy.rebuild(members, members)
    avoiding = chosen(policy, members, frozenset([2]))
    ready = members[:2] + members[3:]
    policy.rebuild(ready, members)
    assert chosen(policy, ready) == avoiding


@every_table
def test_a_flap_lays_no_table(name: str) -> None:
    members = members_of(4)
    policy = POLICIES[name](random.random)
    policy.rebuild(members, members)
    before = laid()
    policy.rebuild(members[1:], members)
    policy.rebuild([], members)
    policy.rebuild(members, members)
    assert laid() == before
    members[0].weight = 2
    policy.rebuild(members, members)
    assert laid() == before + 1


def laid() -> int:
    """How often a table was asked for, be it one that was laid before."""
    return sum(made.cache_info().hits + made.cache_info().misses for made in (ring, build_table))


@every_table
def test_next_to_nobody_ready_is_found_and_moves_no_other_key(name: str) -> None:
    members = members_of(10 * MAX_PROBES)
    policy = POLICIES[name](random.random)
    before = members[5:15]
    policy.rebuild(before, members)
    ten = chosen(policy, before)
    assert set(ten) == set(before)
    policy.rebuild(before[:-1], members)
    nine = chosen(policy, before[:-1])
    assert all(new is old for old, new in zip(ten, nine, strict=True) if old is not before[-1])


@every_table
def test_order_of_the_list_decides_nothing(name: str) -> None:
    members = members_of(7)
    policy = POLICIES[name](random.random)
    policy.rebuild(members)
    before = chosen(policy, members)
    members.reverse()
    policy.rebuild(members)
    assert chosen(policy, members) == before


@every_table
def test_requests_without_a_key_go_anywhere(name: str) -> None:
    policy = POLICIES[name](random.Random(1).random)
    policy.rebuild(members_of(4))
    assert {policy.pick(b"", (), 0.0) for _ in range(200)} == {0, 1, 2, 3}
