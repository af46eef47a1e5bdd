"""The shared store of a worker: made where one is configured and used, and made anew when a reload changes it."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING

from balance.config.model import Config, RedisConfig
from balance.runtime.health_gate import Shared
from balance.runtime.snapshot import Snapshot

if TYPE_CHECKING:
    from balance.shared_store.redis_rate_limits import RedisRateLimits
    from balance.shared_store.redis_sessions import RedisSessions
    from balance.shared_store.session_format import Moved


class SharedStore:
    """One per worker."""

    def __init__(self, shared: Shared, row: memoryview, snapshot_of: Callable[[], Snapshot]) -> None:
        """`shared` is where the pools find the store, `row` this worker's; `snapshot_of` returns what is served now."""
        self._shared = shared
        self._row = row
        self._snapshot_of = snapshot_of
        self._config: RedisConfig | None = None
        self._store: RedisSessions | None = None
        self._limits_config: RedisConfig | None = None
        self._limits: RedisRateLimits | None = None

    def use(self, config: Config) -> None:
        """Go over to this configuration. Call it on the worker's loop."""
        self._use_for_sessions(config)
        self._use_for_limits(config)

    def _use_for_sessions(self, config: Config) -> None:
        wanted = config.redis if needs_store(config) else None
        if wanted == self._config:
            return
        self._config = wanted
        if self._store is not None:
            self._store.stop()
            self._store = None
        if wanted is not None:
            from balance.shared_store.redis_sessions import RedisSessions  # 24 MB that other workers do without

            self._store = RedisSessions(wanted, self._row, self._shared.rows, self._moved)
        self._shared.store = self._store

    def _use_for_limits(self, config: Config) -> None:
        wanted = config.redis if config.shares_limits else None
        if wanted == self._limits_config:
            return
        self._limits_config = wanted
        if self._limits is not None:
            self._limits.stop()
            self._limits = None
        if wanted is not None:
            from balance.shared_store.redis_rate_limits import RedisRateLimits  # likewise

            self._limits = RedisRateLimits(wanted, self._row, self._shared.rows, self._shared.moved)

    def _moved(self, moved: Moved) -> None:
        pool = self._snapshot_of().pools.get(moved.pool)
        if pool is not None and pool.affinity is not None and pool.affinity.shared is not None:
            pool.affinity.shared.moved(moved.session, moved.backend, monotonic())


def needs_store(config: Config) -> bool:
    """Whether sessions are in the store."""
    return bool(config.redis.url) and any(pool.affinity.enabled and pool.affinity.mode == "redis" for pool in config.pools)
