"""Which route a request takes, with its path; and which routes a reload makes anew."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from balance.balancing import POLICIES
from balance.config.common_model import Retry, Timeouts
from balance.config.model import HttpConfig, ListenerConfig
from balance.config.route_model import Buffering, Condition, PoolUse, RouteConfig, RouteMatch, Rule, TrafficPolicy, Transform
from balance.http1.head import RequestFields
from balance.model import Address, Mode
from balance.runtime import counters
from balance.runtime.pool import Pool
from balance.runtime.routes import Route, Router, Routers, Target
from balance.runtime.row import Row
from balance.stages.environment import StageEnvironment
from balance.stages.request_context import RequestContext
from balance.stages.stage import Reply


def route(name: str, path: str, **others: Any) -> RouteConfig:
    match = RouteMatch(path_operator="prefix", path=path)
    return RouteConfig(name, match, "main", uses=(PoolUse("main", Timeouts(), Retry()),), **others)


ANY = Condition("all")
DENY = TrafficPolicy(rules=(Rule(ANY, "deny"),))
ADMIN, API = route("admin", "/admin", policy=DENY), route("api", "/api", transform=Transform(strip_prefix="/api"))
REST = route("rest", "/")
ROW = Row(memoryview(bytearray(8 * counters.row_cells(1))).cast("Q"))
POOL = Pool("main", (), "round-robin", POLICIES["round-robin"](random.random), ROW)
TARGET = Target(POOL, Timeouts(), None, None, Buffering())


def router(*routes: RouteConfig, normalize: str = "reject", before: Router | None = None) -> Router:
    listener = ListenerConfig("web", (Address("", 80),), Mode.HTTP, "main", http=HttpConfig(routes=routes, normalize=normalize))
    made = Routers(
        {},
        lambda *_: TARGET,
        lambda listener: StageEnvironment(listener.name, listener.http, listener.http.routes, lambda: 0.0),
        [] if before is None else [("web", before)],
    ).router(listener)
    assert made is not None
    return made


def found(routes: Router, target: bytes) -> tuple[str, bytes, bytes]:
    """(route or why there is none, path, query)"""
    context = RequestContext()
    context.method, context.target = b"GET", target
    context.fields, context.target = RequestFields(), target
    taken = routes.find(context)
    if isinstance(taken, Reply):
        return taken.why.word, context.path, context.query
    assert (context.route, context.pool) == (taken.name, "main")
    return taken.name, context.path, context.query


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (b"/admin", ("admin", b"/admin", b"")),
        (b"/x?", ("rest", b"/x", b"?")),
        (b"/api/a?b=%2F?c", ("api", b"/api/a", b"?b=%2F?c")),
        (b"/x?/../admin", ("rest", b"/x", b"?/../admin")),
        (b"/x//y", ("rest", b"/x//y", b"")),
        (b"*", ("no_route", b"*", b"")),
    ],
)
@pytest.mark.parametrize("normalize", ["reject", "forward"])
def test_the_route_of_a_request(target, expected, normalize):
    assert found(router(ADMIN, API, REST, normalize=normalize), target) == expected


def test_a_path_that_may_lead_elsewhere():
    assert found(router(ADMIN, REST), b"/x/../admin?y")[0] == "ambiguous_path"
    assert found(router(ADMIN, REST, normalize="forward"), b"/x/../admin?y") == ("admin", b"/admin", b"?y")
    assert found(router(ADMIN, REST, normalize="forward"), b"/admin;x")[0] == "ambiguous_path"


def kept(before: Router, after: Router) -> list[str]:
    """The routes that stay as they are."""
    old: dict[str, Route] = {each.name: each for each in before.routes}
    return [each.name for each in after.routes if old.get(each.name) is each]


def test_a_reload_makes_only_what_changes():
    before = router(ADMIN, API, REST)
    assert kept(before, router(ADMIN, API, REST, before=before)) == ["admin", "api", "rest"]
    changed = replace(REST, body_bytes=7)
    # the path that `api` strips is judged by the rules of the others, and by the table of all
    assert kept(before, router(ADMIN, API, changed, before=before)) == ["admin"]


def test_rules_follow_a_change_of_what_they_do_with_ambiguous_paths():
    before = router(ADMIN, REST)
    after = router(ADMIN, REST, normalize="forward", before=before)
    assert kept(before, after) == ["rest"]
    assert kept(after, router(ADMIN, REST, normalize="forward", before=after)) == ["admin", "rest"]
