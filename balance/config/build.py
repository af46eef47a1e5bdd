"""Builds a Config from the schema's sections: merges defaults key by key and converts units. Validates nothing.

Also returns the document path of each listener and pool, so that later checks can report the line of a key.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from balance.access_lists.address_set import AddressSet
from balance.autoscaling.settings import AutoscalerConfig
from balance.config.model import (
    AccessLog,
    BackendConfig,
    CircuitBreaker,
    Config,
    HashKey,
    HealthCheck,
    Http2,
    HttpConfig,
    Keepalive,
    Limits,
    ListenerConfig,
    LoggingConfig,
    MetricsConfig,
    PassiveChecks,
    PoolConfig,
    ProxyProtocol,
    QueueConfig,
    RedisConfig,
    ReplyHeaders,
    SendProxyProtocol,
    SessionAffinity,
    SessionCookie,
    SniRoute,
    TracingConfig,
)
from balance.config.overlay import (
    access_lists_of,
    autoscaler_of,
    overlay,
    picked,
    protection_of,
    renamed,
    retry_of,
    timeouts_of,
)
from balance.config.overrides.runtime_overrides import DEFAULT_POOL
from balance.config.rate_limit_build import rate_limit_of
from balance.config.reading.admin_settings import admin_of
from balance.config.reading.discovery_settings import discovery_of, source_keys, takes_top
from balance.config.reading.document import Document, Path
from balance.config.reading.tls_settings import backend_tls, redirect_port, server_tls, sni_routes
from balance.config.route_build import (
    RouteScope,
    buffering_of,
    compression_of,
    own_pools,
    pages_of,
    redirected_to_https,
    routes_of,
    transform_of,
)
from balance.config.route_model import RouteConfig
from balance.config.schema.addresses import BackendAddress
from balance.config.schema.common_sections import BackendSection, PoolTimeoutsSection
from balance.config.schema.route_sections import RouteSection
from balance.config.schema.schema import ListenerSection, PoolSection, RootSection
from balance.config.schema.section import Section
from balance.config.security_build import security_of
from balance.discovery.settings import Discovery
from balance.model import Address, Mode
from balance.tls.settings import BackendTls

DEFAULT_LISTENER = "main"

HTTP_CHECK_KEYS = ("path", "method", "expected_status", "expected_body", "headers")
CHECK_KEYS = {
    "http": HTTP_CHECK_KEYS,
    "https": HTTP_CHECK_KEYS,
    "grpc": ("service",),
    "exec": ("command",),
}  # keys that apply to one check type only


@dataclass(slots=True)
class KeyPaths:
    """The document paths of the listeners and pools of a Config, by their index."""

    document: Document
    listeners: list[Path]
    pools: list[Path]
    pool_of: list[Path]  # the path of each listener's pool; () for none
    routes: list[Path]  # the path of each listener's list of routes; () for none

    def listener(self, index: int, *wanted: str) -> Path:
        """The path of the first of these keys that the file has: in the listener's pool, the listener or at the top level."""
        return self._find((self.pool_of[index], self.listeners[index], ()), wanted)

    def pool(self, index: int, *wanted: str) -> Path:
        """The path of the first of these keys that the file has: in the pool or at the top level."""
        return self._find((self.pools[index], ()), wanted)

    def _find(self, scopes: tuple[Path, ...], wanted: tuple[str, ...]) -> Path:
        """When the file has none: the path that the first key would have in the listener or pool itself."""
        paths: list[Path] = []
        for dotted in wanted:
            keys = tuple(dotted.split("."))
            paths += [(*scope, *keys) for scope in scopes if scope] + [keys]
        return next((path for path in paths if self.document.has(path)), (*scopes[-2], *wanted[0].split(".")))


def build(
    root: RootSection,
    document: Document,
    pages: Mapping[str, str],
    cpus: int,
    lists: Mapping[str, AddressSet],
    files: Mapping[str, str],
    pems: Mapping[str, bytes] | None = None,
) -> tuple[Config, KeyPaths]:
    """The Config and the paths of its parts. `pages` maps each file named in http.error_pages to its text, `lists` each file of
    an access list to its addresses, `files` each other one of `security` to its text, `pems` those of `tls`.
    """
    paths = KeyPaths(document, [], [], [], [])
    pools_given = {name: (path, pool) for name, path, pool in _pools(root)}
    only_pool = next(iter(pools_given)) if len(pools_given) == 1 else ""
    for name, path, pool in own_pools(root):
        pools_given.setdefault(name, (path, pool))  # a name that is taken is reported later
    paths.pools += [path for path, _ in pools_given.values()]
    folder = os.path.dirname(document.file)
    to_backends = root.tls.backend if root.tls is not None else None
    pools = [
        _pool(
            name,
            root,
            pool,
            backend_tls(to_backends, pool.tls, pems or {}, folder),
            discovery_of(root.discovery, pool.discovery, folder, takes_top=takes_top(path, pool, document)),
            autoscaler_of(root.autoscaler, pool.autoscaler, folder),
        )
        for name, (path, pool) in pools_given.items()
    ]
    pool_sections = {name: pool for name, (_, pool) in pools_given.items()}
    listeners = []
    found = _listeners(root)
    modes = [Mode(each.given().get("mode") or root.mode or "http") for _, _, each in found]
    tls = [
        server_tls(_given(root.tls), _given(each.tls), mode, pems or {}, folder)
        for (_, _, each), mode in zip(found, modes, strict=True)
    ]
    secured = [
        (address.port, settings)
        for (_, _, each), mode, settings in zip(found, modes, tls, strict=True)
        if mode is Mode.HTTP
        for address in each.given().get("listen", ())
    ]
    for number, (name, path, listener) in enumerate(found):
        paths.listeners.append(path)
        given = listener.given()
        mode = modes[number]
        http = overlay(root.http, listener.http)
        routes = http.pop("routes", None) or ()
        pool_name = given.get("pool", only_pool)
        pool_path, pool_given = pools_given.get(pool_name, ((), None))
        paths.pool_of.append(pool_path)
        paths.routes.append(document.first((*path, "http", "routes"), ("http", "routes")) if routes else ())
        own_name = given.get("name", name)
        port = redirect_port(_given(root.tls), _given(listener.tls), tls[number], secured)
        scope = RouteScope(root, listener, pool_name, pool_sections, http, pages, own_name, folder, files)
        listeners.append(
            ListenerConfig(
                name=own_name,
                addresses=tuple(given.get("listen", ())),
                mode=mode,
                pool=pool_name,
                timeouts=timeouts_of(root.timeouts, listener.timeouts, pool_given and pool_given.timeouts),
                http=_http(_with_pool(http, pool_given), _routes(routes, scope, mode, port), pages),
                max_clients=given.get("max_clients", root.given().get("max_clients", 0)),
                access_lists=access_lists_of(root.security, listener.security, lists),
                protection=protection_of(root.security, listener.security),
                security=security_of(files, root.security, listener.security),
                tls=tls[number],
                proxy_protocol=_proxy_protocol(overlay(root.proxy_protocol, listener.proxy_protocol)),
                rate_limit=rate_limit_of(root.rate_limit, listener.rate_limit, own_name),
                sni_routes=tuple(
                    SniRoute(name, pool, timeouts_of(root.timeouts, listener.timeouts, _timeouts_of_pool(pools_given, pool)))
                    for name, pool in sni_routes(listener.tls or root.tls).items()
                ),
            )
        )
    given = root.given()
    tolerant = {
        pool
        for listener in listeners
        if listener.mode is Mode.HTTP and listener.http.strictness == "tolerant"
        for pool in listener.pools
    }
    config = Config(
        listeners=tuple(listeners),
        pools=tuple(_read_tolerantly(pool) if pool.name in tolerant else pool for pool in pools),
        workers=given.get("workers", 1) or cpus,
        user=given.get("user", ""),
        group=given.get("group", ""),
        **_security(overlay(root.security)),
        admin=admin_of(root.admin, files, pems or {}, folder),
        metrics=_metrics(overlay(root.metrics)),
        redis=RedisConfig(**renamed(overlay(root.redis), timeout="timeout_s")),
        logging=_logging(overlay(root.logging)),
        tracing=_tracing(overlay(root.tracing)),
        source=document.file,
        **picked(overlay(root.timeouts), drain="drain_s"),
        **renamed(overlay(root.shutdown), delay="shutdown_delay_s", restart_drain="restart_drain_s"),
    )
    return config, paths


def _given(section: Section | None) -> dict[str, Any]:
    return section.given() if section is not None else {}


def _routes(routes: Sequence[RouteSection], scope: RouteScope, mode: Mode, https_port: int) -> tuple[RouteConfig, ...]:
    if mode is Mode.TCP:
        return ()
    found = routes_of(routes, scope)
    return redirected_to_https(found, scope, https_port) if https_port else found


def _timeouts_of_pool(pools: Mapping[str, tuple[Path, PoolSection]], name: str) -> PoolTimeoutsSection | None:
    _, pool = pools.get(name, ((), None))
    return pool.timeouts if pool is not None else None


def _listeners(root: RootSection) -> list[tuple[str, Path, ListenerSection]]:
    if root.listeners is not None:
        return [(f"listener-{n}", ("listeners", n - 1), listener) for n, listener in enumerate(root.listeners, 1)]
    if root.listen is None:
        return []
    return [(DEFAULT_LISTENER, (), ListenerSection.model_construct({"listen"}, listen=root.listen))]


def _pools(root: RootSection) -> list[tuple[str, Path, PoolSection]]:
    if root.pools is not None:
        return [(name, ("pools", name), pool) for name, pool in root.pools.items()]
    if root.backends is None and not source_keys(root.discovery) and not _starts_backends(root):
        return []
    return [(DEFAULT_POOL, (), PoolSection.model_construct({"backends"}, backends=root.backends))]


def _pool(
    name: str, root: RootSection, pool: PoolSection, tls: BackendTls, discovery: Discovery | None, autoscaler: AutoscalerConfig
) -> PoolConfig:
    check = overlay(root.health_check, pool.health_check)
    kind = check.pop("type", None) or _kind_of(check)
    if "passive_checks" in check:
        passive = renamed(check["passive_checks"], window="window_s", ejection_time="ejection_time_s")
        if "count" in passive:
            passive["count"] = tuple(dict.fromkeys(passive["count"]))
        check["passive_checks"] = PassiveChecks(**passive)
    for listed in ("expected_status", "command"):
        if listed in check:
            check[listed] = tuple(check[listed])
    if "headers" in check:
        check["headers"] = tuple(check["headers"].items())
    balancing = overlay(root.load_balancer, pool.load_balancer)
    algorithm = balancing.get("algorithm", "round-robin")
    protocol = pool.given().get("backend_protocol") or root.given().get("backend_protocol", "http1")
    sent = SendProxyProtocol(**picked(overlay(root.proxy_protocol, pool.proxy_protocol), send="send"))
    return PoolConfig(
        name=name,
        backends=tuple(_backend(number, backend, tls, protocol) for number, backend in enumerate(pool.backends or (), 1)),
        algorithm=algorithm,
        hash_key=HashKey() if algorithm == "source-ip" else balancing.get("hash_key", HashKey()),
        proxy_protocol=sent,
        tls=tls,
        health_check=HealthCheck(
            kind=kind,
            send_proxy=sent.version,
            tls=tls,
            **renamed(check, interval="interval_s", timeout="timeout_s", slow_start="slow_start_s", passive_checks="passive"),
        ),
        breaker=CircuitBreaker(**renamed(overlay(root.circuit_breaker, pool.circuit_breaker), timeout="timeout_s")),
        retry=retry_of(overlay(root.retry, pool.retry)),
        buffering=buffering_of(overlay(pool.buffering)) if pool.buffering is not None else None,
        affinity=_affinity(overlay(root.session_affinity, pool.session_affinity)),
        queue=QueueConfig(**renamed(overlay(root.queue, pool.queue), timeout="timeout_s")),
        discovery=discovery,
        autoscaler=autoscaler,
    )


def _starts_backends(root: RootSection) -> bool:
    """Whether the autoscaler at the top starts the backends of the one pool of the simple form."""
    return root.autoscaler is not None and bool(root.autoscaler.command)


def _read_tolerantly(pool: PoolConfig) -> PoolConfig:
    """The pool with `strictness: tolerant` for its health checks, as its listeners have for replies."""
    return replace(pool, health_check=replace(pool.health_check, strictness="tolerant"))


def _kind_of(check: Mapping[str, Any]) -> str:
    """The default of health_check.type: exec with a command, http with a key that only HTTP checks have, else tcp."""
    if check.get("command"):
        return "exec"
    return "http" if any(key in check for key in HTTP_CHECK_KEYS) else "tcp"


def _backend(number: int, backend: BackendSection, tls: BackendTls, protocol: str) -> BackendConfig:
    # A missing address has been reported already; this placeholder is never served.
    given = {"name": f"backend-{number}", "address": BackendAddress(Address("", 0)), "protocol": protocol, **backend.given()}
    address: BackendAddress = given["address"]
    given["address"] = address.address
    if address.scheme == "https" or tls.enabled:  # else http:// is what no scheme is
        given["scheme"] = address.scheme
    if "metadata" in given:
        given["metadata"] = tuple(given["metadata"].items())
    return BackendConfig(**given)


def _affinity(given: dict[str, Any]) -> SessionAffinity:
    given = dict(given)
    if "cookie" in given:
        given["cookie"] = SessionCookie(**renamed(given["cookie"], ttl="ttl_s"))
    return SessionAffinity(**renamed(given, ttl="ttl_s"))


def _with_pool(http: dict[str, Any], pool: PoolSection | None) -> dict[str, Any]:
    """A listener's http with what its pool has of its own."""
    buffering = overlay(pool and pool.buffering)
    return http | {"buffering": http.get("buffering", {}) | buffering} if buffering else http


def _http(given: dict[str, Any], routes: tuple[RouteConfig, ...], pages: Mapping[str, str]) -> HttpConfig:
    given = dict(given)
    if "http2" in given:
        ages = {key: f"{key}_s" for key in ("max_connection_age", "max_connection_age_grace")}
        given["http2"] = Http2(**renamed(given["http2"], **ages))
    if "keepalive" in given:
        given["keepalive"] = Keepalive(**renamed(given["keepalive"], idle_timeout="idle_timeout_s"))
    if "limits" in given:
        given["limits"] = Limits(**renamed(given["limits"], head="head_bytes", line="line_bytes", body="body_bytes"))
    if "reply_headers" in given:
        given["reply_headers"] = ReplyHeaders(**given["reply_headers"])
    if "error_pages" in given:
        given["error_pages"] = pages_of(given["error_pages"], pages)
    for key, build_it in (("transform", transform_of), ("compression", compression_of), ("buffering", buffering_of)):
        if key in given:
            given[key] = build_it(given[key])
    return HttpConfig(**given, routes=routes)


def _proxy_protocol(given: dict[str, Any]) -> ProxyProtocol:
    given = {name: tuple(value) if isinstance(value, list) else value for name, value in given.items() if name != "send"}
    return ProxyProtocol(**renamed(given, timeout="timeout_s"))


def _security(given: dict[str, Any]) -> dict[str, Any]:
    keys = ("trusted_proxies", "client_address")
    return {name: tuple(value) if isinstance(value, list) else value for name, value in given.items() if name in keys}


def _metrics(given: dict[str, Any]) -> MetricsConfig:
    given = {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
    return MetricsConfig(**renamed(given, listen="address"))


def _tracing(given: dict[str, Any]) -> TracingConfig:
    given = {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
    if "headers" in given:
        given["headers"] = tuple(given["headers"].items())
    if "propagate" in given:
        given["propagate"] = tuple(dict.fromkeys(given["propagate"]))
    return TracingConfig(**given)


def _logging(given: dict[str, Any]) -> LoggingConfig:
    given = dict(given)
    if "access_log" in given:
        given["access_log"] = AccessLog(**renamed(given["access_log"], slow_threshold="slow_threshold_s"))
    return LoggingConfig(**given)
