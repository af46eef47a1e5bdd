"""Errors of the protocol that backends speak: what HTTP/2 can't be had with."""

from __future__ import annotations

from collections.abc import Iterator

from balance.config.build import KeyPaths
from balance.config.checking.pool_users import users_of
from balance.config.model import BackendConfig, Config, PoolConfig
from balance.config.reading.document import Path
from balance.model import Mode

Finding = tuple[Path, str]


def backend_protocol_errors(config: Config, paths: KeyPaths) -> Iterator[Finding]:
    """What keeps an instance from starting."""
    users = users_of(config)
    copied_to = {
        route.policy.mirror.pool
        for listener in config.listeners
        for route in listener.http.routes
        if route.policy.mirror is not None
    }
    asked = {listener.security.forward_auth.asked for listener in config.listeners}
    asked |= {route.security.forward_auth.asked for listener in config.listeners for route in listener.http.routes}
    for index, pool in enumerate(config.pools):
        of_tcp = [listener.name for _, listener in users[pool.name] if listener.mode is Mode.TCP]
        for number, backend in enumerate(pool.backends):
            if backend.protocol == "http1":
                continue
            where = _path(index, number, paths)
            yield from _tls_errors(pool, backend, where)
            if of_tcp:
                yield where, f"{backend.protocol} is for HTTP mode, and listener {of_tcp[0]!r} has mode tcp"
            if pool.proxy_protocol.version:
                message = "shares connections between clients, and the header of proxy_protocol.send names one; write http1"
                yield where, f"{backend.protocol} {message}"
            if pool.name in copied_to or pool.name in asked:
                users_are = "copies of a mirror" if pool.name in copied_to else "questions to an authorizer"
                yield where, f"{backend.protocol} is not for {users_are}, which are sent with HTTP/1.1; write http1"


def _tls_errors(pool: PoolConfig, backend: BackendConfig, where: Path) -> Iterator[Finding]:
    has_tls = pool.tls.is_for(backend.scheme)
    if backend.protocol == "h2c" and has_tls:
        yield where, "h2c is without TLS, and this backend has TLS; write h2"
    elif backend.protocol == "h2" and not has_tls:
        yield where, "h2 is over TLS, and this backend has none; write https:// in its address, or h2c"
    elif backend.protocol == "auto" and not has_tls:
        yield where, "auto asks by ALPN, which is of TLS, and this backend has none; write h2c or http1"


def _path(index: int, number: int, paths: KeyPaths) -> Path:
    """Where the protocol of a backend stands."""
    own = (*paths.pools[index], "backends", number, "protocol")
    return own if paths.document.has(own) else paths.pool(index, "backend_protocol")
