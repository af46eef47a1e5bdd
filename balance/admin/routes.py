"""The /routes document: every route and rule in the order of trying, what they match, what they do, how often they did."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from balance.admin.json_reply import iso_time
from balance.admin.metrics.totals import Totals
from balance.admin.state_view import StateView
from balance.config.fault_ends import fault_end_s
from balance.config.model import ListenerConfig
from balance.config.overrides.value_format import REDACTED, is_secret
from balance.config.route_model import Condition, RouteConfig, RouteMatch, Rule, ValueMatch
from balance.config.route_order import in_order
from balance.model import Mode
from balance.runtime import counters
from balance.runtime.backend_slots import NOBODY, route_key, rule_key


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
    rules = sorted(route.policy.rules, key=lambda rule: -rule.priority)  # stable: then the file's order
    return {
        "listener": listener.name,
        "name": route.name,
        "order": order,
        "priority": route.match.priority,
        "match": match_text(route.match),
        "action": action_text(route),
        "pools": [use.pool for use in route.uses],
        "policies": list(policy_names(route, now)),
        "rules": [
            {
                "name": rule.name,
                "when": condition_text(rule.when),
                "action": rule_action_text(rule),
                **_hits(view, totals, view.slots.get(rule_key(listener.name, route.name, rule.name), NOBODY), now, now_us),
            }
            for rule in rules
        ],
        **_hits(view, totals, slot, now, now_us),
    }


def _hits(view: StateView, totals: Totals, slot: int, now: float, now_us: int) -> dict[str, Any]:
    """How often the route or rule of this slot was hit, and when last."""
    if not slot:
        return {"hits": 0, "last_hit": None}
    block = counters.block(slot)
    last_us = max((row[block + counters.ROUTE_LAST_US] for row in view.board.rows), default=0)
    return {
        "hits": totals.cell(block + counters.ROUTE_HITS),
        "last_hit": iso_time(now - (now_us - last_us) / 1e6) if last_us else None,
    }


def condition_text(condition: Condition) -> str:
    """The condition of a rule in one line: `path prefix /admin and not client_ip cidr 10.0.0.0/8|192.168.0.0/16`."""
    if condition.operator == "not":
        text = condition_text(condition.conditions[0])
        return f"not ({text})" if condition.conditions[0].conditions else f"not {text}"
    if condition.operator in ("all", "any"):
        joined = " and " if condition.operator == "all" else " or "
        parts = [condition_text(each) for each in condition.conditions]
        grouped = zip(parts, condition.conditions, strict=True)
        return joined.join(f"({text})" if each.operator in ("all", "any") else text for text, each in grouped)
    subject = f"{condition.subject} {condition.name}".rstrip()
    match condition.value:
        case tuple():
            value = "|".join(condition.value)
        case bool():
            return subject if condition.value else f"no {subject}"
        case _:
            value = condition.value
    if is_secret(condition.name):
        value = REDACTED
    return f"{subject} {condition.operator} {value}"


def rule_action_text(rule: Rule) -> str:
    """What becomes of the requests for which it holds, in one line."""
    if rule.action == "deny":
        return f"deny {rule.status}"
    if rule.redirect is not None:
        return f"redirect {rule.redirect.status}"
    return f"route to {rule.pool}" if rule.action == "route" else rule.action


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
    shown = REDACTED if is_secret(value.name) else value.value
    match value.operator:
        case "present":
            return value.name
        case "absent":
            return f"no {value.name}"
        case "regex":
            return f"{value.name} ~ {shown}"
        case "prefix":
            return f"{value.name}: {shown}*"
        case _:
            return f"{value.name}: {shown}"


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
