"""Warnings about routes: which mean the same, which are never reached, which settings have no effect."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from balance.config.build import KeyPaths
from balance.config.fault_ends import fault_end_s, utc_text
from balance.config.model import Config
from balance.config.reading.document import Document, Path
from balance.config.route_model import Buffering, Compression, RouteConfig, Transform
from balance.config.route_order import shadowed
from balance.config.schema.hash_keys import HASHING
from balance.model import Mode

Finding = tuple[Path, str]


def route_warnings(config: Config, paths: KeyPaths) -> Iterator[Finding]:
    """Each with the path of its key; a list of routes that several listeners share is looked at once."""
    seen: set[Path] = set()
    document = paths.document
    for index, listener in enumerate(config.listeners):
        where = paths.routes[index]
        http = (*paths.listeners[index], "http")
        compression = document.first((*http, "compression"), ("http", "compression"))
        if not listener.http.compression.enabled:
            yield from _not_enabled(compression, document)
        yield from _compresses_nothing(listener.http.compression, compression)
        for key, is_on in (("headers", listener.security.headers.enabled), ("cors", listener.security.cors.enabled)):
            if not is_on and listener.mode is Mode.HTTP:
                own = (*paths.listeners[index], "security", key)
                yield from _not_enabled(document.first(own, ("security", key)), document)
        if not listener.http.routes:
            shared = document.first((*http, "transform"), ("http", "transform"))
            yield from _maps_nothing_back(listener.http.transform, listener.http.host, shared)
            yield from _buffers_nothing(listener.http.buffering, document.first((*http, "buffering"), ("http", "buffering")))
        if not listener.http.routes or where in seen:
            continue
        seen.add(where)
        routes = listener.http.routes
        for later, earlier, is_same in shadowed(routes):
            other = f"route {routes[earlier].name!r} (routes[{earlier}])"
            if is_same:
                yield (*where, later), f"is for the same requests as {other}, which is tried before it"
            else:
                yield (*where, later), f"can never be reached: {other} is tried before it and takes all that it is for"
        algorithms = {pool.name: pool.algorithm for pool in config.pools}
        for number, route in enumerate(routes):
            yield from _route(route, (*where, number), config, algorithms, document)


def _route(
    route: RouteConfig, where: Path, config: Config, algorithms: Mapping[str, str], document: Document
) -> Iterator[Finding]:
    """`algorithms` are those of the pools by name."""
    if not route.compression.enabled:
        yield from _not_enabled((*where, "compression"), document)
    for key in ("path", "path_prefix"):
        if document.has((*where, key)) and (given := str(document.at((*where, key)))).endswith("/*"):
            below = given.rstrip("/*") or "/"
            yield (*where, key), f"{given!r}: a * stands for itself here; {below} and all below it is path_prefix: {below}"
    for key, is_on in (("headers", route.security.headers.enabled), ("cors", route.security.cors.enabled)):
        if not is_on:
            yield from _not_enabled((*where, "security", key), document)
    if document.has((*where, "compression")):
        yield from _compresses_nothing(route.compression, (*where, "compression"))
    if document.has((*where, "transform")):
        yield from _maps_nothing_back(route.transform, route.host, (*where, "transform"))
    if document.has((*where, "buffering")):
        yield from _buffers_nothing(route.buffering, (*where, "buffering"))
    canary, mirror = route.policy.canary, route.policy.mirror
    if canary is not None and not canary.percent and canary.header is None and canary.cookie is None:
        yield (*where, "policy", "canary"), "gets nobody: percent is 0, and neither header nor cookie leads there"
    if mirror is not None and not mirror.percent:
        yield (*where, "policy", "mirror"), "gets no copies: percent is 0"
    if route.split and not any(share.weight for share in route.split):
        yield (*where, "split"), "every pool has weight 0: its requests are answered 503"
    has_backends = bool(route.uses)
    if not has_backends:
        for key in ("load_balancer", "timeouts", "retry", "buffering"):
            if document.has((*where, key)):
                yield (*where, key), "has no effect: no request of this route goes to a backend"
    path = (*where, "load_balancer", "hash_key")
    if document.has(path):
        own = {route.algorithm or algorithms[use.pool] for use in route.uses if use.pool in algorithms}
        if own and not own & {*HASHING}:
            yield path, f"has no effect on {', '.join(sorted(own))}; {', '.join(HASHING)} follow it"
    fault = route.policy.fault
    if fault is not None:
        if not fault.abort_percent and not fault.delay_percent:
            yield (*where, "policy", "fault"), "injects nothing: abort_percent and delay_percent are 0"
        elif fault.delay_percent and not fault.delay_s:
            yield (*where, "policy", "fault", "delay_percent"), "delays by nothing: delay is 0"
        if fault_end_s(fault) and fault_end_s(fault) <= datetime.now(UTC).timestamp():
            yield (*where, "policy", "fault", "until"), f"ended on {utc_text(fault_end_s(fault))}: no fault is injected"
        if fault.header is not None and not config.trusted_proxies:
            yield (
                (*where, "policy", "fault", "header"),
                "is believed from security.trusted_proxies only, and there are none: no fault is injected",
            )
    regions = route.policy.regions
    if regions is not None and regions.header and not config.trusted_proxies:
        yield (
            (*where, "policy", "regions", "header"),
            "is believed from security.trusted_proxies only, and there are none: it has no effect",
        )


def _compresses_nothing(compression: Compression, where: Path) -> Iterator[Finding]:
    if compression.enabled:
        for key in ("algorithms", "types"):
            if not getattr(compression, key):
                yield (*where, key), "is empty: nothing is compressed"


def _maps_nothing_back(transform: Transform, host: str, where: Path) -> Iterator[Finding]:
    if transform.map_back and not transform.strip_prefix and not transform.add_prefix and host == "preserve":
        yield (*where, "map_back"), "has no effect: neither strip_prefix, add_prefix nor host changes anything"


def _buffers_nothing(buffering: Buffering, where: Path) -> Iterator[Finding]:
    for key, size in (("request", buffering.request_bytes), ("response", buffering.response_bytes)):
        if size > buffering.total_bytes:
            yield (*where, key), "is more than total: a body of that size is never taken whole"


def _not_enabled(where: Path, document: Document) -> Iterator[Finding]:
    if document.has(where) and isinstance(document.at(where), dict) and "enabled" not in document.at(where):
        yield where, "is given but not enabled; write enabled: true"
