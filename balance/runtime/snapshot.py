"""Everything a worker needs to serve, built once from a configuration and never changed: a reload is one assignment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from balance.balancing import POLICIES
from balance.config.model import Config, HttpConfig, IpNetwork, PoolConfig, SessionCookie, Timeouts
from balance.model import Address, Mode
from balance.runtime.backend import Backend
from balance.runtime.cells import Row
from balance.runtime.guard import Shared
from balance.runtime.guarded import GuardedPool, needs_guard
from balance.runtime.limited import LimitedPool, is_limited
from balance.runtime.pool import Pool
from balance.runtime.sticky import StickyPool


@dataclass(frozen=True, slots=True)
class Listener:
    """An address that clients connect to, with all that decides how they are served."""

    name: str
    addresses: tuple[Address, ...]
    mode: Mode
    pool: Pool
    timeouts: Timeouts
    http: HttpConfig
    trusted_proxies: tuple[IpNetwork, ...]
    cookie: SessionCookie | None = None  # that names a client's session


@dataclass(frozen=True, slots=True)
class Snapshot:
    listeners: tuple[Listener, ...]
    pools: Mapping[str, Pool]


def backend_slots(config: Config) -> dict[tuple[str, str], int]:
    """Which block of the board belongs to which (pool, backend). Slot 0 stands for no backend."""
    names = [(pool.name, backend.name) for pool in config.pools for backend in pool.backends]
    return {name: slot for slot, name in enumerate(names, start=1)}


def _cookie(pool: PoolConfig) -> SessionCookie | None:
    affinity = pool.affinity
    return affinity.cookie if affinity.enabled and affinity.mode == "cookie" else None


def build(
    config: Config, slots: Mapping[tuple[str, str], int], row: Row, rand: Callable[[], float], shared: Shared | None = None
) -> Snapshot:
    """Make the live objects of a checked configuration. `row` is where this worker counts; `rand` is in [0, 1).

    `shared` is what it has in common with the other workers, None when there are none.
    """
    shared = shared or Shared.with_nobody(row.cells)
    idle_timeouts = {listener.pool: listener.http.keepalive.idle_timeout_s for listener in config.listeners}
    pools: dict[str, Pool] = {}
    for pool in config.pools:
        idle_s = idle_timeouts.get(pool.name)
        backends = [Backend(backend, slots[pool.name, backend.name], idle_s) for backend in pool.backends]
        policy = POLICIES[pool.algorithm](rand)
        reserve = POLICIES[pool.algorithm](rand) if any(backend.is_backup for backend in backends) else None
        if pool.affinity.enabled:
            pools[pool.name] = StickyPool(pool, backends, policy, row, shared, reserve)
        elif is_limited(pool):
            pools[pool.name] = LimitedPool(pool, backends, policy, row, shared, reserve)
        elif needs_guard(pool):
            pools[pool.name] = GuardedPool(pool, backends, policy, row, shared, reserve)
        else:
            pools[pool.name] = Pool(pool.name, backends, pool.algorithm, policy, row, pool.hash_key, reserve)
    listeners = tuple(
        Listener(
            name=listener.name,
            addresses=listener.addresses,
            mode=listener.mode,
            pool=pools[listener.pool],
            timeouts=listener.timeouts,
            http=listener.http,
            trusted_proxies=config.trusted_proxies,
            cookie=_cookie(config.pool(listener.pool)),
        )
        for listener in config.listeners
    )
    return Snapshot(listeners, pools)
