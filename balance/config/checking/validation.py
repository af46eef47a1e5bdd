"""Errors that concern several keys together: duplicate names, undefined pools, address conflicts, proxy loops."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterator
from importlib.util import find_spec
from itertools import pairwise

from balance.config.build import KeyPaths
from balance.config.checking.admin_errors import admin_errors
from balance.config.checking.log_errors import log_errors
from balance.config.checking.pool_users import users_of
from balance.config.checking.route_errors import not_defined, pool_names, route_errors
from balance.config.checking.scaling.autoscaler_errors import autoscaler_errors
from balance.config.checking.security_errors import security_errors
from balance.config.checking.tls.backend_protocol_errors import backend_protocol_errors
from balance.config.checking.tls.backend_tls_errors import backend_tls_errors
from balance.config.checking.tls.tls_errors import tls_errors
from balance.config.checking.tracing_findings import tracing_errors
from balance.config.checking.user_ids import user_errors
from balance.config.model import MAX_TIME_BUCKETS, Config, ListenerConfig
from balance.config.reading.document import Document, Path
from balance.config.schema.hash_keys import HASHING
from balance.errors import Problem
from balance.model import Address, Mode

Finding = tuple[Path, str]

# Paths of the admin and metrics servers; metrics.path must not be one of them.
PROBE_PATHS = frozenset(["/health", "/healthz", "/livez", "/liveness", "/ready", "/readyz", "/readiness"])
ADMIN_PATHS = PROBE_PATHS | frozenset(
    [
        "/",
        "/autoscaler",
        "/status",
        "/version",
        "/backends",
        "/blocklist",
        "/config",
        "/dashboard/history",
        "/dashboard/session",
        "/dashboard/state",
        "/dashboard/stream",
        "/diff",
        "/drain",
        "/events",
        "/openapi.json",
        "/pools",
        "/reload",
        "/restart",
        "/routes",
        "/sessions",
        "/upgrade",
    ]
)


def errors(config: Config, paths: KeyPaths) -> list[Problem]:
    """Every such problem, except at paths that were reported already."""
    document = paths.document
    findings = [
        *_listeners(config, paths),
        *_pools(config, paths),
        *_hash_keys(config, paths),
        *_sessions(config, paths),
        *_redis(config),
        *_shared_addresses(config, paths),
        *_limits(config, paths),
        *_proxy_protocol(config, paths),
        *_shared_pools(config, paths),
        *route_errors(config, paths),
        *security_errors(config, paths),
        *_metrics(config),
        *log_errors(config),
        *tracing_errors(config),
        *_folders(config, paths),
        *tls_errors(config, paths),
        *user_errors(config),
        *admin_errors(config, paths),
        *autoscaler_errors(config, paths),
        *backend_tls_errors(config, paths),
        *backend_protocol_errors(config, paths),
    ]
    is_routed = any(listener.http.routes for listener in config.listeners)
    forms = _forms(document, is_served=is_routed or document.has(("discovery",)) or document.has(("autoscaler", "command")))
    wrong = [document.problem(path, message, of_key=True) for path, message in forms if path not in document.broken]
    return wrong + [document.problem(path, message) for path, message in findings if not document.is_broken(path)]


def _forms(document: Document, *, is_served: bool) -> Iterator[Finding]:
    """`is_served`: without pools. Routes may redirect, respond, or have backends of their own, and discovery may find some."""
    for simple, full in (("listen", "listeners"), ("backends", "pools")):
        if document.has((simple,)) and document.has((full,)):
            yield (simple,), f"stands beside {full!r}; use {simple!r} (simple form) or {full!r} (full form), not both"
        elif not document.has((simple,)) and not document.has((full,)) and not (simple == "backends" and is_served):
            example = 'listen: ":8080"' if simple == "listen" else 'backends: [{address: "127.0.0.1:9001"}]'
            yield (simple,), f"is missing; write {example}, or {full}: in the full form"


def _listeners(config: Config, paths: KeyPaths) -> Iterator[Finding]:
    document, seen = paths.document, dict[str, int]()
    if not config.listeners and document.has(("listeners",)):
        yield ("listeners",), "is empty; write at least one listener"
    names = pool_names(config, document)
    for index, listener in enumerate(config.listeners):
        where = paths.listeners[index]
        if not listener.addresses:
            yield (*where, "listen"), "is empty; write at least one address"
        if listener.name in seen:
            yield (*where, "name"), f"{listener.name!r} is the name of listeners[{seen[listener.name]}] too; names are unique"
        seen.setdefault(listener.name, index)
        if not listener.pool and len(names) > 1 and not listener.http.routes and not listener.sni_routes:
            if where:
                yield (*where, "pool"), f"is missing, and there are several: {', '.join(names)}"
            else:  # the simple form has no such key
                yield (
                    ("pools",),
                    f"are several ({', '.join(names)}), and nothing says which are for whom; write http.routes, "
                    f'or listeners: [{{listen: ":8080", pool: {next(iter(names))}}}] instead of listen',
                )
        elif listener.pool and listener.pool not in names:
            yield (*where, "pool"), not_defined(listener.pool, names)


def _pools(config: Config, paths: KeyPaths) -> Iterator[Finding]:
    if not config.pools and paths.document.has(("pools",)):
        yield ("pools",), "is empty; write at least one pool"
    users = users_of(config)
    for index, pool in enumerate(config.pools):
        where = paths.pools[index]
        starts_own = pool.autoscaler.enabled and pool.autoscaler.driver == "process"
        if not pool.backends and pool.discovery is None and not starts_own:
            if paths.document.has((*where, "backends")):
                yield (*where, "backends"), "is empty; write at least one backend"
            elif not paths.document.has((*where, "discovery")):
                yield where, "'backends' is missing: write at least one, or discovery"
        elif pool.backends and pool.discovery is None and all(backend.backup for backend in pool.backends):
            yield (*where, "backends"), "are all backups; at least one must stand without backup: true"
        check = pool.health_check
        if check.kind == "exec" and not check.command:
            yield (
                paths.pool(index, "health_check.type"),
                "exec needs a command, like command: [/usr/local/bin/check, --fast]",
            )
        seen: dict[str, int] = {}
        for position, backend in enumerate(pool.backends):
            path = (*where, "backends", position)
            if backend.name in seen:
                yield (*path, "name"), f"{backend.name!r} is the name of backends[{seen[backend.name]}] too; names are unique"
            seen.setdefault(backend.name, position)
            for _, listener in users[pool.name]:
                if any(_leads_to(backend.address, at) for at in listener.addresses):
                    yield (*path, "address"), f"{str(backend.address)!r} is the listener {listener.name!r} itself: a loop"


def _hash_keys(config: Config, paths: KeyPaths) -> Iterator[Finding]:
    users = users_of(config)
    for index, pool in enumerate(config.pools):
        for _, listener in users[pool.name]:
            if listener.mode is Mode.TCP and pool.algorithm in HASHING and pool.hash_key.kind != "source-ip":
                yield (
                    paths.pool(index, "load_balancer.hash_key"),
                    f"{str(pool.hash_key)!r} is read in requests, and listener {listener.name!r} has mode tcp; "
                    "there, write source-ip",
                )


def _sessions(config: Config, paths: KeyPaths) -> Iterator[Finding]:
    users = users_of(config)
    for index, pool in enumerate(config.pools):
        affinity = pool.affinity
        if not affinity.enabled:
            continue
        if affinity.mode == "header" and not affinity.header:
            path = paths.pool(index, "session_affinity.mode", "session_affinity")
            yield path, "header needs the field's name, like header: X-Session"
        if affinity.mode in ("cookie", "redis") and affinity.cookie.same_site == "none" and affinity.cookie.secure is False:
            yield (
                paths.pool(index, "session_affinity.cookie.secure"),
                "false and same_site: none don't go together: browsers drop such a cookie; write secure: auto or true, "
                "or same_site: lax",
            )
        for _, listener in users[pool.name]:
            if listener.mode is Mode.TCP and affinity.mode != "source-ip":
                yield (
                    paths.pool(index, "session_affinity.mode", "session_affinity"),
                    f"{affinity.mode} is read in requests, and listener {listener.name!r} has mode tcp; there, write source-ip",
                )


def _proxy_protocol(config: Config, paths: KeyPaths) -> Iterator[Finding]:
    for index, listener in enumerate(config.listeners):
        if listener.proxy_protocol.accept and not listener.proxy_protocol.trusted:
            yield (
                paths.listener(index, "proxy_protocol.trusted", "proxy_protocol.accept"),
                "nobody may connect: write who sends the headers, like trusted: [10.0.0.0/8]",
            )
        for position, route in enumerate(listener.http.routes):
            mirror = route.policy.mirror
            pool = next((pool for pool in config.pools if mirror is not None and pool.name == mirror.pool), None)
            if pool is not None and pool.proxy_protocol.version:
                yield (
                    (*paths.routes[index], position, "policy", "mirror", "pool"),
                    f"{pool.name!r} has proxy_protocol.send, and copies of many clients' requests share connections",
                )


def _redis(config: Config) -> Iterator[Finding]:
    if config.redis.url and find_spec("redis") is None:
        yield ("redis", "url"), "Redis needs a library: pip install 'balance[redis]'"


def _addresses(config: Config, paths: KeyPaths) -> Iterator[tuple[Path, Address, str]]:
    """Every listening address with its path and its owner."""
    for index, listener in enumerate(config.listeners):
        for position, address in enumerate(listener.addresses):
            listen = (*paths.listeners[index], "listen")
            path = (*listen, position) if paths.document.has((*listen, position)) else listen
            yield path, address, f"listener {listener.name!r}"
    if config.admin.enabled:
        yield ("admin", "listen"), config.admin.address, "admin"
    if config.metrics.enabled and config.metrics.address is not None:
        yield ("metrics", "listen"), config.metrics.address, "metrics"


def _shared_addresses(config: Config, paths: KeyPaths) -> Iterator[Finding]:
    taken: list[tuple[Address, str, Path]] = []
    for path, address, owner in _addresses(config, paths):
        for other, other_owner, other_path in taken:
            if not _clash(address, other):
                continue
            shown = str(other) if str(other) == str(address) else f"{address}, like {other},"
            if path == ("admin", "listen") and not paths.document.has(path):  # the default address is not in the file
                yield (
                    other_path,
                    f"{other} is the admin port's too, which is {address} by default; choose another, or write "
                    'admin: {listen: "127.0.0.1:9099"} or admin: {enabled: false}',
                )
            else:
                hint = "; leave metrics.listen out to show metrics on the admin port" if path[0] == "metrics" else ""
                yield path, f"{shown} is taken by {other_owner}{hint}"
            break
        taken.append((address, owner, path))


def _limits(config: Config, paths: KeyPaths) -> Iterator[Finding]:
    seen: set[Path] = set()
    for index, listener in enumerate(config.listeners):
        limits = listener.http.limits
        path = paths.listener(index, "http.limits.line", "http.limits.head")
        if limits.line_bytes > limits.head_bytes and path not in seen:
            seen.add(path)
            yield path, f"a line of {limits.line_bytes} bytes does not fit into a head of {limits.head_bytes}"


def _shared_pools(config: Config, paths: KeyPaths) -> Iterator[Finding]:
    """Listeners of one pool share its idle connections and health checks, so these keys must be the same for all."""
    for users in users_of(config).values():
        of_requests = [(index, listener) for index, listener in users if listener.mode is Mode.HTTP]
        for index, listener in of_requests[1:]:
            yield from _shared_pool(index, listener, *of_requests[0], paths)


def _shared_pool(
    index: int, listener: ListenerConfig, first_index: int, first: ListenerConfig, paths: KeyPaths
) -> Iterator[Finding]:
    one, other = first.http, listener.http
    for key, differs, shared in (
        ("http.keepalive.idle_timeout", one.keepalive.idle_timeout_s != other.keepalive.idle_timeout_s, "idle connections"),
        ("http.strictness", one.strictness != other.strictness, "health checks, which read replies as they do"),
    ):
        if differs:
            path = paths.listener(index, key)
            if not paths.document.has(path):
                path = paths.listener(first_index, key)
            yield path, f"listeners {first.name!r} and {listener.name!r} share a pool's {shared}; write the same for both"


def _metrics(config: Config) -> Iterator[Finding]:
    if config.metrics.path in PROBE_PATHS:
        yield ("metrics", "path"), f"{config.metrics.path!r} is where probes ask; choose another"
    elif config.metrics.address is None and config.metrics.path in ADMIN_PATHS:
        yield ("metrics", "path"), f"{config.metrics.path!r} on the admin port is the admin's own; choose another or set listen"
    buckets = config.metrics.buckets
    if not 0 < len(buckets) <= MAX_TIME_BUCKETS:
        yield ("metrics", "buckets"), f"{len(buckets)} bounds, and there have to be 1 to {MAX_TIME_BUCKETS}"
    for index, (bound, after) in enumerate(pairwise(buckets), 1):
        if bound >= after:
            yield ("metrics", "buckets", index), f"{after:g} is not above the bound before it, {bound:g}; bounds have to rise"
            break


def _folders(config: Config, paths: KeyPaths) -> Iterator[Finding]:
    """Folders given where the path of a file or socket is needed."""
    for listen, address, _ in _addresses(config, paths):
        if address.is_unix and os.path.isdir(address.path):
            yield listen, f"{str(address)!r} is a folder; write the path of a socket in it, like {f'{address}/balance.sock'!r}"


def _host(address: Address) -> str:
    """The host in canonical form."""
    host = "127.0.0.1" if address.host == "localhost" else address.host.lower()
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return host


def _covers(wide: str, host: str) -> bool:
    """Whether listening on the first host also occupies the port on the second."""
    if wide == "":
        return True
    if wide == "0.0.0.0":
        return ":" not in host
    return wide == "::" and ":" in host


def _clash(one: Address, two: Address) -> bool:
    if one.is_unix or two.is_unix:
        return one.path == two.path
    if one.port != two.port or one.port == 0:  # 0 is any free port
        return False
    first, second = _host(one), _host(two)
    return first == second or _covers(first, second) or _covers(second, first)


def _leads_to(backend: Address, listener: Address) -> bool:
    if backend.is_unix or listener.is_unix:
        return backend.path == listener.path
    if backend.port != listener.port or listener.port == 0:
        return False
    host, listening = _host(backend), _host(listener)
    is_here = host.startswith("127.") or host in ("::1", "0.0.0.0", "::")
    return host == listening or (is_here and _covers(listening, host))
