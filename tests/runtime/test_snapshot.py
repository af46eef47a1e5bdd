"""From a checked configuration to live objects."""

import ipaddress
from dataclasses import FrozenInstanceError, replace
from typing import Any

import pytest

from balance.balancing import POLICIES
from balance.config.model import (
    BackendConfig,
    CircuitBreaker,
    Config,
    HashKey,
    HttpConfig,
    Keepalive,
    ListenerConfig,
    PoolConfig,
    Retry,
)
from balance.http1.head import RequestFields
from balance.model import Address, Mode, Outcome
from balance.runtime import counters
from balance.runtime.backend_slots import LISTENER
from balance.runtime.row import Row
from balance.runtime.snapshot import Renewal, Snapshot, backend_slots, build, prepare


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
    view = memoryview(bytearray(8 * counters.row_cells(len(slots) + 1))).cast("Q")
    return build(config, slots, Row(view), lambda: 0.0), view


def test_listeners_share_their_pool_s_retry_budget_and_workers_its_floor() -> None:
    config = configured()
    first, second = config.pools
    asked = replace(config, pools=(first, replace(second, retry=Retry(enabled=False))), workers=4)
    web, api, raw = built(asked)[0].listeners
    assert web.retrying is api.retrying is not None
    assert web.retrying.budget.available(100.0) == 25
    assert raw.retrying is None


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
    assert more.retrying["first"].budget.available(100.0) == 50


def test_every_backend_of_every_pool_and_every_listener_has_a_slot_of_its_own_and_none_is_nobody_s() -> None:
    slots = backend_slots(configured())
    listeners = {(LISTENER, "web"): 4, (LISTENER, "api"): 5, (LISTENER, "raw"): 6}
    assert slots == {("first", "a"): 1, ("first", "b"): 2, ("second", "a"): 3} | listeners


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
    assert [view[backend.block + counters.LEASES] for backend in pool.backends] == shares


@pytest.mark.parametrize("algorithm", sorted(POLICIES))
def test_pool_of_every_algorithm_is_built_and_chooses(algorithm: str) -> None:
    snapshot, view = built(configured(algorithm))
    pool = snapshot.pools["first"]
    assert all(pool.acquire(b"key", 0.0) is not None for _ in range(8))
    assert sum(view[backend.block + counters.LEASES] for backend in pool.backends) == 8


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


# --- beside one that is served --------------------------------------------------------------------------------


class Served:
    """A snapshot that is served, and what a reload would make of it."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.slots = backend_slots(config) | {("first", "c"): 4, ("first", "d"): 5}
        self.row = Row(memoryview(bytearray(8 * counters.row_cells(8))).cast("Q"))
        self.snapshot = build(config, self.slots, self.row, lambda: 0.0)

    def prepared(self, config: Config, slots: dict[tuple[str, str], int] | None = None) -> tuple[Snapshot, list[Renewal]]:
        return prepare(config, slots or self.slots, self.row, lambda: 0.0, None, self.snapshot)

    def first(self, *backends: BackendConfig, **changes: Any) -> Config:
        """The configuration with another first pool."""
        pool = self.config.pools[0]
        return replace(
            self.config, pools=(replace(pool, backends=backends or pool.backends, **changes), *self.config.pools[1:])
        )


A = BackendConfig("a", Address("127.0.0.1", 1), 3)
B = BackendConfig("b", Address("127.0.0.1", 2), 1)
C = BackendConfig("c", Address("127.0.0.1", 3), 1)


def test_nothing_of_what_is_served_is_touched_before_the_renewals() -> None:
    served = Served(configured("weighted-round-robin"))
    pool = served.snapshot.pools["first"]
    a, b = pool.backends
    lease = pool.acquire(b"", 0.0)
    before = (a.load.weight, b.load.weight, a.is_ready, pool.backends, pool.ready, a.idle_time, a.health)
    config = served.first(replace(A, weight=9), C, breaker=CircuitBreaker(enabled=True))
    config = replace(
        config,
        listeners=tuple(
            replace(each, http=HttpConfig(keepalive=Keepalive(idle_timeout_s=7.0))) if each.pool == "first" else each
            for each in config.listeners
        ),
    )
    snapshot, renewals = served.prepared(config)
    assert (a.load.weight, b.load.weight, a.is_ready, pool.backends, pool.ready, a.idle_time) == before[:-1]
    assert pool.acquire(b"", 0.0) is not None
    assert list(snapshot.pools["first"].ready) == []
    for renewal in renewals:
        renewal.apply()
    assert (a.load.weight, a.idle_time.limit_s(0.0)) == (9, 7.0)
    assert [backend.name for backend in snapshot.pools["first"].ready] == ["a", "c"]
    assert lease is not None


def test_a_pool_that_says_the_same_is_the_same_pool() -> None:
    served = Served(configured())
    snapshot, renewals = served.prepared(served.first(A, B, C))
    assert snapshot.pools["second"] is served.snapshot.pools["second"]
    assert [renewal.pool.name for renewal in renewals] == ["first"]
    same, none = served.prepared(replace(served.config, trusted_proxies=()))
    assert none == []
    assert all(same.pools[name] is pool for name, pool in served.snapshot.pools.items())
    assert same.listeners[0].trusted_proxies == ()
    assert same.listeners[0] != served.snapshot.listeners[0]
    assert served.prepared(served.config)[0].listeners == served.snapshot.listeners


@pytest.mark.parametrize(
    "change",
    [
        {"algorithm": "random"},
        {"breaker": CircuitBreaker(enabled=True)},
        {"hash_key": HashKey("query", "user"), "algorithm": "maglev"},
        {"retry": Retry(enabled=True)},
    ],
)
def test_in_a_pool_that_has_changed_who_stays_is_the_same_backend_with_what_it_holds(change: dict[str, Any]) -> None:
    served = Served(configured())
    before = served.snapshot.pools["first"]
    lease = before.acquire(b"", 0.0)
    assert lease is not None
    snapshot, renewals = served.prepared(served.first(B, A, C, **change))
    after = snapshot.pools["first"]
    assert after is not before
    for renewal in renewals:
        renewal.apply()
    assert [backend.name for backend in after.backends] == ["b", "a", "c"]
    assert set(before.backends) < set(after.backends)
    assert lease.backend.load.active == 1
    lease.release(Outcome.OK, 1.0)
    assert lease.backend.load.active == 0
    assert all(after.acquire(b"k", 1.0) is not None for _ in range(3))


def test_the_same_name_in_another_slot_is_another_backend() -> None:
    served = Served(configured())
    before = served.snapshot.pools["first"]
    moved = served.slots | {("first", "a"): 5}  # another address
    snapshot, renewals = served.prepared(served.first(replace(A, address=Address("127.0.0.1", 9)), B), moved)
    a, b = snapshot.pools["first"].backends
    assert a not in before.backends
    assert b is before.backends[1]
    assert [[backend.name for backend, *_ in renewal.settings] for renewal in renewals] == [["b"]]


def test_one_that_comes_back_while_it_is_still_in_use_is_the_same_backend() -> None:
    served = Served(configured())
    a, b = served.snapshot.pools["first"].backends
    without, _ = served.prepared(served.first(A))
    again, renewals = prepare(served.config, served.slots, served.row, lambda: 0.0, None, without, leaving=[b])
    assert again.pools["first"].backends == (a, b)
    assert {backend.name for renewal in renewals for backend, *_ in renewal.settings} == {"a", "b"}
    strange, _ = prepare(served.config, served.slots, served.row, lambda: 0.0, None, without)
    assert strange.pools["first"].backends[1] is not b


@pytest.mark.parametrize("algorithm", sorted(POLICIES))
def test_a_pool_of_every_algorithm_chooses_by_its_new_weights(algorithm: str) -> None:
    served = Served(configured(algorithm))
    snapshot, renewals = served.prepared(served.first(replace(A, weight=1), replace(B, weight=7), C))
    for renewal in renewals:
        renewal.apply()
    pool = snapshot.pools["first"]
    leases = [pool.acquire(b"%d" % number, 0.0) for number in range(9)]
    assert all(lease is not None for lease in leases)
    if algorithm == "weighted-round-robin":
        counts = {backend.name: backend.load.active for backend in pool.backends}
        assert counts == {"a": 1, "b": 7, "c": 1}


def test_leases_given_by_another_algorithm_do_not_loosen_the_bound_once_they_have_ended() -> None:
    backends = tuple(BackendConfig(f"b{number}", Address("a", number)) for number in range(4))
    config = Config((ListenerConfig("main", (), Mode.HTTP, "web"),), (PoolConfig("web", backends),))
    before, view = built(config)
    held = [before.pools["web"].acquire(b"", 0.0) for _ in range(400)]
    other = replace(config, pools=(replace(config.pools[0], algorithm="bounded-load"),))
    after, renewals = prepare(other, backend_slots(other), Row(view), lambda: 0.0, None, before)
    for renewal in renewals:
        renewal.apply()
    pool = after.pools["web"]
    for lease in held:
        assert lease is not None
        lease.release(Outcome.OK, 1.0)
    for _ in range(40):
        pool.acquire(b"hot", 2.0)
    assert max(backend.load.active for backend in pool.backends) <= 13  # 1.25 x the mean of 10
