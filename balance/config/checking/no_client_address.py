"""Warnings about client addresses on Unix sockets: source-ip settings without effect, trusted_proxies without `unix`."""

from __future__ import annotations

from collections.abc import Iterator

from balance.config.build import KeyPaths
from balance.config.checking.pool_users import users_of
from balance.config.model import UNIX, Config, PoolConfig
from balance.config.reading.document import Path
from balance.config.schema.hash_keys import HASHING
from balance.model import Mode

Finding = tuple[Path, str]

_TRUSTED = ("security", "trusted_proxies")
_FAMILY = ("security", "client_address")


def missing_client_address(config: Config, paths: KeyPaths) -> Iterator[Finding]:
    """Each warning with the path of its key."""
    yield from _trust(config, paths)
    users = users_of(config)
    for index, pool in enumerate(config.pools):
        user = _source_ip_setting(pool)
        if not user:
            continue
        for number, listener in users[pool.name]:
            socket = next((address for address in listener.addresses if address.is_unix), None)
            has_proxy_header = listener.mode is Mode.HTTP and UNIX in config.trusted_proxies
            if socket is None or has_proxy_header:
                continue
            what, *keys = user
            hint = "" if listener.mode is Mode.TCP else f"; with {'.'.join(_TRUSTED)}: [{UNIX}] the proxy in front tells it"
            path = paths.pool(index, *keys)
            yield (
                path if paths.document.has(path) else (*paths.listeners[number], "listen"),
                f"{what} has no effect on {socket}, where clients have no address: their requests go anywhere{hint}",
            )


def _source_ip_setting(pool: PoolConfig) -> tuple[str, ...]:
    """The setting of the pool that needs the client's address, and its keys; () when there is none."""
    if pool.affinity.enabled and pool.affinity.mode == "source-ip":
        return "session_affinity by source-ip", "session_affinity.mode", "session_affinity"
    if pool.algorithm == "source-ip":
        return "source-ip", "load_balancer.algorithm"
    if pool.algorithm in HASHING and pool.hash_key.kind == "source-ip":
        return "hash_key source-ip", "load_balancer.hash_key", "load_balancer.algorithm"
    return ()


def _trust(config: Config, paths: KeyPaths) -> Iterator[Finding]:
    trusted = config.trusted_proxies
    if not trusted:
        if paths.document.has(_FAMILY):
            yield _FAMILY, "has no effect without trusted_proxies: nobody is believed"
        return
    served = [listener for listener in config.listeners if listener.mode is Mode.HTTP]
    if not served:
        yield _TRUSTED, "has no effect: no listener has mode http, and only requests say whom they come from"
        return
    sockets = [address.is_unix for listener in served for address in listener.addresses]
    if UNIX not in trusted and all(sockets):
        yield (
            _TRUSTED,
            f"has no effect: clients of a Unix socket have no address; write {UNIX} to believe the proxy that connects to it",
        )
    elif UNIX in trusted and not any(sockets):
        yield (
            (*_TRUSTED, trusted.index(UNIX)),
            f"no listener of mode http is a Unix socket: {UNIX} only stands for hops that a proxy in front wrote as unix:",
        )
