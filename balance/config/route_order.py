"""The total order in which routes are tried, and what follows: routes that mean the same, routes that are never reached.

Priority first; then an exact host, the longest wildcard, any host; then an exact path, regular expressions in the file's order,
the longest prefix, any path; then more conditions before fewer; then the file's order. One flat order: an exact host whose
paths do not match falls through to the wildcards. As nginx, but for regular expressions, which there come before all prefixes
of one server too; a catch-all prefix `/` hides none.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from balance.config.route_model import RouteConfig, RouteMatch, ValueMatch

OrderKey = tuple[int, int, int, int, int, int, int]

_PATH_RANKS: Final = {"exact": 0, "regex": 1, "prefix": 2, "": 3}
_MAX_ALIKE: Final = 20  # earlier routes of one host and path that a route is compared with: 10,000 are checked at once


def order_key(match: RouteMatch, index: int) -> OrderKey:
    """The key by which routes are sorted; `index` is the route's place in the file."""
    host = match.host
    host_rank = 2 if not host else 1 if host.startswith("*.") else 0
    within = index if match.path_operator == "regex" else -len(match.path) if match.path_operator == "prefix" else 0
    return (
        -match.priority,
        host_rank,
        -len(host) if host_rank == 1 else 0,
        _PATH_RANKS[match.path_operator],
        within,
        -condition_count(match),
        index,
    )


def condition_count(match: RouteMatch) -> int:
    """How many conditions it has beyond host and path: the methods are one, and each header field, parameter and cookie."""
    return bool(match.methods) + len(match.headers) + len(match.query) + len(match.cookies)


def in_order(routes: Iterable[RouteConfig]) -> tuple[RouteConfig, ...]:
    """The routes in the order in which they are tried."""
    keyed = sorted((order_key(route.match, index), index, route) for index, route in enumerate(routes))
    return tuple(route for _, _, route in keyed)


def shadowed(routes: Sequence[RouteConfig]) -> list[tuple[int, int, bool]]:
    """Routes that no request ever reaches: the place in the file of each, of one that takes all it is for, and whether both
    are for the same requests.

    Only what is certain: a regular expression is compared with itself alone, and several routes together are not looked at.
    """
    found = []
    tried: dict[tuple[str, str, str], list[int]] = {}  # by host, kind of path and path
    for index in sorted(range(len(routes)), key=lambda index: order_key(routes[index].match, index)):
        match = routes[index].match
        earlier = _first_cover(match, routes, tried)
        if earlier is not None:
            found.append((index, earlier, covers(match, routes[earlier].match)))
        alike = tried.setdefault((match.host, match.path_operator, match.path), [])
        if len(alike) < _MAX_ALIKE:
            alike.append(index)
    return found


def _first_cover(match: RouteMatch, routes: Sequence[RouteConfig], tried: dict[tuple[str, str, str], list[int]]) -> int | None:
    for host in _wider_hosts(match.host):
        for path_operator, path in _wider_paths(match):
            for earlier in tried.get((host, path_operator, path), ()):
                if covers(routes[earlier].match, match):
                    return earlier
    return None


def covers(wide: RouteMatch, narrow: RouteMatch) -> bool:
    """Whether every request of the second is one of the first, as far as that is certain. Priorities are not looked at."""
    return (
        wide.host in _wider_hosts(narrow.host)
        and (wide.path_operator, wide.path) in _wider_paths(narrow)
        and (not wide.methods or (bool(narrow.methods) and _methods(narrow) <= _methods(wide)))
        and _implies(narrow.headers, wide.headers)
        and _implies(narrow.query, wide.query)
        and _implies(narrow.cookies, wide.cookies)
    )


def _wider_hosts(host: str) -> list[str]:
    """The hosts of routes that include that one: itself, the wildcards above it, any."""
    labels = host.removeprefix("*.").split(".")
    first = 0 if host.startswith("*.") else 1
    wildcards = [f"*.{'.'.join(labels[number:])}" for number in range(first, len(labels))] if host else []
    return list(dict.fromkeys([host, *wildcards, ""]))


def _wider_paths(match: RouteMatch) -> list[tuple[str, str]]:
    wider = [(match.path_operator, match.path)]
    if match.path_operator in ("exact", "prefix"):
        path = match.path
        while path:
            wider.append(("prefix", path))
            path = path[: path.rfind("/")]
        wider.append(("prefix", "/"))
    elif match.path_operator == "regex" or not match.path_operator:
        wider.append(("prefix", "/"))  # every path begins with it, but that of `OPTIONS *`
    wider.append(("", ""))
    return wider


def _methods(match: RouteMatch) -> frozenset[str]:
    return frozenset(match.methods) | ({"HEAD"} if "GET" in match.methods else frozenset())


def _implies(narrow: tuple[ValueMatch, ...], wide: tuple[ValueMatch, ...]) -> bool:
    """Whether who meets the first conditions meets the second ones."""
    given = set(narrow)
    names = {condition.name for condition in narrow if condition.operator != "absent"}
    return all(each in given or (each.operator == "present" and each.name in names) for each in wide)
