"""What is allowed and probably not meant: warnings, for balance-validate to show and for serve to log. Refuses nothing."""

from __future__ import annotations

import ipaddress
import os
import shutil
from collections.abc import Iterator

from balance.config.build import CHECK_KEYS, Places
from balance.config.checking.no_client_address import client_addresses
from balance.config.checking.unused_timeouts import without_effect
from balance.config.model import Config, PoolConfig
from balance.config.reading.document import Path
from balance.config.schema.hash_keys import HASHING
from balance.config.schema.units import duration_text
from balance.errors import Problem
from balance.model import Address, Mode

Finding = tuple[Path, str]

# Times that hardly anybody wants so long; a ttl, a tunnel or a restart's drain may well be.
SHORT_TIMES = frozenset(
    ("connect", "read", "write", "idle", "half_closed", "request",
     "client_header", "client_body", "keepalive", "drain", "window",
     "ejection_time", "interval", "timeout", "slow_start", "backoff_base", "backoff_max", "per_try_timeout", "idle_timeout",
     "delay")
)  # fmt: skip
LONG_S = 1000

TYPICAL_BACKEND_KEEPALIVE_S = 5.0  # uvicorn and Node close what idles that long; Go and Jetty wait longer


def warnings(config: Config, places: Places, cpus: int) -> list[Problem]:
    """Every warning, each place and message once."""
    findings = [
        *_listeners(config, places),
        *_pools(config, places),
        *_resilience(config, places),
        *_retries(config, places),
        *_cookies(config, places),
        *client_addresses(config, places),
        *_side_doors(config, places),
        *_machine(config, cpus),
        *without_effect(config, places),
        *_times(places),
    ]
    return [places.document.problem(path, message) for path, message in dict.fromkeys(findings)]


def _listeners(config: Config, places: Places) -> Iterator[Finding]:
    for index, listener in enumerate(config.listeners):
        timeouts = listener.timeouts
        if listener.mode is Mode.TCP:
            own = (*places.listeners[index], "http")
            none_speaks_http = all(other.mode is Mode.TCP for other in config.listeners)
            if places.document.has(own) and (own != ("http",) or none_speaks_http):
                yield own, f"has no effect: listener {listener.name!r} has mode tcp"
            if timeouts.idle_s == 0:
                yield (
                    places.listener(index, "timeouts.idle"),
                    "0 keeps a session that nobody uses any more as long as both machines live; write a long time instead",
                )
            continue
        if timeouts.keepalive_s and timeouts.client_header_s >= timeouts.keepalive_s:
            yield (
                places.listener(index, "timeouts.client_header", "timeouts.keepalive"),
                f"client_header, {duration_text(timeouts.client_header_s)}, is not shorter than keepalive, "
                f"{duration_text(timeouts.keepalive_s)}: a slow head holds a connection longer than an idle client may",
            )
        if timeouts.client_header_s == 0:
            yield (
                places.listener(index, "timeouts.client_header"),
                "0 lets a client that never ends its head hold a connection for ever (slowloris)",
            )
        idle_s = listener.http.keepalive.idle_timeout_s
        if idle_s is not None and idle_s >= TYPICAL_BACKEND_KEEPALIVE_S:
            yield (
                places.listener(index, "http.keepalive.idle_timeout"),
                f"{duration_text(idle_s)} is longer than many backends keep a connection (uvicorn and Node: 5s): "
                "requests meet connections that just closed; auto learns each backend's time",
            )
        if timeouts.request_s and timeouts.request_s < timeouts.connect_s:
            yield (
                places.listener(index, "timeouts.request", "timeouts.connect"),
                f"request, {duration_text(timeouts.request_s)}, is over before connect, {duration_text(timeouts.connect_s)}, "
                "can fail: no other backend is tried",
            )


def _pools(config: Config, places: Places) -> Iterator[Finding]:
    for index, pool in enumerate(config.pools):
        where, check = places.pools[index], pool.health_check
        users = [listener for listener in config.listeners if listener.pool == pool.name]
        if not users:
            yield where, "is used by no listener"
        weights = {backend.weight for backend in pool.backends}
        if weights == {0}:
            yield (*where, "backends"), "every backend has weight 0: whatever is new is answered 503"
        if pool.algorithm == "round-robin" and len(weights - {0}) > 1:
            algorithm = places.pool(index, "load_balancer.algorithm")
            yield (
                algorithm if places.document.has(algorithm) else (*where, "backends"),
                "round-robin looks at no weight but 0, and the weights differ; weighted-round-robin does",
            )
        yield from _sessions(index, pool, places, is_fronted=bool(config.trusted_proxies))
        yield from _queue(index, pool, places)
        yield from _hash_key(index, pool, places)
        addresses: dict[Address, int] = {}
        for position, backend in enumerate(pool.backends):
            if backend.address in addresses:
                yield (
                    (*where, "backends", position, "address"),
                    f"{backend.address} is backends[{addresses[backend.address]}] too: it gets two shares",
                )
            addresses.setdefault(backend.address, position)
        if not check.enabled:
            section = places.document.first((*where, "health_check"), ("health_check",))
            if _is_half_given(places, section, ("passive_checks", "slow_start", "panic_threshold")):
                yield section, "is given but not enabled; write enabled: true"
            continue
        if check.timeout_s >= check.interval_s:
            yield (
                places.pool(index, "health_check.timeout", "health_check.interval"),
                f"a timeout of {duration_text(check.timeout_s)} is not shorter than an interval of "
                f"{duration_text(check.interval_s)}: "
                "checks of one backend would overlap",
            )
        for number, listener in enumerate(config.listeners):
            read_s = listener.timeouts.read_s
            if listener in users and listener.mode is Mode.HTTP and 0 < read_s < check.timeout_s:
                yield (
                    places.listener(number, "timeouts.read"),
                    f"read, {duration_text(read_s)}, is shorter than the health check's timeout, "
                    f"{duration_text(check.timeout_s)}: a backend too slow for requests counts as healthy",
                )
        own = CHECK_KEYS.get(check.kind, ())
        for key in sorted({key for keys in CHECK_KEYS.values() for key in keys} - {*own}):
            path = places.pool(index, f"health_check.{key}")
            if places.document.has(path):
                yield path, f"has no effect on a check of type {check.kind}"
        if check.kind == "exec" and check.command and shutil.which(check.command[0]) is None:
            yield (
                (*places.pool(index, "health_check.command"), 0),
                f"{check.command[0]!r} is no program that this machine can run; write its whole path",
            )


def _sessions(index: int, pool: PoolConfig, places: Places, *, is_fronted: bool) -> Iterator[Finding]:
    affinity, section = pool.affinity, places.pool(index, "session_affinity")
    if not affinity.enabled:
        if _is_half_given(places, section):
            yield section, "is given but not enabled; write enabled: true"
        return
    is_own = section != ("session_affinity",) or places.pools[index] == ()  # else it may be meant for another pool
    for key, mode in (("cookie", "cookie"), ("secret", "cookie"), ("ttl", "cookie"), ("header", "header")):
        path = (*section, key)
        if is_own and places.document.has(path) and (affinity.mode == mode) is (key == "ttl"):
            hint = "; cookie.ttl says how long a cookie lasts" if key == "ttl" else ""
            yield path, f"has no effect in mode {affinity.mode}{hint}"
    if affinity.mode == "cookie" and not affinity.secret:
        yield (
            section,
            "without secret, clients lose their sessions when it is stopped and started, and where a second balancer answers",
        )
    if affinity.mode == "cookie" and affinity.cookie.same_site == "none" and not is_fronted:
        yield (
            places.pool(index, "session_affinity.cookie.same_site"),
            "none makes the cookie Secure, and browsers keep such a one only where they came over TLS; nobody in "
            "security.trusted_proxies can have taken that off",
        )


def _cookies(config: Config, places: Places) -> Iterator[Finding]:
    """Browsers keep one cookie of a name and a path per host, whatever the port (RFC 6265 section 8.5)."""
    owners: dict[tuple[str, str], str] = {}
    for index, pool in enumerate(config.pools):
        affinity = pool.affinity
        if not affinity.enabled or affinity.mode != "cookie":
            continue
        owner = owners.setdefault((affinity.cookie.name, affinity.cookie.path), pool.name)
        if owner != pool.name:
            yield (
                places.pool(index, "session_affinity.cookie.name", "session_affinity"),
                f"the cookie {affinity.cookie.name!r} is pool {owner!r}'s too: on one host, whatever the port, each pool ends "
                "the other's sessions; give them names of their own",
            )


def _queue(index: int, pool: PoolConfig, places: Places) -> Iterator[Finding]:
    path = places.pool(index, "queue")
    # Among the defaults it may be meant for another pool.
    if not places.document.has(path) or (path == ("queue",) and places.pools[index] != ()):
        return
    if not any(backend.max_connections for backend in pool.backends):
        yield path, "has no effect: no backend of the pool has max_connections"


def _hash_key(index: int, pool: PoolConfig, places: Places) -> Iterator[Finding]:
    path = places.pool(index, "load_balancer.hash_key")
    # Among the defaults it may be meant for another pool.
    if not places.document.has(path) or (path == ("load_balancer", "hash_key") and places.pools[index] != ()):
        return
    if pool.algorithm == "source-ip":
        if places.document.at(path) not in ("source-ip", "source_ip"):
            yield path, "has no effect on source-ip, which hashes the client's address; consistent-hash and maglev follow it"
    elif pool.algorithm not in HASHING:
        yield path, f"has no effect on {pool.algorithm}; {', '.join(HASHING)} follow it"


def _resilience(config: Config, places: Places) -> Iterator[Finding]:
    """Passive checks, breakers and slow start."""
    for index, pool in enumerate(config.pools):
        check, count = pool.health_check, len(pool.backends)
        passive, breaker = check.passive, pool.breaker
        section = places.pool(index, "circuit_breaker")
        if not breaker.enabled and _is_half_given(places, section):
            yield section, "is given but not enabled; write enabled: true"
        if breaker.enabled and count == 1 and (section != ("circuit_breaker",) or places.pools[index] == ()):
            yield section, "keeps nothing from a lone backend: where nobody else is ready, it is asked all the same"
        percent = passive.max_ejection_percent
        section = places.pool(index, "health_check.passive_checks")
        if passive.enabled and places.document.has(section) and (count == 1 or not count * percent // 100):
            yield (
                places.pool(index, "health_check.passive_checks.max_ejection_percent", "health_check.passive_checks"),
                "nobody is ever ejected: " + ("a lone backend stays" if count == 1 else f"{percent} % of {count} is none"),
            )
        if check.slow_start_s and not (check.enabled or passive.enabled or breaker.enabled):
            yield (
                places.pool(index, "health_check.slow_start"),
                "has no effect: without checks and circuit_breaker no backend ever comes back",
            )


def _retries(config: Config, places: Places) -> Iterator[Finding]:
    for index, pool in enumerate(config.pools):
        retry = pool.retry
        section = places.pool(index, "retry")
        if not retry.enabled:
            continue
        if retry.backoff_base_s > retry.backoff_max_s:
            yield (
                places.pool(index, "retry.backoff_base", "retry.backoff_max"),
                f"backoff_base, {duration_text(retry.backoff_base_s)}, is longer than backoff_max, "
                f"{duration_text(retry.backoff_max_s)}: every wait is backoff_max",
            )
        users = [(number, listener) for number, listener in enumerate(config.listeners) if listener.pool == pool.name]
        tries_s = retry.per_try_timeout_s * retry.max_attempts
        for number, listener in users:
            if listener.mode is Mode.HTTP and listener.timeouts.request_s and tries_s > listener.timeouts.request_s:
                yield (
                    places.listener(number, "timeouts.request"),
                    f"request, {duration_text(listener.timeouts.request_s)}, is over before {retry.max_attempts} tries of "
                    f"{duration_text(retry.per_try_timeout_s)} (retry.per_try_timeout) can fail",
                )
        raw = next((listener for _, listener in users if listener.mode is Mode.TCP), None)
        if raw is None or not places.document.has(section):
            continue
        is_shared = section == ("retry",) and any(listener.mode is Mode.HTTP for listener in config.listeners)
        for key in places.document.at(section):
            if key not in ("enabled", "on") and not is_shared:
                yield (
                    (*section, key),
                    f"has no effect on listener {raw.name!r}: in mode tcp only enabled has, and connect in on",
                )


def _is_half_given(places: Places, section: Path, others: tuple[str, ...] = ()) -> bool:
    """Whether the section stands there with keys, yet without `enabled`. Keys in `others` have a life of their own."""
    if not places.document.has(section):
        return False
    given = places.document.at(section)
    return not isinstance(given, dict) or ("enabled" not in given and not (given and given.keys() <= {*others}))


def _side_doors(config: Config, places: Places) -> Iterator[Finding]:
    if config.admin.enabled and not _is_loopback(config.admin.address):
        yield (
            ("admin", "listen"),
            f"{config.admin.address} is no loopback address, and only on one are orders taken and backends shown; "
            "for metrics and probes from elsewhere there is metrics.listen",
        )
    if config.metrics.enabled and config.metrics.address is None and not config.admin.enabled:
        yield (
            ("metrics",) if places.document.has(("metrics",)) else ("admin", "enabled"),
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
    for path, output in (
        (("logging", "output"), config.logging.output),
        (("logging", "access_log", "output"), config.logging.access_log.output),
    ):
        folder = os.path.dirname(output) or "."
        if output not in ("stdout", "stderr") and not os.path.isdir(folder):
            yield path, f"{output!r}: there is no folder {folder!r} on this machine"


def _is_loopback(address: Address) -> bool:
    if address.is_unix or address.host == "localhost":
        return True
    try:
        return ipaddress.ip_address(address.host).is_loopback
    except ValueError:
        return False


def _times(places: Places) -> Iterator[Finding]:
    """HAProxy and JavaScript take a bare number for milliseconds; here, as in nginx, it is seconds."""
    for path in places.document.values:
        if path and path[-1] in SHORT_TIMES and type(places.document.at(path)) is int:
            number = places.document.at(path)
            if number >= LONG_S:
                yield path, f"{number} is {duration_text(float(number))}, for a bare number is seconds; write it with its unit"
