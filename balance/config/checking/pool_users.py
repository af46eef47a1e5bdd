"""Which listeners use a pool: itself, or by a route that leads to it."""

from __future__ import annotations

from balance.config.model import Config, ListenerConfig


def users_of(config: Config) -> dict[str, list[tuple[int, ListenerConfig]]]:
    """The listeners of each pool, with their index; none for a pool that nobody uses. A pool may be undefined."""
    users: dict[str, list[tuple[int, ListenerConfig]]] = {pool.name: [] for pool in config.pools}
    for index, listener in enumerate(config.listeners):
        for pool in listener.pools:
            users.setdefault(pool, []).append((index, listener))
    return users
