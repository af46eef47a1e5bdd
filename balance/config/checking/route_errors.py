"""Errors in routes that concern several keys together: where requests go, names, and what needs a library or file."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from difflib import get_close_matches
from importlib.util import find_spec

from balance import linear_regex
from balance.config.build import KeyPaths
from balance.config.model import Config, ListenerConfig
from balance.config.reading.document import Document, Path
from balance.config.route_model import Compression, Redirect, RouteConfig, Rule, Transform
from balance.geoip import GeoDatabase, GeoDatabaseError
from balance.model import Mode

Finding = tuple[Path, str]

TARGETS = ("pool", "backends", "split", "redirect", "respond")
PATHS = ("path", "path_prefix", "path_regex")
_LIBRARIES = {"br": "brotli", "zstd": "zstandard"}
_NO_BODY = (204, 205, 304)
# What a request's `rule` says where one of these has decided; policies go by what is there, so no rule may be called so.
POLICY_NAMES = frozenset(("blue_green", "blue_green.header", "canary", "fault", "split"))


def pool_names(config: Config, document: Document) -> Collection[str]:
    """The names of all pools, to be looked up in. Those of `pools` are from the document: one with a problem has no section."""
    given = document.at(("pools",)) if document.has(("pools",)) else {}
    return dict.fromkeys([*(given if isinstance(given, dict) else {}), *(pool.name for pool in config.pools)])


def not_defined(pool: str, names: Iterable[str]) -> str:
    names = list(names)
    close = get_close_matches(pool, names, 1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return f"{pool!r} is not defined; pools: {', '.join(names[:20]) or 'none'}{hint}"


def route_errors(config: Config, paths: KeyPaths) -> Iterator[Finding]:
    """Each with the path of its key; a list of routes that several listeners share is looked at once."""
    names = pool_names(config, paths.document)
    seen: set[Path] = set()
    for index, listener in enumerate(config.listeners):
        own = (*paths.listeners[index], "http")
        if listener.mode is Mode.TCP:
            if own != ("http",) and paths.document.has((*own, "routes")):
                yield (*own, "routes"), f"need requests, and listener {listener.name!r} has mode tcp; write mode: http"
            continue
        yield from _shared_keys(listener, own, paths.document)
        where = paths.routes[index]
        routes = listener.http.routes
        if routes and (redirect := routes[-1].redirect) and redirect.port:  # only the one of tls.redirect_http has a port
            # It stands in for the list at the top, which other listeners have; before it are those of ACME alone.
            routes, is_written = routes[:-1], own != ("http",) and where == (*own, "routes")
        else:
            is_written = True
        if is_written and where not in seen:
            seen.add(where)
            yield from _names(routes, where)
            for number, route in enumerate(routes):
                yield from _route(route, (*where, number), names, paths.document)
        if not listener.pool:
            yield from _without_pool(listener, where, names, paths.document)
    if all(listener.mode is Mode.TCP for listener in config.listeners) and paths.document.has(("http", "routes")):
        yield ("http", "routes"), "need requests, and every listener has mode tcp; write mode: http"


def _shared_keys(listener: ListenerConfig, own: Path, document: Document) -> Iterator[Finding]:
    http = listener.http
    at = document.first((*own, "compression"), ("http", "compression"))
    yield from _compression(http.compression, at)
    at = document.first((*own, "transform"), ("http", "transform"))
    yield from _transform(http.transform, at, document)


def _names(routes: Iterable[RouteConfig], where: Path) -> Iterator[Finding]:
    seen: dict[str, int] = {}
    for number, route in enumerate(routes):
        if route.name in seen:
            yield (*where, number, "name"), f"{route.name!r} is the name of routes[{seen[route.name]}] too; names are unique"
        seen.setdefault(route.name, number)


def _without_pool(listener: ListenerConfig, where: Path, names: Collection[str], document: Document) -> Iterator[Finding]:
    """Routes that say nothing of where requests go, in a listener without a pool to default to."""
    for number, route in enumerate(listener.http.routes):
        path = (*where, number)
        if (
            not route.uses
            and not route.redirect
            and not route.respond
            and not any(document.has((*path, key)) for key in TARGETS)
        ):
            yield (
                path,
                f"says not where its requests go, and listener {listener.name!r} has no pool; write one of {', '.join(TARGETS)}"
                + (f" (pools: {', '.join([*names][:20])})" if names else ""),
            )


def _route(route: RouteConfig, where: Path, names: Collection[str], document: Document) -> Iterator[Finding]:
    yield from _targets(route, where, names, document)
    given = [key for key in PATHS if document.has((*where, key))]
    if len(given) > 1:
        yield (*where, given[1]), f"stands beside {given[0]}; a route has one of {', '.join(PATHS)}"
    if document.has((*where, "backends")) and document.has(("pools", route.name)):
        yield (
            (*where, "backends"),
            f"are a pool that is called {route.name!r} as the route, and there is such a pool; rename one",
        )
    if document.has((*where, "backends")) and not document.at((*where, "backends")):
        yield (*where, "backends"), "is empty; write at least one backend"
    for key, value in (("split", route.split), ("policy.rules", route.policy.rules)):
        path = (*where, *key.split("."))
        if document.has(path) and not value and not document.at(path):
            yield path, "is empty; write at least one, or leave it out"
    if route.redirect is not None:
        yield from _redirect(route.redirect, (*where, "redirect"))
        yield from _redirect_groups(route, (*where, "redirect"))
    if route.respond is not None and route.respond.body and route.respond.status in _NO_BODY:
        yield (*where, "respond", "body"), f"a reply of status {route.respond.status} has no body (RFC 9110)"
    if document.has((*where, "transform")):
        yield from _transform(route.transform, (*where, "transform"), document)
    if document.has((*where, "compression")):
        yield from _compression(route.compression, (*where, "compression"))
    yield from _policy(route, (*where, "policy"), names, document)


def _targets(route: RouteConfig, where: Path, names: Collection[str], document: Document) -> Iterator[Finding]:
    given = [key for key in TARGETS if document.has((*where, key))]
    if len(given) > 1:
        yield (*where, given[1]), f"stands beside {given[0]}; a route has one of {', '.join(TARGETS)}"
    if given and given[0] in ("redirect", "respond"):
        for key in ("canary", "blue_green", "mirror", "regions"):
            if document.has((*where, "policy", key)):
                yield (*where, "policy", key), f"stands beside {given[0]}: no request of this route goes to a backend"
    if document.has((*where, "pool")) and route.pool not in names:
        yield (*where, "pool"), not_defined(route.pool, names)
    for number, share in enumerate(route.split):
        if share.pool and share.pool not in names:
            yield (*where, "split", number, "pool"), not_defined(share.pool, names)


def _redirect(redirect: Redirect, where: Path) -> Iterator[Finding]:
    parts = [key for key in ("scheme", "host", "path") if getattr(redirect, key)]
    if not redirect.to and not parts:
        yield where, "leads nowhere; write to, or at least one of scheme, host, path"
    if redirect.to and parts:
        yield (*where, parts[0]), "stands beside to, which is the whole target; write one or the other"


def _redirect_groups(route: RouteConfig, where: Path) -> Iterator[Finding]:
    """`$1` in a redirect's target is a group of the route's regular expression."""
    assert route.redirect is not None
    if route.match.path_operator != "regex":
        return
    for key in ("to", "path"):
        try:
            linear_regex.parse_replacement(getattr(route.redirect, key), linear_regex.compile(route.match.path))
        except ValueError as error:
            yield (*where, key), str(error)


def _transform(transform: Transform, where: Path, document: Document) -> Iterator[Finding]:
    for key in ("request_headers", "response_headers"):
        for number, change in enumerate(getattr(transform, key)):
            path = (*where, key, number)
            if not document.has(path) or document.is_broken(path):
                continue
            if change.action == "remove" and document.has((*path, "value")):
                yield (*path, "value"), "has no meaning beside action: remove"
            elif change.action != "remove" and not document.has((*path, "value")):
                yield path, f"'value' is missing: what {change.name} is {'set to' if change.action == 'set' else 'added with'}"
    for number, rewrite in enumerate(transform.rewrite):
        path = (*where, "rewrite", number, "replacement")
        if document.has(path):
            try:
                linear_regex.parse_replacement(rewrite.replacement, linear_regex.compile(rewrite.regex))
            except ValueError as error:
                yield path, str(error)


def _compression(compression: Compression, where: Path) -> Iterator[Finding]:
    if not compression.enabled:
        return
    if not compression.algorithms:
        yield (*where, "algorithms"), "is empty; write at least one of zstd, br, gzip"
    for algorithm in compression.algorithms:
        library = _LIBRARIES.get(algorithm)
        if library is not None and find_spec(library) is None:
            yield (*where, "algorithms"), f"{algorithm} needs a library: pip install 'balance[compression]'; gzip needs none"


def _policy(route: RouteConfig, where: Path, names: Collection[str], document: Document) -> Iterator[Finding]:
    policy = route.policy
    if (canary := policy.canary) is not None:
        yield from _known(canary.pool, (*where, "canary", "pool"), names)
        if canary.pool and canary.pool == route.pool:
            yield (*where, "canary", "pool"), f"{canary.pool!r} is the route's own pool; a canary needs another"
    if (switch := policy.blue_green) is not None:
        yield from _known(switch.blue, (*where, "blue_green", "blue"), names)
        yield from _known(switch.green, (*where, "blue_green", "green"), names)
        if switch.blue and switch.blue == switch.green:
            yield (*where, "blue_green", "green"), f"{switch.green!r} is blue, too; write two pools"
        for key in ("pool", "backends", "split"):
            if document.has((*where[:-1], key)):
                yield (*where[:-1], key), f"stands beside policy.blue_green, which chooses the pool; leave {key} out"
    if policy.mirror is not None:
        yield from _known(policy.mirror.pool, (*where, "mirror", "pool"), names)
    if document.has((*where, "rules")):
        yield from _rules(route, (*where, "rules"), names, document)
    if (regions := policy.regions) is not None:
        if not (regions.header or regions.cidrs or regions.geoip_db):
            yield (*where, "regions"), "needs header, cidrs or geoip_db: nothing tells a client's region"
        if regions.geoip_db:
            try:
                GeoDatabase(regions.geoip_db)
            except GeoDatabaseError as error:
                yield (*where, "regions", "geoip_db"), f"{regions.geoip_db} {error}"


def _rules(route: RouteConfig, where: Path, names: Collection[str], document: Document) -> Iterator[Finding]:
    by_name = {rule.name: rule for rule in reversed(route.policy.rules)}  # the first of a name
    seen: dict[str, int] = {}
    for number, each in enumerate(document.at(where)):
        name = _rule_name(each, number)
        path = (*where, number)
        at = (*path, "name") if document.has((*path, "name")) else path
        if name in seen:
            yield at, f"{name!r} is the name of rules[{seen[name]}] too; names are unique"
            continue
        seen[name] = number
        if name in POLICY_NAMES:
            yield at, f"{name!r} is how logs call a policy; write another name"
        rule = by_name.get(name)
        if rule is not None:
            yield from _rule(rule, path, names, document)
            if rule.action == "route" and (route.redirect or route.respond):
                answer = "redirect" if route.redirect else "respond"
                yield (*path, "action"), f"stands beside {answer}: no request of this route goes to a backend"


def _rule_name(given: object, number: int) -> str:
    return str(given.get("name", f"rules[{number}]")) if isinstance(given, dict) else ""


def _known(pool: str, where: Path, names: Collection[str]) -> Iterator[Finding]:
    if pool and pool not in names:
        yield where, not_defined(pool, names)


def _rule(rule: Rule, where: Path, names: Collection[str], document: Document) -> Iterator[Finding]:
    for key, action in (("pool", "route"), ("redirect", "redirect")):
        if rule.action == action and not document.has((*where, key)):
            yield where, f"action {action} needs {key}"
        elif rule.action != action and document.has((*where, key)):
            yield (*where, key), f"has no meaning beside action: {rule.action}"
    if rule.action != "deny" and document.has((*where, "status")):
        yield (*where, "status"), f"has no meaning beside action: {rule.action}; a redirect's is redirect.status"
    if rule.action != "deny" and document.has((*where, "retry_after")):
        yield (*where, "retry_after"), f"has no meaning beside action: {rule.action}"
    yield from _known(rule.pool, (*where, "pool"), names)
    if rule.redirect is not None:
        yield from _redirect(rule.redirect, (*where, "redirect"))
