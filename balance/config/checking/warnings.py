"""Warnings about valid but probably unintended configurations; `balance validate` shows and `balance serve` logs them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import Final

from balance.config.build import CHECK_KEYS, KeyPaths
from balance.config.checking.admin_errors import admin_warnings
from balance.config.checking.log_errors import output_paths
from balance.config.checking.no_client_address import missing_client_address
from balance.config.checking.pool_users import users_of
from balance.config.checking.rate_limit_warnings import rate_limit_warnings
from balance.config.checking.redirect_errors import redirect_warnings
from balance.config.checking.route_warnings import route_warnings
from balance.config.checking.security_warnings import security_warnings
from balance.config.checking.tls.backend_tls_errors import backend_tls_warnings
from balance.config.checking.tls.tls_errors import tls_warnings
from balance.config.checking.tracing_findings import tracing_warnings
from balance.config.checking.unused_timeouts import unused_timeouts
from balance.config.model import Config, Http2, ListenerConfig, PoolConfig
from balance.config.reading.document import Path
from balance.config.schema.hash_keys import HASHING
from balance.config.schema.units import format_duration
from balance.discovery.settings import Discovery, DnsDiscovery, FileDiscovery
from balance.errors import Problem
from balance.model import Address, Mode
from balance.tls.settings import now_s

Finding = tuple[Path, str]

# Durations that are rarely LONG_S or more; a ttl, a tunnel or restart_drain may well be.
SHORT_TIMES = frozenset(
    ("connect", "read", "write", "idle", "half_closed", "request",
     "client_header", "client_body", "keepalive", "drain", "window",
     "ejection_time", "interval", "timeout", "slow_start", "backoff_base", "backoff_max", "per_try_timeout", "idle_timeout",
     "delay")
)  # fmt: skip
LONG_S = 1000

LOOPBACK: Final = frozenset(["127.0.0.1", "::1", "localhost"])
EVERY_ADDRESS: Final = frozenset(["", "0.0.0.0", "::"])
MANY: Final = 1_000_000  # backends of a pool with discovery: nobody knows how many
TYPICAL_BACKEND_KEEPALIVE_S = 5.0  # of uvicorn and Node; Go and Jetty wait longer


def warnings(config: Config, paths: KeyPaths, cpus: int) -> list[Problem]:
    """Every warning, each place and message once."""
    findings = [
        *_listeners(config, paths),
        *_guards(config, paths),
        *_proxy_protocol(config, paths),
        *_pools(config, paths),
        *_resilience(config, paths),
        *_retries(config, paths),
        *_cookies(config, paths),
        *_redis(config),
        *tracing_warnings(config, paths.document, os.environ),
        *missing_client_address(config, paths),
        *_admin_and_metrics(config, paths),
        *_machine(config, cpus),
        *unused_timeouts(config, paths),
        *route_warnings(config, paths),
        *rate_limit_warnings(config, paths),
        *security_warnings(config, paths),
        *_times(paths),
        *tls_warnings(config, paths, now_s()),
        *redirect_warnings(config, paths),
        *admin_warnings(config, paths, now_s()),
        *backend_tls_warnings(config, paths, now_s()),
    ]
    return [paths.document.problem(path, message) for path, message in dict.fromkeys(findings)]


_OF_REQUESTS: Final = ("read_timeout", "min_body_rate", "min_body_rate_grace")


def _guards(config: Config, paths: KeyPaths) -> Iterator[Finding]:
    """Keys of connection_protection that nobody uses."""
    name = "security.connection_protection"
    for index, listener in enumerate(config.listeners):
        for key in ("max_connections_per_ip", "max_connection_rate", *_OF_REQUESTS):
            path = paths.listener(index, f"{name}.{key}")
            if not paths.document.has(path):
                continue
            if not listener.protection.enabled:
                yield path, "has no effect: connection_protection.enabled is false"
            elif key == "min_body_rate_grace" and not listener.protection.min_body_rate:
                yield path, "has no effect: min_body_rate is 0"
            elif key in _OF_REQUESTS and listener.mode is Mode.TCP and (path[0] == "listeners" or _only_tcp(config)):
                yield path, f"has no effect: listener {listener.name!r} has mode tcp"


def _proxy_protocol(config: Config, paths: KeyPaths) -> Iterator[Finding]:
    """What a listener that accepts no PROXY headers does not need."""
    for index, listener in enumerate(config.listeners):
        for key in ("trusted", "timeout"):
            path = paths.listener(index, f"proxy_protocol.{key}")
            if not listener.proxy_protocol.accept and paths.document.has(path):
                yield path, "has no effect: proxy_protocol.accept is false"


def _only_tcp(config: Config) -> bool:
    return all(listener.mode is Mode.TCP for listener in config.listeners)


def _listeners(config: Config, paths: KeyPaths) -> Iterator[Finding]:
    for index, listener in enumerate(config.listeners):
        timeouts = listener.timeouts
        if listener.mode is Mode.TCP:
            own = (*paths.listeners[index], "http")
            none_speaks_http = all(other.mode is Mode.TCP for other in config.listeners)
            if paths.document.has(own) and (own != ("http",) or none_speaks_http):
                yield own, f"has no effect: listener {listener.name!r} has mode tcp"
            if timeouts.idle_s == 0:
                yield (
                    paths.listener(index, "timeouts.idle"),
                    "0 keeps a session that nobody uses any more as long as both machines live; write a long time instead",
                )
            continue
        if listener.http.h2c and listener.tls.enabled and not any(_speaks_h2c(other) for other in config.listeners):
            yield (
                paths.listener(index, "http.h2c"),
                "has no effect: with TLS it is tls.alpn_protocols that offers HTTP/2, and does unless you say otherwise",
            )
        if listener.http.http2 != Http2() and not any(map(_speaks_http2, config.listeners)):
            bounds = paths.listener(index, "http.http2")
            yield bounds, "has no effect: no listener speaks HTTP/2; write h2c: true beside it, or give the listener tls"
        yield from _grpc(config, listener, index, paths)
        if timeouts.keepalive_s and timeouts.client_header_s >= timeouts.keepalive_s:
            yield (
                paths.listener(index, "timeouts.client_header", "timeouts.keepalive"),
                f"client_header, {format_duration(timeouts.client_header_s)}, is not shorter than keepalive, "
                f"{format_duration(timeouts.keepalive_s)}: a slow head holds a connection longer than an idle client may",
            )
        if timeouts.client_header_s == 0:
            yield (
                paths.listener(index, "timeouts.client_header"),
                "0 lets a client that never ends its head hold a connection for ever (slowloris)",
            )
        idle_s = listener.http.keepalive.idle_timeout_s
        if idle_s is not None and idle_s >= TYPICAL_BACKEND_KEEPALIVE_S:
            yield (
                paths.listener(index, "http.keepalive.idle_timeout"),
                f"{format_duration(idle_s)} is longer than many backends keep a connection (uvicorn and Node: 5s): "
                "requests meet connections that just closed; auto learns each backend's time",
            )
        if timeouts.request_s and timeouts.request_s < timeouts.connect_s:
            yield (
                paths.listener(index, "timeouts.request", "timeouts.connect"),
                f"request, {format_duration(timeouts.request_s)}, is over before connect, "
                f"{format_duration(timeouts.connect_s)}, can fail: no other backend is tried",
            )


def _grpc(config: Config, listener: ListenerConfig, index: int, paths: KeyPaths) -> Iterator[Finding]:
    ages = listener.http.http2
    if ages.max_connection_age_grace_s and not ages.max_connection_age_s:
        path = paths.listener(index, "http.http2.max_connection_age_grace")
        yield path, "has no effect: without max_connection_age no connection is old"
    backends = [backend for name in listener.pools for backend in config.pool(name).backends]
    if listener.http.grpc_web and backends and all(backend.protocol == "http1" for backend in backends):
        path = paths.listener(index, "http.grpc_web")
        yield path, "calls go to backends as gRPC, which needs HTTP/2, and none has it: write protocol: h2c, h2 or auto"


def _speaks_h2c(listener: ListenerConfig) -> bool:
    return listener.mode is Mode.HTTP and listener.http.h2c and not listener.tls.enabled


def _speaks_http2(listener: ListenerConfig) -> bool:
    has_alpn = listener.mode is Mode.HTTP and listener.tls.enabled and "h2" in listener.tls.alpn_protocols
    return has_alpn or _speaks_h2c(listener)


def _has_weights(discovery: Discovery) -> bool:
    return isinstance(discovery.source, DnsDiscovery) and discovery.source.type == "srv"


def _pools(config: Config, paths: KeyPaths) -> Iterator[Finding]:
    users_by_pool = users_of(config)
    for index, pool in enumerate(config.pools):
        where, check = paths.pools[index], pool.health_check
        users = users_by_pool[pool.name]
        if not users:
            has_routes = any(listener.http.routes for listener in config.listeners)
            yield where, "is used by no listener" + (", nor by a route" if has_routes else "")
        weights = {backend.weight for backend in pool.backends}
        if weights == {0} and pool.discovery is None:
            yield (*where, "backends"), "every backend has weight 0: whatever is new is answered 503"
        if pool.algorithm == "round-robin" and len(weights - {0}) > 1:
            algorithm = paths.pool(index, "load_balancer.algorithm")
            yield (
                algorithm if paths.document.has(algorithm) else (*where, "backends"),
                "round-robin looks at no weight but 0, and the weights differ; weighted-round-robin does",
            )
        if pool.algorithm == "round-robin" and pool.discovery is not None and _has_weights(pool.discovery):
            algorithm = paths.pool(index, "load_balancer.algorithm")
            yield (
                algorithm if paths.document.has(algorithm) else where,
                "round-robin looks at no weight but 0, and SRV records have weights; weighted-round-robin does",
            )
        yield from _sessions(index, pool, paths, is_fronted=bool(config.trusted_proxies))
        if pool.affinity.enabled and pool.affinity.mode == "redis" and not config.redis.url:
            yield (
                paths.pool(index, "session_affinity.mode"),
                "without redis.url sessions are kept on this machine alone, in memory",
            )
        yield from _queue(index, pool, paths)
        yield from _hash_key(index, pool, paths)
        addresses: dict[Address, int] = {}
        for position, backend in enumerate(pool.backends):
            if backend.address in addresses:
                yield (
                    (*where, "backends", position, "address"),
                    f"{backend.address} is backends[{addresses[backend.address]}] too: it gets two shares",
                )
            addresses.setdefault(backend.address, position)
            if config.admin.enabled and _is_reached_at(config.admin.address, backend.address):
                yield (
                    (*where, "backends", position, "address"),
                    f"{backend.address} is this instance's own admin port: clients of this pool reach it from this machine",
                )
        if not check.enabled:
            section = paths.document.first((*where, "health_check"), ("health_check",))
            if _lacks_enabled(paths, section, ("passive_checks", "slow_start", "panic_threshold")):
                yield section, "is given but not enabled; write enabled: true"
            continue
        if check.timeout_s >= check.interval_s:
            place = paths.pool(index, "health_check.timeout", "health_check.interval")
            timeout, interval = (
                f"{format_duration(value)}{'' if paths.document.has(paths.pool(index, key)) else ' (the default)'}"
                for key, value in (("health_check.timeout", check.timeout_s), ("health_check.interval", check.interval_s))
            )
            message = (
                f"a timeout of {timeout} is not shorter than an interval of {interval}: checks of one backend would overlap"
            )
            yield place, message
        for number, listener in users:
            read_s = listener.timeouts.read_s
            if listener.mode is Mode.HTTP and 0 < read_s < check.timeout_s:
                yield (
                    paths.listener(number, "timeouts.read"),
                    f"read, {format_duration(read_s)}, is shorter than the health check's timeout, "
                    f"{format_duration(check.timeout_s)}: a backend too slow for requests counts as healthy",
                )
        own = CHECK_KEYS.get(check.kind, ())
        for key in sorted({key for keys in CHECK_KEYS.values() for key in keys} - {*own}):
            path = paths.pool(index, f"health_check.{key}")
            if paths.document.has(path):
                yield path, f"has no effect on a check of type {check.kind}"
        if check.kind == "exec" and check.command and shutil.which(check.command[0]) is None:
            yield (
                (*paths.pool(index, "health_check.command"), 0),
                f"{check.command[0]!r} is no program that this machine can run; write its whole path",
            )


# The modes of session_affinity in which each of its keys has an effect.
_SESSION_KEYS: Final = {
    "cookie": ("cookie", "redis"),
    "secret": ("cookie",),
    "ttl": ("source-ip", "header", "redis"),
    "header": ("header",),
}


def _sessions(index: int, pool: PoolConfig, paths: KeyPaths, *, is_fronted: bool) -> Iterator[Finding]:
    affinity, section = pool.affinity, paths.pool(index, "session_affinity")
    if not affinity.enabled:
        if _lacks_enabled(paths, section):
            yield section, "is given but not enabled; write enabled: true"
        return
    is_own = section != ("session_affinity",) or paths.pools[index] == ()  # a top-level key may be meant for another pool
    for key, modes in _SESSION_KEYS.items():
        path = (*section, key)
        if is_own and paths.document.has(path) and affinity.mode not in modes:
            hint = "; cookie.ttl says how long a cookie lasts" if key == "ttl" else ""
            yield path, f"has no effect in mode {affinity.mode}{hint}"
    if affinity.mode == "cookie" and not affinity.secret:
        yield (
            section,
            "without secret, clients lose their sessions when it is stopped and started, and where a second balancer answers",
        )
    if affinity.mode in ("cookie", "redis") and affinity.cookie.same_site == "none" and not is_fronted:
        yield (
            paths.pool(index, "session_affinity.cookie.same_site"),
            "none makes the cookie Secure, and browsers keep such a one only where they came over TLS; nobody in "
            "security.trusted_proxies can have taken that off",
        )


def _cookies(config: Config, paths: KeyPaths) -> Iterator[Finding]:
    """Browsers keep one cookie of a name and a path per host, whatever the port (RFC 6265 section 8.5)."""
    owners: dict[tuple[str, str], str] = {}
    for index, pool in enumerate(config.pools):
        affinity = pool.affinity
        if not affinity.enabled or affinity.mode != "cookie":
            continue
        owner = owners.setdefault((affinity.cookie.name, affinity.cookie.path), pool.name)
        if owner != pool.name:
            yield (
                paths.pool(index, "session_affinity.cookie.name", "session_affinity"),
                f"the cookie {affinity.cookie.name!r} is pool {owner!r}'s too: on one host, whatever the port, each pool ends "
                "the other's sessions; give them names of their own",
            )


def _redis(config: Config) -> Iterator[Finding]:
    has_sessions = any(pool.affinity.enabled and pool.affinity.mode == "redis" for pool in config.pools)
    leads = any(pool.autoscaler.enabled and pool.autoscaler.driver != "process" for pool in config.pools)
    if config.redis.url and not has_sessions and not config.shares_limits and not leads:
        yield (
            ("redis",),
            "is used by nothing: no pool has session_affinity: {enabled: true, mode: redis}, no rate_limit has scope: redis",
        )


def _queue(index: int, pool: PoolConfig, paths: KeyPaths) -> Iterator[Finding]:
    path = paths.pool(index, "queue")
    # A top-level key may be meant for another pool.
    if not paths.document.has(path) or (path == ("queue",) and paths.pools[index] != ()):
        return
    finds_limits = pool.discovery is not None and isinstance(pool.discovery.source, FileDiscovery)
    if not finds_limits and not any(backend.max_connections for backend in pool.backends):
        yield path, "has no effect: no backend of the pool has max_connections"


def _hash_key(index: int, pool: PoolConfig, paths: KeyPaths) -> Iterator[Finding]:
    path = paths.pool(index, "load_balancer.hash_key")
    # A top-level key may be meant for another pool.
    if not paths.document.has(path) or (path == ("load_balancer", "hash_key") and paths.pools[index] != ()):
        return
    if pool.algorithm == "source-ip":
        if paths.document.at(path) not in ("source-ip", "source_ip"):
            yield path, "has no effect on source-ip, which hashes the client's address; consistent-hash and maglev follow it"
    elif pool.algorithm not in HASHING:
        yield path, f"has no effect on {pool.algorithm}; {', '.join(HASHING)} follow it"


def _resilience(config: Config, paths: KeyPaths) -> Iterator[Finding]:
    """Passive checks, circuit breakers and slow start."""
    for index, pool in enumerate(config.pools):
        check = pool.health_check
        count = len(pool.backends) if pool.discovery is None else MANY
        passive, breaker = check.passive, pool.breaker
        section = paths.pool(index, "circuit_breaker")
        if not breaker.enabled and _lacks_enabled(paths, section):
            yield section, "is given but not enabled; write enabled: true"
        if breaker.enabled and count == 1 and (section != ("circuit_breaker",) or paths.pools[index] == ()):
            yield section, "keeps nothing from a lone backend: where nobody else is ready, it is asked all the same"
        percent = passive.max_ejection_percent
        section = paths.pool(index, "health_check.passive_checks")
        if passive.enabled and paths.document.has(section) and (count == 1 or not count * percent // 100):
            yield (
                paths.pool(index, "health_check.passive_checks.max_ejection_percent", "health_check.passive_checks"),
                "nobody is ever ejected: " + ("a lone backend stays" if count == 1 else f"{percent} % of {count} is none"),
            )
        if check.slow_start_s and not (check.enabled or passive.enabled or breaker.enabled):
            yield (
                paths.pool(index, "health_check.slow_start"),
                "has no effect: without checks and circuit_breaker no backend ever comes back",
            )


def _retries(config: Config, paths: KeyPaths) -> Iterator[Finding]:
    users_by_pool = users_of(config)
    for index, pool in enumerate(config.pools):
        retry = pool.retry
        section = paths.pool(index, "retry")
        if not retry.enabled:
            continue
        if retry.backoff_base_s > retry.backoff_max_s:
            yield (
                paths.pool(index, "retry.backoff_base", "retry.backoff_max"),
                f"backoff_base, {format_duration(retry.backoff_base_s)}, is longer than backoff_max, "
                f"{format_duration(retry.backoff_max_s)}: every wait is backoff_max",
            )
        users = users_by_pool[pool.name]
        tries_s = retry.per_try_timeout_s * retry.max_attempts
        for number, listener in users:
            if listener.mode is Mode.HTTP and listener.timeouts.request_s and tries_s > listener.timeouts.request_s:
                yield (
                    paths.listener(number, "timeouts.request"),
                    f"request, {format_duration(listener.timeouts.request_s)}, is over before {retry.max_attempts} tries of "
                    f"{format_duration(retry.per_try_timeout_s)} (retry.per_try_timeout) can fail",
                )
        raw = next((listener for _, listener in users if listener.mode is Mode.TCP), None)
        if raw is None or not paths.document.has(section):
            continue
        is_shared = section == ("retry",) and any(listener.mode is Mode.HTTP for listener in config.listeners)
        for key in paths.document.at(section):
            if key not in ("enabled", "on") and not is_shared:
                yield (
                    (*section, key),
                    f"has no effect on listener {raw.name!r}: in mode tcp only enabled has, and connect in on",
                )


def _lacks_enabled(paths: KeyPaths, section: Path, others: tuple[str, ...] = ()) -> bool:
    """Whether the section has keys but no `enabled`. Keys in `others` have an effect without it."""
    if not paths.document.has(section):
        return False
    given = paths.document.at(section)
    return not isinstance(given, dict) or ("enabled" not in given and not (given and given.keys() <= {*others}))


def _admin_and_metrics(config: Config, paths: KeyPaths) -> Iterator[Finding]:
    if config.metrics.enabled and config.metrics.address is None and not config.admin.enabled:
        yield (
            ("metrics",) if paths.document.has(("metrics",)) else ("admin", "enabled"),
            "metrics are shown nowhere: admin is off and metrics has no listen",
        )
    for position, network in enumerate(config.trusted_proxies):
        if not isinstance(network, str) and network.prefixlen == 0:
            yield (
                ("security", "trusted_proxies", position),
                f"{network} is everybody: any client can claim any address",
            )


def _machine(config: Config, cpus: int) -> Iterator[Finding]:
    if config.workers > cpus:
        yield ("workers",), f"{config.workers} is more than the {cpus} CPU{'s' * (cpus != 1)} that this process may use"
    for path, output in output_paths(config):
        folder = os.path.dirname(output) or "."
        if not os.path.isdir(folder):
            yield path, f"{output!r}: there is no folder {folder!r} on this machine"


def _is_reached_at(listening: Address, address: Address) -> bool:
    """Whether a connection to `address` leads to who listens there, as far as the two texts tell."""
    if listening.is_unix or address.is_unix:
        return listening == address
    is_same = listening.host == address.host or (address.host in LOOPBACK and listening.host in LOOPBACK | EVERY_ADDRESS)
    return is_same and listening.port == address.port


def _times(paths: KeyPaths) -> Iterator[Finding]:
    """Large durations without a unit: HAProxy and JavaScript read a bare number as milliseconds, Balance as seconds."""
    for path in paths.document.values:
        if path and path[-1] in SHORT_TIMES and type(paths.document.at(path)) is int:
            number = paths.document.at(path)
            if number >= LONG_S:
                yield (
                    path,
                    f"{number} is {format_duration(float(number))}, for a bare number is seconds; write it with its unit",
                )
