"""A pool that discovery has found nobody for, with everything that a pool may have: it is built, refuses, fills and empties."""

import random
from dataclasses import replace
from typing import Any

import pytest

from balance.balancing import POLICIES
from balance.config.model import (
    BackendConfig,
    CircuitBreaker,
    Config,
    HealthCheck,
    ListenerConfig,
    PoolConfig,
    SessionAffinity,
)
from balance.discovery.settings import Discovery, FileDiscovery
from balance.model import Address, Mode, Why
from balance.runtime import counters
from balance.runtime.row import Row
from balance.runtime.snapshot import Snapshot, backend_slots, build, prepare

LISTENER = ListenerConfig("main", (Address("", 80),), Mode.HTTP, "web")
KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "checked": {"health_check": HealthCheck(enabled=True, panic_threshold=50, slow_start_s=3.0)},
    "breaker": {"breaker": CircuitBreaker(enabled=True)},
    "cookie": {"affinity": SessionAffinity(enabled=True, secret="s" * 32)},
    "source-ip": {"affinity": SessionAffinity(enabled=True, mode="source-ip")},
}


def configured(algorithm: str, kind: str, count: int, **backend: Any) -> Config:
    backends = tuple(BackendConfig(f"b{n}", Address("127.0.0.1", 9000 + n), **backend) for n in range(count))
    pool = PoolConfig("web", backends, algorithm, discovery=Discovery(FileDiscovery("x")), **KINDS[kind])
    return Config((LISTENER,), (pool,))


def row() -> Row:
    return Row(memoryview(bytearray(8 * counters.row_cells(16))).cast("Q"))


def renewed(snapshot: Snapshot, config: Config, shared: Row) -> Snapshot:
    following, renewals = prepare(config, backend_slots(config), shared, random.random, None, snapshot)
    for renewal in renewals:
        renewal.apply()
    snapshot.pools["web"].retire()
    return following


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("algorithm", POLICIES)
def test_it_refuses_fills_and_empties(algorithm: str, kind: str) -> None:
    shared = row()
    config = configured(algorithm, kind, 0)
    snapshot = build(config, backend_slots(config), shared, random.random)
    for limit in (0, 5):
        for count in (0, 3, 0, 1, 0):
            snapshot = renewed(snapshot, configured(algorithm, kind, count, max_connections=limit), shared)
            pool = snapshot.pools["web"]
            pool.tick()
            lease = pool.acquire(b"key", 1.0)
            assert (lease is None) is (count == 0)
            if lease is None:
                assert pool.why_nobody is Why.NO_HEALTHY
                assert pool.spare(1.0, ()) is None
                assert not pool.has_other(())
                assert not pool.may_wait(())
            else:
                lease.withdraw(1.0)
    assert replace(config) == config
