"""The /routes document: every route in the order in which it is tried, what it matches, what it does, how often it did."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from balance.admin.json_reply import iso_time
from balance.admin.metrics.totals import Totals
from balance.admin.state_view import StateView
from balance.config.fault_ends import fault_end_s
from balance.config.model import ListenerConfig
from balance.config.route_model import RouteConfig, RouteMatch, ValueMatch
from balance.config.route_order import in_order
from balance.model import Mode
from balance.runtime import counters
from balance.runtime.backend_slots import NOBODY, route_key


def routes(view: StateView, now: float, now_us: int) -> dict[str, Any]:
    """The document. `now` is wall clock time, `now_us` monotonic."""
    totals = Totals(view.board.rows)
    return {
        "routes": [
            _route(view, totals, listener, order, route, now, now_us)
            for listener in view.config.listeners
            if listener.mode is Mode.HTTP
            for order, route in enumerate(in_order(listener.http.routes), start=1)
        ]
    }


def _route(
    view: StateView, totals: Totals, listener: ListenerConfig, order: int, route: RouteConfig, now: float, now_us: int
) -> dict[str, Any]:
    slot = view.slots.get(route_key(listener.name, route.name), NOBODY)
    block = counters.block(slot)
    last_us = max((row[block + counters.ROUTE_LAST_US] for row in view.board.rows), default=0) if slot else 0
    return {
        "listener": listener.name,
        "name": route.name,
        "order": order,
        "priority": route.match.priority,
        "match": match_text(route.match),
        "action": action_text(route),
        "pools": [use.pool for use in route.uses],
        "policies": list(policy_names(route, now)),
        "hits": totals.cell(block + counters.ROUTE_HITS) if slot else 0,
        "last_hit": iso_time(now - (now_us - last_us) / 1e6) if last_us else None,
    }


def match_text(match: RouteMatch) -> str:
    """What a route matches, in one line: `shop.example.org/api/* GET, header x-beta: 1`; `any` for all requests."""
    path = match.path
    if match.path_operator == "prefix":
        path = f"{path.rstrip('/')}/*"
    elif match.path_operator == "regex":
        path = f" ~ {path}"
    parts = [f"{match.host}{path}".strip()] if match.host or path else []
    if match.methods:
        parts.append("|".join(match.methods))
    for kind, values in (("header", match.headers), ("query", match.query), ("cookie", match.cookies)):
        parts += [f"{kind} {_value_text(value)}" for value in values]
    return ", ".join(parts) or "any"


def _value_text(value: ValueMatch) -> str:
    match value.operator:
        case "present":
            return value.name
        case "absent":
            return f"no {value.name}"
        case "regex":
            return f"{value.name} ~ {value.value}"
        case "prefix":
            return f"{value.name}: {value.value}*"
        case _:
            return f"{value.name}: {value.value}"


def action_text(route: RouteConfig) -> str:
    """What becomes of its requests, in one line: `web, canary v2 5%, rules old, mirror next 10%`."""
    if route.redirect is not None:
        return f"redirect {route.redirect.status}"
    if route.respond is not None:
        return f"respond {route.respond.status}"
    policy = route.policy
    if policy.blue_green is not None:
        parts = [f"{policy.blue_green.active}: {getattr(policy.blue_green, policy.blue_green.active)}"]
    else:
        parts = [f"{part.pool} {part.weight}" for part in route.split] or [route.pool]
    if policy.canary is not None:
        parts.append(f"canary {policy.canary.pool} {policy.canary.percent:g}%")
    chosen = dict.fromkeys(rule.pool for rule in policy.rules if rule.action == "route")
    if chosen:
        parts.append(f"rules {'|'.join(chosen)}")
    if policy.mirror is not None:
        parts.append(f"mirror {policy.mirror.pool} {policy.mirror.percent:g}%")
    return ", ".join(parts)


def policy_names(route: RouteConfig, now: float) -> Iterator[str]:
    """The traffic policies that it has, and which of them is over."""
    policy = route.policy
    for name in ("canary", "blue_green", "mirror", "fault", "regions"):
        if getattr(policy, name) is not None:
            yield f"{name} (ended)" if name == "fault" and policy.fault and now >= fault_end_s(policy.fault) else name
    if policy.rules:
        yield f"{len(policy.rules)} rule{'s' * (len(policy.rules) != 1)}"
