"""A stripped or rewritten path reaches nothing that another route guards in the same pool."""

from __future__ import annotations

import ipaddress

import pytest
from contexts import request_context

from balance.config.common_model import Retry, Timeouts
from balance.config.route_model import (
    Condition,
    PoolUse,
    Regions,
    Rewrite,
    RouteConfig,
    RouteMatch,
    Rule,
    TrafficPolicy,
    Transform,
)
from balance.stages.rules.final_path import FinalPathRules, final_path_rules

OFFICE = Condition("cidr", "client_ip", value=("10.0.0.0/8",))
DENY_OTHERS = TrafficPolicy(rules=(Rule(Condition("not", conditions=(OFFICE,)), "deny", name="office only"),))
STRIPS = Transform(strip_prefix="/api")


def route(path: str, pool: str = "main", *, host: str = "", methods: tuple[str, ...] = (), **others: object) -> RouteConfig:
    match = RouteMatch(host=host, path_operator="prefix", path=path, methods=methods)
    return RouteConfig(path or "any", match, pool, uses=(PoolUse(pool, Timeouts(), Retry()),), **others)


OPEN = route("/api", transform=STRIPS)
ADMIN = route("/admin", policy=DENY_OTHERS)
REST = route("/")


def reply_why(routes: list[RouteConfig], path: bytes, pool: str = "main", **values: object) -> str:
    context = request_context(b"/api" + path, pool=pool, **values)
    context.path = path
    reply = FinalPathRules(routes).judge(context)
    return "" if reply is None else reply.why.word


@pytest.mark.parametrize(
    ("path", "why"),
    [
        (b"/users", ""),
        (b"/admin", "denied"),
        (b"/admin/x", "denied"),
        (b"/administrator", ""),
        (b"/%61dmin", "ambiguous_path"),
        (b"/../admin", "ambiguous_path"),
        (b"/x/%2e%2e/admin", "ambiguous_path"),
        (b"/admin;x", "ambiguous_path"),
        (b"/@scope%2fname", ""),
        (b"/page;jsessionid=1", ""),
    ],
)
def test_the_final_path_is_judged_as_if_it_had_been_asked_for(path, why):
    assert reply_why([OPEN, ADMIN, REST], path) == why


def test_the_rules_of_the_guarded_route_decide():
    assert reply_why([OPEN, ADMIN, REST], b"/admin", client="10.1.1.1") == ""
    assert reply_why([OPEN, ADMIN, REST], b"/admin", client="") == "denied"


def test_what_a_client_may_ask_for_itself_is_not_denied():
    assert reply_why([OPEN, ADMIN, route("/admin/help")], b"/admin/help") == ""
    assert reply_why([OPEN, route("/admin", host="other", policy=DENY_OTHERS)], b"/admin") == ""
    assert reply_why([OPEN, route("/admin", methods=("POST",), policy=DENY_OTHERS)], b"/admin") == ""
    assert reply_why([OPEN, route("/admin", methods=("POST",), policy=DENY_OTHERS)], b"/admin", method=b"POST") == "denied"


def test_routes_to_other_pools_guard_nothing_and_hide_no_guard():
    assert reply_why([OPEN, route("/admin", "elsewhere", policy=DENY_OTHERS), REST], b"/admin") == ""
    assert reply_why([OPEN, route("/admin/help", "elsewhere"), ADMIN], b"/admin/help") == "denied"
    assert reply_why([OPEN, ADMIN], b"/admin", pool="elsewhere") == ""


EU = Regions(header="x-region", cidrs=(("EU", (ipaddress.ip_network("192.0.2.0/24"),)),))
NOT_EU = Rule(Condition("equals", "region", value="EU"), "deny")


@pytest.mark.parametrize(
    ("regions", "values", "why"),
    [
        (EU, {}, "denied"),  # by the CIDR of the guarded route, though the open one has no regions
        (EU, {"region": "asia"}, "denied"),  # as the open route sees it
        (EU, {"client": "198.51.100.1"}, ""),
        (EU, {"client": "198.51.100.1", "is_trusted": True, "forward": b"X-Region: eu\r\n"}, "denied"),
        (EU, {"client": "198.51.100.1", "forward": b"X-Region: eu\r\n"}, ""),
        (None, {"region": "EU"}, ""),  # a route without regions knows none
    ],
)
def test_the_region_is_the_one_of_the_guarded_route(regions, values, why):
    guarded = route("/admin", policy=TrafficPolicy(rules=(NOT_EU,), regions=regions))
    before = values.get("region", "")
    context = request_context(b"/api/admin", pool="main", **values)
    context.path = b"/admin"
    reply = FinalPathRules([OPEN, guarded, REST]).judge(context)
    assert ("" if reply is None else reply.why.word) == why
    assert context.region == before


def test_the_denial_has_the_names_of_its_rule_and_of_that_rules_route():
    context = request_context(b"/api/admin", pool="main", path=b"/admin")
    assert FinalPathRules([OPEN, ADMIN]).judge(context) is not None
    assert context.rule == "/admin/office only"


@pytest.mark.parametrize(
    ("routes", "is_needed"),
    [
        ([OPEN, REST], False),
        ([ADMIN, REST], False),
        ([OPEN, ADMIN], True),
        ([route("/old", transform=Transform(rewrite=(Rewrite("^/old", "/new"),))), ADMIN], True),
        ([route("/old", transform=Transform(add_prefix="/v2")), ADMIN], True),
    ],
)
def test_nothing_is_kept_where_nothing_is_changed_or_guarded(routes, is_needed):
    assert (final_path_rules(routes) is not None) is is_needed


BY_QUERY = TrafficPolicy(rules=(Rule(Condition("equals", "query", "mode", "debug"), "deny"),))


@pytest.mark.parametrize(
    ("sent", "query", "why"),
    [
        (b"/api/x", b"?mode=debug", "denied"),  # of a rewrite, as backends get it
        (b"/api/x?mode=debug", b"?mode=plain", ""),
        (b"/api/x?mode=debug", b"", ""),
        (b"/api/x?mode=debug", b"?mode=debug", "denied"),
        (b"/api/x?", b"?", ""),
    ],
)
def test_the_query_is_judged_as_it_is_sent_too(sent, query, why):
    context = request_context(sent, pool="main")
    assert context.parameters(b"mode") == ([b"debug"] if b"debug" in sent else [])  # looked up before the rewrite
    context.path, context.query = b"/x", query
    reply = FinalPathRules([OPEN, route("/x", policy=BY_QUERY)]).judge(context)
    assert ("" if reply is None else reply.why.word) == why
    assert context.target == sent
    assert context.parameters(b"mode") == ([b"debug"] if b"debug" in sent else [])
