"""Warnings about routes: which mean the same, which are never reached, which settings have no effect."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from balance.config.build import KeyPaths
from balance.config.fault_ends import fault_end_s, utc_text
from balance.config.model import Config
from balance.config.reading.document import Document, Path
from balance.config.route_model import RouteConfig
from balance.config.route_order import shadowed
from balance.config.schema.hash_keys import HASHING

Finding = tuple[Path, str]


def route_warnings(config: Config, paths: KeyPaths) -> Iterator[Finding]:
    """Each with the path of its key; a list of routes that several listeners share is looked at once."""
    seen: set[Path] = set()
    document = paths.document
    for index, listener in enumerate(config.listeners):
        where = paths.routes[index]
        http = (*paths.listeners[index], "http")
        if not listener.http.compression.enabled:
            yield from _not_enabled(document.first((*http, "compression"), ("http", "compression")), document)
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


def _not_enabled(where: Path, document: Document) -> Iterator[Finding]:
    if document.has(where) and isinstance(document.at(where), dict) and "enabled" not in document.at(where):
        yield where, "is given but not enabled; write enabled: true"
