"""From a checked configuration to live objects."""

import ipaddress
from dataclasses import FrozenInstanceError

import pytest

from balance.balancing import POLICIES
from balance.config.model import BackendConfig, Config, HttpConfig, Keepalive, ListenerConfig, PoolConfig
from balance.model import Address, Mode
from balance.runtime import cells
from balance.runtime.cells import Row
from balance.runtime.snapshot import Snapshot, backend_slots, build


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


@pytest.mark.parametrize("algorithm", sorted(POLICIES))
def test_pool_chooses_by_the_algorithm_it_names(algorithm: str) -> None:
    snapshot, view = built(configured(algorithm))
    pool = snapshot.pools["first"]
    assert pool.algorithm == algorithm
    leases = [pool.acquire(b"", 0.0) for _ in range(8)]
    shares = [sum(lease is not None and lease.backend is backend for lease in leases) for backend in pool.backends]
    assert shares == ([4, 4] if algorithm == "round-robin" else [6, 2])
    assert [view[backend.block + cells.LEASES] for backend in pool.backends] == shares


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
