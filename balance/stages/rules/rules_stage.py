"""The stage of a route's rules: allow, deny, redirect, or send to another pool, in the order of priority, then of the file.

The first that holds of the rules that allow, deny or redirect ends the judging (a redirect to where the request already is does
not hold). The first that holds of those that choose a pool does not, so that no denial is passed by being routed.

All readings of the path must get the same verdict: else it is ambiguous, or, with `normalize: forward`, its normalized reading
is judged and goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import Final

from balance.config.route_model import RouteConfig, Rule
from balance.model import Why
from balance.routing.path_readings import normalized_path, path_readings
from balance.stages.environment import StageEnvironment
from balance.stages.notes import note
from balance.stages.redirect import redirect_reply
from balance.stages.request_context import RequestContext
from balance.stages.rules.rule_conditions import RuleCondition, compile_condition, subjects
from balance.stages.stage import Reply, Stage
from balance.transform.redirect_target import RedirectTarget

AMBIGUOUS_PATH: Final = Reply(
    400, Why.AMBIGUOUS_PATH, "the path can be read in more than one way, and rules decide differently about them"
)


def _denial(rule: Rule) -> Reply:
    after = b"Retry-After: %d\r\n" % ceil(rule.retry_after_s) if rule.retry_after_s else b""  # RFC 9110 section 10.2.3: seconds
    return Reply(rule.status, Why.DENIED, "a rule denies this request", after)


class JudgedRule:
    """A rule, ready to be judged."""

    __slots__ = ("condition", "denial", "is_route", "name", "pool", "redirect", "status")

    def __init__(self, rule: Rule, number: int) -> None:
        """`number` is its place in the file."""
        self.name = rule.name or f"rules[{number}]"
        self.condition: RuleCondition = compile_condition(rule.when, is_denial=rule.action == "deny")
        self.is_route = rule.action == "route"
        self.pool = rule.pool
        self.denial = _denial(rule) if rule.action == "deny" else None
        self.redirect = RedirectTarget(rule.redirect) if rule.redirect is not None else None
        self.status = rule.redirect.status if rule.redirect is not None else 0


class Verdict:
    """What the rules say of one reading of a path: the rule that ended the judging, and the one that chose the pool."""

    __slots__ = ("deciding", "routing")

    def __init__(self, deciding: JudgedRule | None, routing: JudgedRule | None) -> None:
        self.deciding = deciding
        self.routing = routing

    def is_as(self, other: Verdict) -> bool:
        """Whether it comes to the same: two rules that deny do, and so do one that allows and none."""
        mine, its = self.deciding, other.deciding
        denial = mine.denial if mine is not None else None
        if denial is not None:
            return its is not None and its.denial is not None and its.denial.status == denial.status
        if (mine.redirect if mine is not None else None) is not (its.redirect if its is not None else None):
            return False
        if its is not None and its.denial is not None:
            return False
        pool = self.routing.pool if self.routing is not None else ""
        return pool == (other.routing.pool if other.routing is not None else "")


_NOTHING_SAID: Final = Verdict(None, None)
_OF_LINES: Final = frozenset(("header", "cookie", "host", "method"))  # the method stands in the key of what is remembered


class RuleList:
    """The rules of one route in their order."""

    __slots__ = ("_has_paths", "_rules", "is_by_lines")

    def __init__(self, rules: Sequence[Rule]) -> None:
        seen = frozenset[str]().union(*(subjects(rule.when) for rule in rules))
        self._has_paths = "path" in seen
        # A redirect holds unless the request is already there, which depends on its target.
        self.is_by_lines = seen <= _OF_LINES and all(rule.redirect is None for rule in rules)
        in_order = sorted(range(len(rules)), key=lambda number: (-rules[number].priority, number))
        self._rules = tuple(JudgedRule(rules[number], number) for number in in_order)

    def judge(self, context: RequestContext, path: bytes) -> Verdict | None:
        """The verdict on a request with this path; None when it depends on how the path is read."""
        if not self._has_paths:
            return self.judge_reading(context, path)
        readings = path_readings(path)
        if not readings:
            return None  # too many
        verdict = self.judge_reading(context, readings[0])
        for number in range(1, len(readings)):
            if not verdict.is_as(self.judge_reading(context, readings[number])):
                return None
        return verdict

    def judge_reading(self, context: RequestContext, path: bytes) -> Verdict:
        """The verdict on one reading of the path."""
        routing = None
        for rule in self._rules:
            if rule.is_route and routing is not None:
                continue
            if rule.condition.holds(context, path):
                if rule.is_route:
                    routing = rule
                elif rule.redirect is None or redirect_reply(rule.redirect, rule.status, context) is not None:
                    return Verdict(rule, routing)
        return Verdict(None, routing) if routing is not None else _NOTHING_SAID


class RulesStage(Stage):
    """The rules of one route."""

    __slots__ = ("_is_forwarding", "_rules")

    def __init__(self, rules: Sequence[Rule], *, is_forwarding: bool = False) -> None:
        """`is_forwarding`: of an ambiguous path the normalized reading goes on."""
        self._rules = RuleList(rules)
        self._is_forwarding = is_forwarding

    def on_request(self, context: RequestContext) -> Reply | None:
        """Judge the request."""
        rules, fields = self._rules, context.fields
        verdict: Verdict | None
        if rules.is_by_lines:
            key = (self, context.method, context.is_trusted)
            notes = fields.notes
            verdict = None if notes is None else notes.get(key)
            if verdict is None:
                verdict = rules.judge_reading(context, context.path)
                note(fields, key, verdict)
            if verdict is _NOTHING_SAID:
                return None
        else:
            verdict = self._judged(context)
            if verdict is None:
                return AMBIGUOUS_PATH
        if verdict.routing is not None:
            context.pool = verdict.routing.pool
            context.rule = verdict.routing.name
        rule = verdict.deciding
        if rule is None:
            return None
        if rule.denial is not None or rule.redirect is not None or verdict.routing is None:
            context.rule = rule.name
        if rule.denial is not None:
            return rule.denial
        if rule.redirect is not None:
            return redirect_reply(rule.redirect, rule.status, context)
        return None

    def is_settled(self, context: RequestContext) -> bool:
        """Whether the lines and the method let it pass, by no rule: what a rule decides is counted."""
        notes = context.fields.notes
        key = (self, context.method, context.is_trusted)
        return self._rules.is_by_lines and notes is not None and notes.get(key) is _NOTHING_SAID

    def _judged(self, context: RequestContext) -> Verdict | None:
        """The verdict, with a normalized path where only that has one; None where the path is ambiguous."""
        verdict = self._rules.judge(context, context.path)
        if verdict is None and self._is_forwarding:
            path = normalized_path(context.path)
            verdict = self._rules.judge(context, path)
            if verdict is not None:
                context.path = path
        return verdict


def rules_stage(route: RouteConfig, environment: StageEnvironment) -> RulesStage | None:
    """The stage of a route, if it has rules."""
    rules = route.policy.rules
    return RulesStage(rules, is_forwarding=environment.http.normalize == "forward") if rules else None
