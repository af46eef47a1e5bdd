"""What discovery finds is laid over the file, beneath operators: operator > discovery > file."""

import json
from typing import Any

import pytest

from balance.config.loading import LoadedWithChanges, load_with_changes
from balance.config.overrides.discovered import lay_discovered, mark_pools
from balance.config.overrides.runtime_overrides import DISCOVERED, BackendChange, Verb
from balance.config.reading.document import Document
from balance.discovery.discovered_pool import DiscoveredPool, replaced
from balance.discovery.endpoint import Endpoint
from balance.errors import ConfigError

SIMPLE = "listen: ':8080'\ndiscovery: {file: {path: x}}\n"
BESIDE = SIMPLE + "backends: [{name: own, address: '10.0.0.9:80', weight: 7, max_connections: 5}]\n"
POOLS = """\
listeners: [{listen: ":8080", pool: app}, {listen: ":8081", pool: raw}, {listen: ":8082", pool: top}]
discovery: {file: {path: x}}
pools:
  app: {discovery: {file: {path: y}}}
  raw: {backends: [{name: a, address: "10.0.0.9:80"}]}
  top: {}
"""
A, B = Endpoint("10.0.0.1:80"), Endpoint("10.0.0.2:80", "b", 3)


def loaded(text: str, *changes: BackendChange, pool: str = "default", found: tuple[Endpoint, ...] = (A, B),
           absent: tuple[str, ...] = ()) -> LoadedWithChanges:  # fmt: skip
    return load_with_changes(text, "f.yaml", {}, changes, discovered=[DiscoveredPool(pool, found, absent)])


def seen(of: LoadedWithChanges, pool: str = "default") -> list[str]:
    return [f"{each.name} {each.address} {each.weight}" for each in of.loaded.config.pool(pool).backends]


def change(verb: str, name: str, **values: Any) -> BackendChange:
    return BackendChange(Verb(verb), "default", name, json.dumps(values))


def test_a_pool_has_what_is_found_beside_its_own() -> None:
    assert seen(loaded(SIMPLE)) == ["10.0.0.1:80 10.0.0.1:80 1", "b 10.0.0.2:80 3"]
    assert seen(loaded(BESIDE)) == ["own 10.0.0.9:80 7", "10.0.0.1:80 10.0.0.1:80 1", "b 10.0.0.2:80 3"]
    assert seen(loaded(SIMPLE, found=())) == []
    assert loaded(SIMPLE).loaded.config.pools[0].discovery is not None


@pytest.mark.parametrize(("pool", "count"), [("app", 2), ("raw", 1), ("top", 2), ("gone", 0)])
def test_only_pools_with_discovery_take_what_was_found(pool: str, count: int) -> None:
    now = loaded(POOLS, pool=pool)
    if pool != "gone":
        assert len(now.loaded.config.pool(pool).backends) == count
        assert (now.loaded.config.pool(pool).discovery is None) is (pool == "raw")
    assert sum(len(each.backends) for each in now.loaded.config.pools) == (count if pool == "raw" else count + 1)


def test_an_endpoint_at_an_address_of_the_file_is_that_backend_and_says_the_rest() -> None:
    there = (Endpoint("10.0.0.9:80", weight=2, region="eu"),)
    (backend,) = loaded(BESIDE, found=there).loaded.config.pools[0].backends
    assert (backend.name, backend.weight, backend.region, backend.max_connections) == ("own", 2, "eu", 5)
    (backend,) = loaded(BESIDE, found=(Endpoint("10.0.0.9:80"),)).loaded.config.pools[0].backends
    assert backend.weight == 7  # it says nothing of it


def test_who_drains_gets_nothing_new_and_a_backup_is_one() -> None:
    ends = (Endpoint("a:1", draining=True, weight=5), Endpoint("b:1", backup=True), Endpoint("c:1", metadata=(("x", "y"),)))
    a, b, c = loaded(SIMPLE, found=ends).loaded.config.pools[0].backends
    assert (a.weight, b.backup, c.metadata) == (0, True, (("x", "y"),))


def test_what_operators_say_of_a_discovered_backend_survives_refreshes() -> None:
    """S17."""
    first = loaded(SIMPLE, change("set", "b", weight=9), change("remove", A.key))
    assert seen(first) == ["b 10.0.0.2:80 9"]
    assert {each.basis for each in first.kept if isinstance(each, BackendChange)} == {DISCOVERED}
    refreshed = loaded(SIMPLE, *first.kept, found=(A, Endpoint("10.0.0.2:80", "b", 4), Endpoint("10.0.0.3:80")))  # type: ignore[arg-type]
    assert seen(refreshed) == ["b 10.0.0.2:80 9", "10.0.0.3:80 10.0.0.3:80 1"]
    same = loaded(SIMPLE, *first.kept, found=(A, Endpoint("10.0.0.2:80", "b", 9)))  # type: ignore[arg-type]
    assert len(same.kept) == 2  # it stays, for when discovery says something else


def test_a_backend_that_comes_back_within_the_hold_is_as_the_operator_left_it() -> None:
    """S17."""
    kept = loaded(SIMPLE, change("set", "b", weight=9)).kept
    gone = loaded(SIMPLE, *kept, found=(A,), absent=("b",))  # type: ignore[arg-type]
    assert (seen(gone), gone.dropped, gone.kept) == (["10.0.0.1:80 10.0.0.1:80 1"], (), kept)
    assert "b 10.0.0.2:80 9" in seen(loaded(SIMPLE, *gone.kept))  # type: ignore[arg-type]
    late = loaded(SIMPLE, *kept, found=(A,))  # type: ignore[arg-type]
    assert late.kept == ()
    assert "discovery does not find it any more" in late.dropped[0]


def test_a_backend_that_an_operator_added_stays_his_when_discovery_finds_it() -> None:
    added = loaded(SIMPLE, change("add", "b", address="10.0.0.7:80", weight=2), found=(A,))
    assert "b 10.0.0.7:80 2" in seen(added)
    found = loaded(SIMPLE, *added.kept)  # type: ignore[arg-type]
    assert seen(found) == ["10.0.0.1:80 10.0.0.1:80 1", "b 10.0.0.7:80 2"]
    assert found.dropped == ()


def test_an_operator_may_add_to_an_empty_pool() -> None:
    assert seen(loaded(SIMPLE, change("add", "x", address="10.0.0.7:80"), found=())) == ["x 10.0.0.7:80 1"]


def test_one_wrong_endpoint_does_not_keep_the_others_out() -> None:
    now = loaded(SIMPLE, found=(A, Endpoint("127.0.0.1:8080"), B))
    assert seen(now) == ["10.0.0.1:80 10.0.0.1:80 1", "b 10.0.0.2:80 3"]
    assert now.dropped == (
        "pool default: 127.0.0.1:8080 is not taken from discovery: '127.0.0.1:8080' is the listener 'main' itself: a loop",
    )
    now = loaded(POOLS, pool="app", found=(Endpoint("127.0.0.1:8080"), A))
    assert seen(now, "app") == ["10.0.0.1:80 10.0.0.1:80 1"]


def test_a_mistake_in_the_file_is_said_of_the_file() -> None:
    with pytest.raises(ConfigError) as caught:
        loaded(SIMPLE + "lisen: 1\n")
    assert [str(each) for each in caught.value.problems] == ["f.yaml:3:1: lisen: unknown key; did you mean 'listen'?"]


def test_a_document_that_is_no_configuration_takes_nothing() -> None:
    for data in ({}, {"pools": []}, {"pools": {"p": 3}}, {"discovery": 4}, {"discovery": {"file": {}}, "backends": 3}):
        document = Document("f.yaml", dict(data))
        mark_pools(document)
        assert not any(names.present for names in lay_discovered(document, [DiscoveredPool("default", (A,))]).values())


def test_sets_replace_those_of_the_same_pool() -> None:
    old, new = DiscoveredPool("p", (A,)), DiscoveredPool("p", (B,))
    other, driver = DiscoveredPool("q", (A,)), DiscoveredPool("p", (A,), by="autoscaler")
    assert replaced((old, other, driver), (new,)) == (new, other, driver)
