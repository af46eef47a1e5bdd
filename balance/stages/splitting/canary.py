"""Sends a part of a route's users to another pool: who asks for it, and a percentage of the others.

In this order: a header field, then a cookie that the file names as a way in, then the hash of the user's key. The file says by
their names that they count from anybody: a client that has them may go to the canary. Where that is not for everyone, let the
file ask for a value that only testers know. What the percentage leaves behind stays where the route sends it.
"""

from __future__ import annotations

from typing import Final

from balance.config.route_model import Canary, RouteConfig
from balance.routing.sides import Places
from balance.routing.value_test import ValueTest
from balance.stages.environment import StageEnvironment
from balance.stages.notes import note
from balance.stages.request_context import RequestContext
from balance.stages.rules.pool_rules import pool_rules
from balance.stages.splitting.blue_green import PICKED
from balance.stages.splitting.user_key import UserKey
from balance.stages.stage import Stage

RULE: Final = "canary"


class CanaryStage(Stage):
    """The canary of one route."""

    __slots__ = ("_final", "_opt_in", "_percent", "_places", "_pool", "_user")

    def __init__(self, canary: Canary, final: frozenset[str] = frozenset()) -> None:
        """`final` are the rules whose choice of a pool stays."""
        self._final = final | {PICKED}
        self._opt_in = tuple(
            ValueTest(kind, match)
            for kind, match in (("header", canary.header), ("cookie", canary.cookie))
            if match is not None
        )
        self._percent = canary.percent
        self._places = Places(RULE, canary.salt)
        self._pool = canary.pool
        self._user = UserKey(canary.key, is_sticky=canary.sticky)

    def on_request(self, context: RequestContext) -> None:
        if context.rule in self._final:
            return
        fields = context.fields
        key: object = (self, True) if context.is_trusted else self
        notes = fields.notes
        is_in: bool | None = None if notes is None else notes.get(key)
        if is_in is None:
            is_in = self._by_lines(context)
            if is_in is None:
                is_in = self._is_drawn(context)
            else:
                note(fields, key, is_in)
        if is_in:
            context.pool = self._pool
            context.rule = RULE

    def is_settled(self, context: RequestContext) -> bool:
        """Whether the lines decided."""
        notes = context.fields.notes
        key: object = (self, True) if context.is_trusted else self
        return context.rule in self._final or (notes is not None and key in notes)

    def _by_lines(self, context: RequestContext) -> bool | None:
        """Whether the request's field lines send it to the canary; None where they say nothing of its user."""
        for test in self._opt_in:
            if test.holds(context):
                return True
        percent = self._percent
        if not 0 < percent < 100:  # all or nobody: no cookie is needed
            return percent > 0
        user = self._user.in_lines(context)
        return self._places.of(user) < percent if user else None

    def _is_drawn(self, context: RequestContext) -> bool:
        user = self._user.of(context)
        return (self._places.of(user) if user else context.rand() * 100) < self._percent


def canary_stage(route: RouteConfig, environment: StageEnvironment) -> Stage | None:
    """The route's canary, if it has one."""
    canary = route.policy.canary
    return CanaryStage(canary, pool_rules(route)) if canary is not None else None
