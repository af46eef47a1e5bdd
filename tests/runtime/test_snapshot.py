"""From a checked configuration to live objects."""

import ipaddress
from dataclasses import FrozenInstanceError, replace
from typing import Any

import pytest

from balance.balancing import POLICIES
from balance.config.model import BackendConfig, Config, HashKey, HttpConfig, Keepalive, ListenerConfig, PoolConfig, Retry
from balance.http1.head import RequestFields
from balance.model import Address, Mode
from balance.runtime import cells
from balance.runtime.cells import Row
from balance.runtime.snapshot import Snapshot, backend_slots, build, prepare


def configured(algorithm: str = "round-robin", http: HttpConfig | None = None) -> Config:
    """Two pools and three listeners; both pools call their backend `a`."""
    backends = tuple(
        BackendConfig(name, Address("127.0.0.1", port), weight) for name, port, weight in (("a", 1, 3), ("b", 2, 1))
    )
    return Config(
        listeners=(
            ListenerConfig("web", (Address("", 80), Address("", 81)), Mode.HTTP, "first", http=http or HttpConfig()),
            ListenerConfig("api", (Address("", 82),), Mode.HTTP, "first", http=http or HttpConfig()),
            ListenerConfig("raw", (Address("", 83),), Mode.TCP, "second"),
        ),
        pools=(PoolConfig("first", backends, algorithm), PoolConfig("second", backends[:1])),
        trusted_proxies=(ipaddress.ip_network("10.0.0.0/8"),),
    )


def built(config: Config) -> tuple[Snapshot, memoryview]:
    slots = backend_slots(config)
    view = memoryview(bytearray(8 * cells.row_cells(len(slots) + 1))).cast("Q")
    return build(config, slots, Row(view), lambda: 0.0), view


def test_listeners_share_their_pool_s_retry_budget_and_workers_its_floor() -> None:
    config = configured()
    first, second = config.pools
    asked = replace(config, pools=(replace(first, retry=Retry(enabled=True)), second), workers=4)
    web, api, raw = built(asked)[0].listeners
    assert web.retrying is api.retrying is not None
    assert web.retrying.budget.left(100.0) == 25
    assert raw.retrying is None
    assert [listener.retrying for listener in built(config)[0].listeners] == [None, None, None]


@pytest.mark.parametrize(
    ("change", "lives_on"),
    [({}, True), ({"algorithm": "random"}, True), ({"retry": Retry(enabled=True, max_attempts=9)}, False)],
)
def test_what_was_paid_for_retries_lives_on_while_their_settings_are_the_same(change: dict[str, Any], lives_on: bool) -> None:
    config = configured()
    config = replace(config, pools=(replace(config.pools[0], retry=Retry(enabled=True)), config.pools[1]))
    before, view = built(config)
    after = replace(config, pools=(replace(config.pools[0], **change), config.pools[1]))
    snapshot, _ = prepare(after, before.slots, Row(view), lambda: 0.0, previous=before)
    assert (snapshot.retrying["first"] is before.retrying["first"]) is lives_on
    assert snapshot.listeners[0].retrying is snapshot.retrying["first"]
    more, _ = prepare(replace(after, workers=2), before.slots, Row(view), lambda: 0.0, previous=snapshot)
    assert more.retrying["first"].budget.left(100.0) == 50


def test_every_backend_of_every_pool_has_a_slot_of_its_own_and_none_is_nobody_s() -> None:
    slots = backend_slots(configured())
    assert slots == {("first", "a"): 1, ("first", "b"): 2, ("second", "a"): 3}


def test_listeners_share_the_pool_that_they_name() -> None:
    snapshot, _ = built(configured())
    web, api, raw = snapshot.listeners
    assert web.pool is api.pool is snapshot.pools["first"]
    assert raw.pool is snapshot.pools["second"]
    assert (web.mode, raw.mode, web.addresses) == (Mode.HTTP, Mode.TCP, (Address("", 80), Address("", 81)))
    assert web.trusted_proxies == (ipaddress.ip_network("10.0.0.0/8"),)


@pytest.mark.parametrize(
    ("algorithm", "due"),
    [
        ("round-robin", [4, 4]),
        ("weighted-round-robin", [6, 2]),
        ("least-connections", [6, 2]),
        ("weighted-least-connections", [6, 2]),
    ],
)
def test_pool_chooses_by_the_algorithm_it_names(algorithm: str, due: list[int]) -> None:
    snapshot, view = built(configured(algorithm))
    pool = snapshot.pools["first"]
    assert pool.algorithm == algorithm
    leases = [pool.acquire(b"", 0.0) for _ in range(8)]
    shares = [sum(lease is not None and lease.backend is backend for lease in leases) for backend in pool.backends]
    assert shares == due
    assert [view[backend.block + cells.LEASES] for backend in pool.backends] == shares


@pytest.mark.parametrize("algorithm", sorted(POLICIES))
def test_pool_of_every_algorithm_is_built_and_chooses(algorithm: str) -> None:
    snapshot, view = built(configured(algorithm))
    pool = snapshot.pools["first"]
    assert all(pool.acquire(b"key", 0.0) is not None for _ in range(8))
    assert sum(view[backend.block + cells.LEASES] for backend in pool.backends) == 8


def test_pool_hashes_by_what_its_configuration_says() -> None:
    config = configured("maglev")
    config = replace(config, pools=(replace(config.pools[0], hash_key=HashKey("query", "user")), config.pools[1]))
    snapshot, _ = built(config)
    key_of = snapshot.pools["first"].key_of
    assert key_of is not None
    assert key_of(RequestFields(), b"/a?user=7", "10.0.0.1") == b"7"
    assert snapshot.pools["second"].key_of is None


def test_same_backend_is_hashed_alike_in_every_worker() -> None:
    pools = [built(configured("maglev"))[0].pools["first"] for _ in range(2)]
    for key in (b"a", b"b", b"c", b"d"):
        first, second = (pool.acquire(key, 0.0) for pool in pools)
        assert first is not None
        assert second is not None
        assert first.backend.name == second.backend.name


def test_same_address_in_two_pools_is_two_backends() -> None:
    snapshot, _ = built(configured())
    first, second = snapshot.pools["first"].backends[0], snapshot.pools["second"].backends[0]
    assert first.address == second.address
    assert first.load is not second.load
    assert first.block != second.block


@pytest.mark.parametrize(("configured_s", "limit_s"), [(None, 4.0), (30.0, 30.0)])
def test_backends_keep_idle_connections_as_long_as_their_listener_says(configured_s: float | None, limit_s: float) -> None:
    snapshot, _ = built(configured(http=HttpConfig(keepalive=Keepalive(idle_timeout_s=configured_s))))
    assert {backend.idle_time.limit_s(0.0) for backend in snapshot.pools["first"].backends} == {limit_s}


def test_snapshot_is_never_changed() -> None:
    snapshot, _ = built(configured())
    with pytest.raises(FrozenInstanceError):
        snapshot.pools = {}  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        snapshot.listeners[0].name = "x"  # type: ignore[misc]
