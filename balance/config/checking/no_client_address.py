"""Where a client's address is asked for and there is none: what has no effect on a Unix socket, and who is believed there."""

from __future__ import annotations

from collections.abc import Iterator

from balance.config.build import Places
from balance.config.model import UNIX, Config, PoolConfig
from balance.config.reading.document import Path
from balance.config.schema.hash_keys import HASHING
from balance.model import Mode

Finding = tuple[Path, str]

_TRUSTED = ("security", "trusted_proxies")
_FAMILY = ("security", "client_address")


def client_addresses(config: Config, places: Places) -> Iterator[Finding]:
    """Warnings."""
    yield from _trust(config, places)
    for index, pool in enumerate(config.pools):
        asks = _who_asks(pool)
        if not asks:
            continue
        for listener in config.listeners:
            socket = next((address for address in listener.addresses if address.is_unix), None)
            is_told = listener.mode is Mode.HTTP and UNIX in config.trusted_proxies
            if listener.pool != pool.name or socket is None or is_told:
                continue
            what, *keys = asks
            hint = "" if listener.mode is Mode.TCP else f"; with {'.'.join(_TRUSTED)}: [{UNIX}] the proxy in front tells it"
            path = places.pool(index, *keys)
            yield (
                path if places.document.has(path) else (*places.listeners[config.listeners.index(listener)], "listen"),
                f"{what} has no effect on {socket}, where clients have no address: their requests go anywhere{hint}",
            )


def _who_asks(pool: PoolConfig) -> tuple[str, ...]:
    """What of the pool asks for a client's address, and the keys that say so; empty when nothing does."""
    if pool.affinity.enabled and pool.affinity.mode == "source-ip":
        return "session_affinity by source-ip", "session_affinity.mode", "session_affinity"
    if pool.algorithm == "source-ip":
        return "source-ip", "load_balancer.algorithm"
    if pool.algorithm in HASHING and pool.hash_key.kind == "source-ip":
        return "hash_key source-ip", "load_balancer.hash_key", "load_balancer.algorithm"
    return ()


def _trust(config: Config, places: Places) -> Iterator[Finding]:
    trusted = config.trusted_proxies
    if not trusted:
        if places.document.has(_FAMILY):
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
