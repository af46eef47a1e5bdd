"""Which rules choose a pool for good."""

from __future__ import annotations

from balance.config.route_model import Condition, RouteConfig, Rule, TrafficPolicy
from balance.stages.rules.pool_rules import pool_rules


def test_those_that_route_by_the_names_that_they_have_in_a_context() -> None:
    rules = [Rule(Condition("exists"), action, name=name) for action, name in
             [("allow", "a"), ("route", "b"), ("deny", ""), ("route", ""), ("redirect", "e")]]  # fmt: skip
    assert pool_rules(RouteConfig("x", policy=TrafficPolicy(rules=tuple(rules)))) == {"b", "rules[3]"}
