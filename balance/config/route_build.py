"""Builds the routes of a listener from their sections: what they lead to, and their own settings laid over the wider ones."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from balance.config.model import HashKey
from balance.config.overlay import overlay, renamed, retry_of, timeouts_of
from balance.config.rate_limit_build import rate_limit_of
from balance.config.reading.document import Path
from balance.config.route_model import (
    BlueGreen,
    Buffering,
    Canary,
    Compression,
    Fault,
    FixedResponse,
    HeaderChange,
    Mirror,
    PoolUse,
    Redirect,
    Regions,
    Rewrite,
    RouteConfig,
    RouteMatch,
    Rule,
    TrafficPolicy,
    Transform,
    ValueMatch,
    WeightedPool,
)
from balance.config.schema.policy_sections import PolicySection
from balance.config.schema.route_sections import RouteSection
from balance.config.schema.schema import ListenerSection, PoolSection, RootSection
from balance.config.schema.section import Section
from balance.config.schema.transform_sections import RedirectSection
from balance.config.security_build import security_of
from balance.geoip import file_stamp

ACME_PATH = "/.well-known/acme-challenge/"
TO_HTTPS = "to-https"
_OF_A_POOL = ("backends", "load_balancer", "retry", "timeouts", "buffering")  # keys of a route with backends of its own


@dataclass(slots=True)
class RouteScope:
    """What the routes of one listener are built in. `http` are the keys of its http section, merged; `pool` may be ""."""

    root: RootSection
    listener: ListenerSection
    pool: str
    pools: Mapping[str, PoolSection]
    http: Mapping[str, Any]
    pages: Mapping[str, str]
    name: str  # of the listener
    folder: str  # from which relative paths of files go
    files: Mapping[str, str]  # those of `security`, by name
    uses: dict[str, PoolUse] = field(default_factory=dict)  # by pool, of routes without any of it


def route_name(route: RouteSection, index: int) -> str:
    name: str = route.given().get("name", f"route-{index + 1}")
    return name


def own_pools(root: RootSection) -> Iterator[tuple[str, Path, PoolSection]]:
    """The pools of routes that have backends of their own: the name, the route's path, and a section with its keys."""
    lists: list[tuple[Path, Sequence[RouteSection]]] = []
    if root.http is not None:
        lists.append((("http", "routes"), root.http.routes or ()))
    for number, listener in enumerate(root.listeners or ()):
        if listener.http is not None:
            lists.append((("listeners", number, "http", "routes"), listener.http.routes or ()))
    for path, routes in lists:
        for index, route in enumerate(routes):
            given = route.given()
            if given.get("backends") is not None:
                keys = {key: given[key] for key in _OF_A_POOL if key in given}
                yield route_name(route, index), (*path, index), PoolSection.model_construct({*keys}, **keys)


def routes_of(routes: Sequence[RouteSection], scope: RouteScope) -> tuple[RouteConfig, ...]:
    """The routes in the file's order."""
    return tuple(_route(route_name(route, index), route.given(), route, scope) for index, route in enumerate(routes))


def is_acme(path: str) -> bool:
    """Whether the path of a route, or its prefix, is for challenges of ACME alone."""
    return f"{path}/".startswith(ACME_PATH)


def redirected_to_https(routes: Sequence[RouteConfig], scope: RouteScope, port: int) -> tuple[RouteConfig, ...]:
    """The routes of a listener that sends its clients to https at this port. Of its own, those of ACME stay (RFC 8555 8.3)."""
    kept = [route for route in routes if route.match.path_operator != "regex" and is_acme(route.match.path)]
    redirect = RedirectSection.model_construct({"scheme"}, scheme="https")
    keys: dict[str, Any] = {"name": TO_HTTPS, "redirect": redirect}
    if scope.pool:  # for requests that came over TLS already, as a trusted proxy tells
        keys["pool"] = scope.pool
    made = _route(TO_HTTPS, keys, RouteSection.model_construct({*keys}, **keys), scope)
    return (*kept, replace(made, redirect=Redirect(scheme="https", port=port)))


def _route(name: str, given: dict[str, Any], route: RouteSection, scope: RouteScope) -> RouteConfig:
    policy = _policy(route.policy, scope.folder)
    split = tuple(WeightedPool(**{"pool": "", **each.given()}) for each in given.get("split", ()))
    redirect = Redirect(**given["redirect"].given()) if "redirect" in given else None
    respond = _respond(given["respond"].given()) if "respond" in given else None
    pool = name if "backends" in given else given.get("pool", "")
    if not (pool or split or redirect or respond or policy.blue_green):
        pool = scope.pool
    balancing = overlay(route.load_balancer) if "backends" not in given else {}
    leads_to = [pool, *(each.pool for each in split), *_pools_of(policy)]
    uses = tuple(_use(pool, route, scope) for pool in dict.fromkeys(leads_to) if pool)
    pages = dict(scope.http.get("error_pages", {})) | given.get("error_pages", {})
    limits = scope.http.get("limits", {}) | overlay(route.limits)
    return RouteConfig(
        name=name,
        match=_match(given),
        pool=pool,
        split=split,
        redirect=redirect,
        respond=respond,
        transform=transform_of(scope.http.get("transform", {}) | overlay(route.transform)),
        policy=policy,
        compression=compression_of(scope.http.get("compression", {}) | overlay(route.compression)),
        security=security_of(scope.files, scope.root.security, scope.listener.security, route.security),
        buffering=uses[0].buffering if uses else Buffering(),
        error_pages=pages_of(pages, scope.pages),
        host=scope.http.get("host", "preserve"),
        body_bytes=limits.get("body", 0),
        rate_limit=rate_limit_of(scope.root.rate_limit, scope.listener.rate_limit, scope.name, route.rate_limit, name),
        timeouts=uses[0].timeouts if uses else None,
        retry=uses[0].retry if uses else None,
        algorithm=balancing.get("algorithm", ""),
        hash_key=HashKey() if balancing.get("algorithm") == "source-ip" else balancing.get("hash_key"),
        uses=uses,
    )


def _use(name: str, route: RouteSection, scope: RouteScope) -> PoolUse:
    is_plain = route.timeouts is None and route.retry is None and route.buffering is None
    if is_plain and name in scope.uses:
        return scope.uses[name]
    pool = scope.pools.get(name)  # None: not defined, which is reported later
    root = scope.root
    use = PoolUse(
        name,
        timeouts_of(root.timeouts, scope.listener.timeouts, pool and pool.timeouts, route.timeouts),
        retry_of(overlay(root.retry, pool and pool.retry, route.retry)),
        buffering_of(scope.http.get("buffering", {}) | overlay(pool and pool.buffering, route.buffering)),
    )
    if is_plain:
        scope.uses[name] = use
    return use


def _pools_of(policy: TrafficPolicy) -> Iterator[str]:
    if policy.blue_green is not None:
        yield from (policy.blue_green.blue, policy.blue_green.green)
    if policy.canary is not None:
        yield policy.canary.pool
    yield from (rule.pool for rule in policy.rules)
    if policy.mirror is not None:
        yield policy.mirror.pool


def _match(given: dict[str, Any]) -> RouteMatch:
    operator, path = "", ""
    for key, kind in (("path", "exact"), ("path_regex", "regex"), ("path_prefix", "prefix")):
        if key in given and not operator:
            operator, path = kind, given[key]
    return RouteMatch(
        host=given.get("host", ""),
        path_operator=operator,
        path=path,
        methods=tuple(dict.fromkeys(given.get("methods", ()))),
        headers=_conditions(given.get("headers", {})),
        query=_conditions(given.get("query", {})),
        cookies=_conditions(given.get("cookies", {})),
        priority=given.get("priority", 0),
    )


def _conditions(given: dict[str, tuple[str, str]]) -> tuple[ValueMatch, ...]:
    return tuple(ValueMatch(name, *condition) for name, condition in given.items())


def _policy(section: PolicySection | None, folder: str) -> TrafficPolicy:
    if section is None:
        return TrafficPolicy()
    given = section.given()
    canary, switch, mirror = (overlay(given.get(key)) for key in ("canary", "blue_green", "mirror"))
    fault = renamed(overlay(given.get("fault")), delay="delay_s")
    if "until" in fault:
        fault["until_s"], fault["is_until_relative"] = fault.pop("until")
    return TrafficPolicy(
        canary=Canary(**{"pool": "", **canary}) if "canary" in given else None,
        blue_green=BlueGreen(**{"blue": "", "green": "", **switch}) if "blue_green" in given else None,
        mirror=Mirror(**{"pool": "", **mirror}) if "mirror" in given else None,
        fault=Fault(**fault) if "fault" in given else None,
        regions=_regions(overlay(given["regions"]), folder) if "regions" in given else None,
        rules=tuple(_rules(given.get("rules", ()))),
    )


def _regions(given: dict[str, Any], folder: str) -> Regions:
    if "geoip_db" in given:
        given["geoip_db"] = os.path.join(folder, given["geoip_db"])
        given["geoip_stamp"] = file_stamp(given["geoip_db"])
    for key in ("cidrs", "fallback"):
        if key in given:
            given[key] = tuple((region, tuple(listed)) for region, listed in given[key].items())
    return Regions(**given)


def _rules(sections: Sequence[Section]) -> Iterator[Rule]:
    for index, section in enumerate(sections):
        given = {"name": f"rules[{index}]", **section.given()}
        if "retry_after" in given:
            given["retry_after_s"] = given.pop("retry_after")
        if "redirect" in given:
            given["redirect"] = Redirect(**given["redirect"].given())
        if "when" in given and "action" in given:  # else it has been reported already
            yield Rule(**given)


def _respond(given: dict[str, Any]) -> FixedResponse:
    return FixedResponse(**given | {"headers": tuple(given.get("headers", {}).items())})


def transform_of(given: dict[str, Any]) -> Transform:
    given = dict(given)
    for key in ("request_headers", "response_headers"):
        changes = [each.given() for each in given.get(key, ())]
        given[key] = tuple(HeaderChange(**change) for change in changes if {"action", "name"} <= change.keys())
    rewrites = [each.given() for each in given.get("rewrite", ())]
    given["rewrite"] = tuple(Rewrite(**rewrite) for rewrite in rewrites if len(rewrite) == 2)
    return Transform(**given)


def compression_of(given: dict[str, Any]) -> Compression:
    listed = {key: tuple(dict.fromkeys(given[key])) for key in ("algorithms", "types") if key in given}
    return Compression(**renamed(given | listed, min_size="min_size_bytes"))


def buffering_of(given: dict[str, Any]) -> Buffering:
    return Buffering(**{f"{key}_bytes": size for key, size in given.items()})


def pages_of(given: Mapping[int, str], pages: Mapping[str, str]) -> tuple[tuple[int, str], ...]:
    """(status, text) of each error page; one that can't be read has been reported already."""
    return tuple((status, pages[file]) for status, file in given.items() if file in pages)
