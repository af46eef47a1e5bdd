"""The document of routes: their order, what they match and do in words, how often they were taken."""

from dataclasses import replace

import pytest

from balance.admin.routes import action_text, condition_text, match_text, policy_names, routes, rule_action_text
from balance.admin.state_view import StateView
from balance.config.model import HttpConfig
from balance.config.route_model import (
    BlueGreen,
    Canary,
    Condition,
    Fault,
    FixedResponse,
    Mirror,
    Redirect,
    RouteConfig,
    RouteMatch,
    Rule,
    TrafficPolicy,
    ValueMatch,
    WeightedPool,
)
from balance.process.shared_memory.board import Board
from balance.runtime import counters

ALWAYS = Condition("prefix", "path", value="/")


def _to(pool: str) -> Rule:
    return Rule(ALWAYS, "route", pool=pool)


@pytest.mark.parametrize(
    ("match", "text"),
    [
        (RouteMatch(), "any"),
        (RouteMatch(host="a.example"), "a.example"),
        (RouteMatch(host="*.example", path_operator="prefix", path="/api/"), "*.example/api/*"),
        (RouteMatch(path_operator="prefix", path="/"), "/*"),
        (RouteMatch(path_operator="exact", path="/x", methods=("GET", "PUT")), "/x, GET|PUT"),
        (RouteMatch(path_operator="regex", path="^/a+$"), "~ ^/a+$"),
        (
            RouteMatch(
                headers=(ValueMatch("x-a", "equals", "1"), ValueMatch("x-b", "absent")),
                query=(ValueMatch("q", "prefix", "v"),),
                cookies=(ValueMatch("c", "present"), ValueMatch("d", "regex", "x+")),
            ),
            "header x-a: 1, header no x-b, query q: v*, cookie c, cookie d ~ x+",
        ),
    ],
)
def test_what_a_route_matches_is_said_in_a_line(match: RouteMatch, text: str) -> None:
    assert match_text(match) == text


@pytest.mark.parametrize(
    ("route", "text"),
    [
        (RouteConfig("r", pool="web"), "web"),
        (RouteConfig("r", redirect=Redirect(to="/x", status=301)), "redirect 301"),
        (RouteConfig("r", respond=FixedResponse(418)), "respond 418"),
        (RouteConfig("r", split=(WeightedPool("a", 3), WeightedPool("b", 1))), "a 3, b 1"),
        (RouteConfig("r", pool="web", policy=TrafficPolicy(canary=Canary("v2", 7.5))), "web, canary v2 7.5%"),
        (RouteConfig("r", policy=TrafficPolicy(blue_green=BlueGreen("b", "g", "green"))), "green: g"),
        (
            RouteConfig(
                "r", policy=TrafficPolicy(blue_green=BlueGreen("b", "g"), canary=Canary("v2", 1), mirror=Mirror("n", 25))
            ),
            "blue: b, canary v2 1%, mirror n 25%",
        ),
        (
            RouteConfig("r", pool="web", policy=TrafficPolicy(rules=(_to("x"), Rule(ALWAYS, "deny"), _to("y"), _to("x")))),
            "web, rules x|y",
        ),
    ],
)
def test_what_a_route_does_is_said_in_a_line(route: RouteConfig, text: str) -> None:
    assert action_text(route) == text


def test_routes_are_shown_in_their_order_with_what_they_did(view: StateView) -> None:
    listener = replace(
        view.config.listeners[0],
        http=HttpConfig(
            routes=(RouteConfig("rest", pool="default"), RouteConfig("api", RouteMatch("", "prefix", "/api"), pool="default"))
        ),
    )
    view.config = replace(view.config, listeners=(listener,))
    view.slots = {**view.slots, ("/", f"{listener.name}/api"): 2, ("/", f"{listener.name}/rest"): 3}
    board = view.board
    assert isinstance(board, Board)
    board.rows[0][counters.block(2) + counters.ROUTE_HITS] = 3
    board.rows[1][counters.block(2) + counters.ROUTE_HITS] = 4
    board.rows[0][counters.block(2) + counters.ROUTE_LAST_US] = 58_000_000
    board.rows[1][counters.block(2) + counters.ROUTE_LAST_US] = 59_000_000
    shown = routes(view, now=1000.0, now_us=60_000_000)["routes"]
    assert [(each["order"], each["name"], each["match"], each["hits"], each["last_hit"]) for each in shown] == [
        (1, "api", "/api/*", 7, "1970-01-01T00:16:39.000+00:00"),
        (2, "rest", "any", 0, None),
    ]


@pytest.mark.parametrize(
    ("condition", "text"),
    [
        (ALWAYS, "path prefix /"),
        (Condition("equals", "header", "x-a", "1"), "header x-a equals 1"),
        (Condition("exists", "cookie", "c", True), "cookie c"),
        (Condition("exists", "query", "q", False), "no query q"),
        (Condition("cidr", "client_ip", value=("10.0.0.0/8", "::1/128")), "client_ip cidr 10.0.0.0/8|::1/128"),
        (Condition("not", conditions=(ALWAYS,)), "not path prefix /"),
        (
            Condition(
                "all",
                conditions=(
                    ALWAYS,
                    Condition("any", conditions=(ALWAYS, Condition("in", "method", value=("GET", "PUT")))),
                    Condition("not", conditions=(Condition("any", conditions=(ALWAYS, ALWAYS)),)),
                ),
            ),
            "path prefix / and (path prefix / or method in GET|PUT) and not (path prefix / or path prefix /)",
        ),
    ],
)
def test_when_a_rule_holds_is_said_in_a_line(condition: Condition, text: str) -> None:
    assert condition_text(condition) == text


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (Rule(ALWAYS, "allow"), "allow"),
        (Rule(ALWAYS, "deny", status=404), "deny 404"),
        (Rule(ALWAYS, "redirect", redirect=Redirect(to="/x", status=308)), "redirect 308"),
        (Rule(ALWAYS, "route", pool="v2"), "route to v2"),
    ],
)
def test_what_a_rule_does_is_said_in_a_line(rule: Rule, text: str) -> None:
    assert rule_action_text(rule) == text


def test_rules_are_shown_in_their_order_with_what_they_did(view: StateView) -> None:
    rules = (Rule(ALWAYS, "allow", name="late"), Rule(ALWAYS, "deny", 5, name="first"), Rule(ALWAYS, "allow", name="last"))
    listener = replace(
        view.config.listeners[0],
        http=HttpConfig(routes=(RouteConfig("r", pool="default", policy=TrafficPolicy(rules=rules)),)),
    )
    view.config = replace(view.config, listeners=(listener,))
    view.slots = {**view.slots, ("//", f"{listener.name}/r/late"): 2}
    board = view.board
    assert isinstance(board, Board)
    board.rows[1][counters.block(2) + counters.ROUTE_HITS] = 4
    board.rows[1][counters.block(2) + counters.ROUTE_LAST_US] = 59_000_000
    (shown,) = routes(view, now=1000.0, now_us=60_000_000)["routes"]
    assert shown["rules"] == [
        {"name": "first", "when": "path prefix /", "action": "deny 403", "hits": 0, "last_hit": None},
        {"name": "late", "when": "path prefix /", "action": "allow", "hits": 4, "last_hit": "1970-01-01T00:16:39.000+00:00"},
        {"name": "last", "when": "path prefix /", "action": "allow", "hits": 0, "last_hit": None},
    ]


def test_a_fault_whose_time_is_over_is_said_to_have_ended() -> None:
    faulty = RouteConfig("r", pool="web", policy=TrafficPolicy(fault=Fault(abort_percent=1, until_s=1000.0), rules=(_to("x"),)))
    assert list(policy_names(faulty, 999.0)) == ["fault", "1 rule"]
    assert list(policy_names(faulty, 1000.0)) == ["fault (ended)", "1 rule"]
