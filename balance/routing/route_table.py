"""Finds the route of a request: of all that match, the first in the order of config/route_order.py. Judges one reading only.

Look-up does not grow with the number of routes: hosts, the domains above them, paths and the prefixes of paths are looked up in
dicts. Only regular expressions of the same host are tried one by one, as in nginx. (RE2's sets would try them at once, but say
"none" when they are out of memory, which would lead past a guarded route.)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from balance import linear_regex
from balance.config.route_model import RouteMatch
from balance.config.route_order import order_key
from balance.host_names import normalize_host
from balance.routing.path_readings import configured_readings
from balance.routing.request_view import RequestView
from balance.routing.value_test import ValueTest

NO_MATCH: Final = -1


class RouteTable:
    """The routes of one listener; made once for each configuration."""

    __slots__ = ("_any_host", "_domains", "_has_priorities", "_hosts", "has_paths")

    def __init__(self, matches: Sequence[RouteMatch]) -> None:
        self._hosts: dict[str, _HostRoutes] = {}
        self._domains: dict[str, _HostRoutes] = {}  # by what is behind the `*` of a wildcard
        self._any_host = _HostRoutes()
        self._has_priorities = len({match.priority for match in matches}) > 1
        self.has_paths = any(match.path_operator for match in matches)  # without, paths make no difference
        in_order = sorted(range(len(matches)), key=lambda index: order_key(matches[index], index))
        for rank, index in enumerate(in_order):
            match = matches[index]
            host = normalize_host(match.host)
            if not host:
                routes = self._any_host
            elif host.startswith("*."):
                routes = self._domains.setdefault(host[1:], _HostRoutes())
            else:
                routes = self._hosts.setdefault(host, _HostRoutes())
            routes.add(match, _Route(index, rank, match))

    def find(self, view: RequestView, host: str, method: bytes, path: bytes) -> int:
        """The index of the request's route, or NO_MATCH. `host` is normalized, `path` has no query."""
        has_priorities = self._has_priorities
        best: _Route | None = None
        routes = self._hosts.get(host)
        if routes is not None:
            sole = routes.sole
            if sole is not None and not has_priorities:
                return sole.index
            best = routes.find(view, method, path, None, has_priorities)
            if best is not None and not has_priorities:
                return best.index
        domains = self._domains
        if domains:
            dot = host.find(".", 1)
            while dot >= 0:
                routes = domains.get(host[dot:])
                if routes is not None:
                    best = routes.find(view, method, path, best, has_priorities)
                    if best is not None and not has_priorities:
                        return best.index
                dot = host.find(".", dot + 1)
        best = self._any_host.find(view, method, path, best, has_priorities)
        return NO_MATCH if best is None else best.index

    def sole(self, host: str) -> int:
        """The index of the route that takes every request of this normalized host, whatever else it has; else NO_MATCH."""
        if self._has_priorities:
            return NO_MATCH
        routes = self._hosts.get(host)
        dot = host.find(".", 1)
        while routes is None and dot >= 0:
            routes = self._domains.get(host[dot:])
            dot = host.find(".", dot + 1)
        sole = (routes or self._any_host).sole
        return NO_MATCH if sole is None else sole.index


class _Route:
    """A route without its host and path. `rank` is its place in the order of all routes."""

    __slots__ = ("_methods", "_tests", "index", "is_unconditional", "rank")

    def __init__(self, index: int, rank: int, match: RouteMatch) -> None:
        self.index = index
        self.rank = rank
        methods = {method.encode() for method in match.methods}
        if b"GET" in methods:
            methods.add(b"HEAD")  # RFC 9110 section 9.3.2
        self._methods = frozenset(methods)
        self._tests = (
            *(ValueTest("header", each) for each in match.headers),
            *(ValueTest("query", each) for each in match.query),
            *(ValueTest("cookie", each) for each in match.cookies),
        )
        self.is_unconditional = not self._methods and not self._tests

    def accepts(self, view: RequestView, method: bytes) -> bool:
        if self._methods and method not in self._methods:
            return False
        for test in self._tests:  # noqa: SIM110  (a generator costs more than most tests)
            if not test.holds(view):
                return False
        return True


class _HostRoutes:
    """The routes of one host, wildcard, or any host. All lists are in the order of ranks."""

    __slots__ = ("_any_path", "_exact", "_longest", "_prefixes", "_regexes", "_size", "sole")

    def __init__(self) -> None:
        self.sole: _Route | None = None  # takes all requests of the host: nothing has to be looked up
        self._size = 0
        self._exact: dict[bytes, list[_Route]] = {}
        self._regexes: list[tuple[linear_regex.Pattern, _Route]] = []
        self._prefixes: dict[bytes, list[_Route]] = {}  # without a final slash
        self._longest = 0  # of the prefixes
        self._any_path: list[_Route] = []

    def add(self, match: RouteMatch, route: _Route) -> None:
        operator = match.path_operator
        self._size += 1
        self.sole = route if self._size == 1 and not operator and route.is_unconditional else None
        if operator == "exact":
            for path in configured_readings(match.path):
                self._exact.setdefault(path, []).append(route)
        elif operator == "prefix":
            for path in dict.fromkeys(path.rstrip(b"/") for path in configured_readings(match.path)):
                self._prefixes.setdefault(path, []).append(route)
                self._longest = max(self._longest, len(path))
        elif operator == "regex":
            self._regexes.append((linear_regex.compile(match.path), route))
        else:
            self._any_path.append(route)

    def find(self, view: RequestView, method: bytes, path: bytes, best: _Route | None, has_priorities: bool) -> _Route | None:
        """The best of `best` and the routes here that match. Without priorities, the first that is found is."""
        routes = self._exact.get(path)
        if routes is not None:
            best = _better(routes, view, method, best)
            if best is not None and not has_priorities:
                return best
        for pattern, route in self._regexes:
            if best is not None and route.rank > best.rank:
                break
            if route.accepts(view, method) and pattern.search(path):
                best = route
                break
        prefixes = self._prefixes
        if prefixes and (best is None or has_priorities):
            end = len(path)
            if end > self._longest:
                end = path.rfind(b"/", 0, self._longest + 1)
            while end >= 0:  # from border to border; the root is b""
                routes = prefixes.get(path[:end])
                if routes is not None:
                    best = _better(routes, view, method, best)
                    if best is not None and not has_priorities:
                        return best
                end = path.rfind(b"/", 0, end)
        return _better(self._any_path, view, method, best)


def _better(routes: list[_Route], view: RequestView, method: bytes, best: _Route | None) -> _Route | None:
    for route in routes:
        if best is not None and route.rank > best.rank:
            return best
        if route.is_unconditional or route.accepts(view, method):
            return route
    return best
