"""Judges the path and query that go to a backend once more when a strip or a rewrite has changed them.

An open route with `strip_prefix: /api` must not reach `/admin` in a pool where another route guards it: a request is denied if
it had been, had it asked for the changed path itself. Of the routes that lead to the same pool, the one that it would have
taken is asked for its rules. Redirects, fixed responses and routes to other pools guard nothing here.
"""

from __future__ import annotations

from collections.abc import Sequence

from balance.config.route_model import RouteConfig
from balance.routing.path_readings import path_readings
from balance.routing.route_table import NO_MATCH, RouteTable
from balance.stages.region import region_of
from balance.stages.request_context import RequestContext
from balance.stages.rules.rules_stage import AMBIGUOUS_PATH, RuleList
from balance.stages.stage import Reply


class FinalPathRules:
    """The rules of one listener's routes by the pools that they lead to; pools without a denial are left out."""

    __slots__ = ("_by_pool",)

    def __init__(self, routes: Sequence[RouteConfig], regions: frozenset[str] = frozenset()) -> None:
        """`regions` are those of all backends."""
        by_pool: dict[str, list[RouteConfig]] = {}
        for route in routes:
            for use in route.uses:
                by_pool.setdefault(use.pool, []).append(route)
        guarded = {pool: to_it for pool, to_it in by_pool.items() if any(has_denial(route) for route in to_it)}
        self._by_pool = {pool: _PoolRules(to_it, regions) for pool, to_it in guarded.items()}

    def judge(self, context: RequestContext) -> Reply | None:
        """The reply to a request whose changed path is denied in the pool that it goes to."""
        rules = self._by_pool.get(context.pool)
        if rules is None:
            return None
        sent = context.target
        if context.query == b"".join(sent.partition(b"?")[1:]):
            return rules.judge(context)
        context.ask_for(context.path + context.query)  # a rewrite has changed the query
        try:
            return rules.judge(context)
        finally:
            context.ask_for(sent)


def final_path_rules(routes: Sequence[RouteConfig], regions: frozenset[str] = frozenset()) -> FinalPathRules | None:
    """The rules of a listener; None where no path is changed or nothing is denied. `regions` are those of all backends."""
    if any(changes_path(route) for route in routes) and any(has_denial(route) for route in routes):
        return FinalPathRules(routes, regions)
    return None


def changes_path(route: RouteConfig) -> bool:
    """Whether backends get another path than the request's."""
    return bool(route.transform.strip_prefix or route.transform.add_prefix or route.transform.rewrite)


def has_denial(route: RouteConfig) -> bool:
    """Whether one of its rules denies."""
    return any(rule.action == "deny" for rule in route.policy.rules)


class _PoolRules:
    __slots__ = ("_names", "_regions", "_rules", "_table")

    def __init__(self, routes: Sequence[RouteConfig], regions: frozenset[str]) -> None:
        self._table = RouteTable([route.match for route in routes])
        self._rules = [RuleList(route.policy.rules) if has_denial(route) else None for route in routes]
        self._names = [route.name for route in routes]
        self._regions = [region_of(route, regions) if has_denial(route) else None for route in routes]

    def judge(self, context: RequestContext) -> Reply | None:
        readings = path_readings(context.path)
        if not readings:
            return AMBIGUOUS_PATH
        denial = self._denial(context, readings[0])
        for number in range(1, len(readings)):
            if (self._denial(context, readings[number]) is None) is not (denial is None):
                return AMBIGUOUS_PATH
        return denial

    def _denial(self, context: RequestContext, path: bytes) -> Reply | None:
        index = self._table.find(context, context.host, context.method, path)
        rules = self._rules[index] if index != NO_MATCH else None
        if rules is None:
            return None
        region, found = context.region, self._regions[index]
        context.region = found.find(context) if found is not None else ""  # the region that the rules would go by
        rule = rules.judge_reading(context, path).deciding
        context.region = region
        if rule is None or rule.denial is None:
            return None
        name = self._names[index]
        context.rule = rule.name if name == context.route else f"{name}/{rule.name}"
        return rule.denial
