"""Sections -> Config: defaults laid under what was given, key by key, and units in the names. Judges nothing.

Where each part came from is kept beside it, so that what is judged later can be reported at its place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from balance.config.model import (
    AccessLog,
    AdminConfig,
    BackendConfig,
    CircuitBreaker,
    Config,
    HashKey,
    HealthCheck,
    HttpConfig,
    Keepalive,
    Limits,
    ListenerConfig,
    LoggingConfig,
    MetricsConfig,
    PassiveChecks,
    PoolConfig,
    QueueConfig,
    ReplyHeaders,
    Retry,
    RetryBudget,
    SessionAffinity,
    SessionCookie,
    Timeouts,
)
from balance.config.overrides.runtime_overrides import SIMPLE_POOL
from balance.config.reading.document import Document, Path
from balance.config.schema.schema import BackendSection, ListenerSection, PoolSection, RootSection, Section
from balance.model import Address, Mode

SIMPLE_LISTENER = "main"

HTTP_CHECK_KEYS = ("path", "method", "expected_status", "expected_body", "headers")
CHECK_KEYS = {
    "http": HTTP_CHECK_KEYS,
    "https": HTTP_CHECK_KEYS,
    "grpc": ("service",),
    "exec": ("command",),
}  # of one kind alone


@dataclass(slots=True)
class Places:
    """Where in the document the listeners and pools of a Config came from, by their index."""

    document: Document
    listeners: list[Path]
    pools: list[Path]
    pool_of: list[Path]  # by listener; () where it has none

    def listener(self, index: int, *wanted: str) -> Path:
        """Where the first of these keys that was written stands: in its pool (a timeout), the listener or the defaults."""
        return self._written((self.pool_of[index], self.listeners[index], ()), wanted)

    def pool(self, index: int, *wanted: str) -> Path:
        """Where the first of these keys that was written stands: in the pool, else among the defaults."""
        return self._written((self.pools[index], ()), wanted)

    def _written(self, places: tuple[Path, ...], wanted: tuple[str, ...]) -> Path:
        """Where none is written: where the first would stand, at the nearest place but a listener's pool."""
        paths: list[Path] = []
        for dotted in wanted:
            keys = tuple(dotted.split("."))
            paths += [(*where, *keys) for where in places if where] + [keys]
        return next((path for path in paths if self.document.has(path)), (*places[-2], *wanted[0].split(".")))


def build(root: RootSection, document: Document, pages: Mapping[str, str], cpus: int) -> tuple[Config, Places]:
    """The configuration, as far as the sections go. `pages` holds the text of every file that error_pages names."""
    places = Places(document, [], [], [])
    pools = []
    for name, path, pool in _pools(root):
        places.pools.append(path)
        pools.append(_pool(name, root, pool))
    listeners = []
    pools_given = {name: (path, pool) for name, path, pool in _pools(root)}
    for name, path, listener in _listeners(root):
        places.listeners.append(path)
        only_pool = pools[0].name if len(pools) == 1 else ""
        given = listener.given()
        pool_name = given.get("pool", only_pool)
        pool_path, pool_given = pools_given.get(pool_name, ((), None))
        places.pool_of.append(pool_path)
        listeners.append(
            ListenerConfig(
                name=given.get("name", name),
                addresses=tuple(given.get("listen", ())),
                mode=Mode(given.get("mode") or root.mode or "http"),
                pool=pool_name,
                timeouts=_timeouts(root.timeouts, listener.timeouts, pool_given and pool_given.timeouts),
                http=_http(_overlay(root.http, listener.http), pages),
                max_clients=given.get("max_clients", root.given().get("max_clients", 0)),
            )
        )
    given = root.given()
    tolerant = {
        listener.pool for listener in listeners if listener.mode is Mode.HTTP and listener.http.strictness == "tolerant"
    }
    config = Config(
        listeners=tuple(listeners),
        pools=tuple(_read_tolerantly(pool) if pool.name in tolerant else pool for pool in pools),
        workers=given.get("workers", 1) or cpus,
        **_security(_overlay(root.security)),
        admin=AdminConfig(**_renamed(_overlay(root.admin), listen="address")),
        metrics=MetricsConfig(**_renamed(_overlay(root.metrics), listen="address")),
        logging=_logging(_overlay(root.logging)),
        source=document.file,
        **_picked(_overlay(root.timeouts), drain="drain_s"),
        **_renamed(_overlay(root.shutdown), delay="shutdown_delay_s", restart_drain="restart_drain_s"),
    )
    return config, places


def _listeners(root: RootSection) -> list[tuple[str, Path, ListenerSection]]:
    if root.listeners is not None:
        return [(f"listener-{n}", ("listeners", n - 1), listener) for n, listener in enumerate(root.listeners, 1)]
    if root.listen is None:
        return []
    return [(SIMPLE_LISTENER, (), ListenerSection.model_construct({"listen"}, listen=root.listen))]


def _pools(root: RootSection) -> list[tuple[str, Path, PoolSection]]:
    if root.pools is not None:
        return [(name, ("pools", name), pool) for name, pool in root.pools.items()]
    if root.backends is None:
        return []
    return [(SIMPLE_POOL, (), PoolSection.model_construct({"backends"}, backends=root.backends))]


def _pool(name: str, root: RootSection, pool: PoolSection) -> PoolConfig:
    check = _overlay(root.health_check, pool.health_check)
    kind = check.pop("type", None) or _kind_of(check)
    if "passive_checks" in check:
        passive = _renamed(check["passive_checks"], window="window_s", ejection_time="ejection_time_s")
        if "count" in passive:
            passive["count"] = tuple(dict.fromkeys(passive["count"]))
        check["passive_checks"] = PassiveChecks(**passive)
    for listed in ("expected_status", "command"):
        if listed in check:
            check[listed] = tuple(check[listed])
    if "headers" in check:
        check["headers"] = tuple(check["headers"].items())
    balancing = _overlay(root.load_balancer, pool.load_balancer)
    algorithm = balancing.get("algorithm", "round-robin")
    return PoolConfig(
        name=name,
        backends=tuple(_backend(number, backend) for number, backend in enumerate(pool.backends or (), 1)),
        algorithm=algorithm,
        hash_key=HashKey() if algorithm == "source-ip" else balancing.get("hash_key", HashKey()),
        health_check=HealthCheck(
            kind=kind,
            **_renamed(check, interval="interval_s", timeout="timeout_s", slow_start="slow_start_s", passive_checks="passive"),
        ),
        breaker=CircuitBreaker(**_renamed(_overlay(root.circuit_breaker, pool.circuit_breaker), timeout="timeout_s")),
        retry=_retry(_overlay(root.retry, pool.retry)),
        affinity=_affinity(_overlay(root.session_affinity, pool.session_affinity)),
        queue=QueueConfig(**_renamed(_overlay(root.queue, pool.queue), timeout="timeout_s")),
    )


def _read_tolerantly(pool: PoolConfig) -> PoolConfig:
    """One whose backends' replies are read so: by its checks, too."""
    return replace(pool, health_check=replace(pool.health_check, strictness="tolerant"))


def _kind_of(check: Mapping[str, Any]) -> str:
    """The kind of check that the given keys are about."""
    if check.get("command"):
        return "exec"
    return "http" if any(key in check for key in HTTP_CHECK_KEYS) else "tcp"


def _retry(given: dict[str, Any]) -> Retry:
    if "on" in given:
        given["on"] = tuple(dict.fromkeys(given["on"]))
    if "budget" in given:
        given["budget"] = RetryBudget(**given["budget"])
    in_seconds = ("backoff_base", "backoff_max", "per_try_timeout")
    return Retry(**_renamed(given, **{name: f"{name}_s" for name in in_seconds}))


def _backend(number: int, backend: BackendSection) -> BackendConfig:
    # Without an address there is a problem already, and this never leaves as a configuration.
    given = {"name": f"backend-{number}", "address": Address("", 0), **backend.given()}
    if "metadata" in given:
        given["metadata"] = tuple(given["metadata"].items())
    return BackendConfig(**given)


def _timeouts(*layers: Section | None) -> Timeouts:
    return Timeouts(**{f"{name}_s": seconds for name, seconds in _overlay(*layers).items() if name != "drain"})


def _affinity(given: dict[str, Any]) -> SessionAffinity:
    given = dict(given)
    if "cookie" in given:
        given["cookie"] = SessionCookie(**_renamed(given["cookie"], ttl="ttl_s"))
    return SessionAffinity(**_renamed(given, ttl="ttl_s"))


def _http(given: dict[str, Any], pages: Mapping[str, str]) -> HttpConfig:
    given = dict(given)
    if "keepalive" in given:
        given["keepalive"] = Keepalive(**_renamed(given["keepalive"], idle_timeout="idle_timeout_s"))
    if "limits" in given:
        given["limits"] = Limits(**_renamed(given["limits"], head="head_bytes", line="line_bytes", body="body_bytes"))
    if "reply_headers" in given:
        given["reply_headers"] = ReplyHeaders(**given["reply_headers"])
    if "error_pages" in given:
        given["error_pages"] = tuple((status, pages[file]) for status, file in given["error_pages"].items() if file in pages)
    return HttpConfig(**given)


def _security(given: dict[str, Any]) -> dict[str, Any]:
    keys = ("trusted_proxies", "client_address")
    return {name: tuple(value) if isinstance(value, list) else value for name, value in given.items() if name in keys}


def _logging(given: dict[str, Any]) -> LoggingConfig:
    given = dict(given)
    if "access_log" in given:
        given["access_log"] = AccessLog(**given["access_log"])
    return LoggingConfig(**given)


def _overlay(*layers: Section | None) -> dict[str, Any]:
    """What was given, later layers over earlier ones, key by key and section by section."""
    found: dict[str, Any] = {}
    for layer in layers:
        if layer is None:
            continue
        for name, value in layer.given().items():
            if isinstance(value, Section):
                inner = found.get(name, {})
                found[name] = inner | _overlay(value)
            else:
                found[name] = value
    return found


def _renamed(given: dict[str, Any], **names: str) -> dict[str, Any]:
    return {names.get(key, key): value for key, value in given.items()}


def _picked(given: dict[str, Any], **names: str) -> dict[str, Any]:
    return {new: given[old] for old, new in names.items() if old in given}
