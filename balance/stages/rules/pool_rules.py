"""Which of a route's rules choose a pool: what they have chosen is final, no policy of the route chooses again."""

from __future__ import annotations

from balance.config.route_model import RouteConfig


def pool_rules(route: RouteConfig) -> frozenset[str]:
    """The names by which such a rule stands in a request's context."""
    return frozenset(
        [rule.name or f"rules[{number}]" for number, rule in enumerate(route.policy.rules) if rule.action == "route"]
    )
