"""Shares a route's users out among several pools by weight. The same user always goes to the same pool.

Weight 0 gets nothing, even when it is the only pool; when all have weight 0 the answer is 503, `no_healthy`. A pool without
ready backends keeps its share, whose requests are refused: nothing spills over, as in Envoy's weighted clusters.
"""

from __future__ import annotations

from typing import Final

from balance.config.route_model import RouteConfig, WeightedPool
from balance.model import Why
from balance.routing.sides import Places, side, thresholds
from balance.stages.environment import StageEnvironment
from balance.stages.notes import note
from balance.stages.request_context import RequestContext
from balance.stages.rules.pool_rules import pool_rules
from balance.stages.splitting.user_key import UserKey
from balance.stages.stage import Reply, Stage

RULE: Final = "split"
_NO_WEIGHT: Final = Reply(503, Why.NO_HEALTHY, "every pool of the split has weight 0")


class SplitStage(Stage):
    """The split of one route."""

    __slots__ = ("_ends", "_final", "_places", "_pools", "_user")

    def __init__(self, split: tuple[WeightedPool, ...], final: frozenset[str] = frozenset()) -> None:
        """`final` are the rules whose choice of a pool stays."""
        self._final = final
        weighty = [each for each in split if each.weight]
        self._pools = tuple(each.pool for each in weighty)
        self._ends = thresholds([each.weight for each in weighty])
        self._places = Places(RULE)
        self._user = UserKey()

    def on_request(self, context: RequestContext) -> Reply | None:
        if context.rule in self._final:
            return None
        pools = self._pools
        if not pools:
            return _NO_WEIGHT
        context.rule = RULE
        if len(pools) == 1:  # nobody needs a cookie to stay there
            context.pool = pools[0]
        else:
            context.pool = self._side(context)
        return None

    def is_settled(self, context: RequestContext) -> bool:
        """Whether another rule has chosen, the user is known by the lines, or all go to one pool."""
        notes = context.fields.notes
        return context.rule in self._final or len(self._pools) == 1 or (notes is not None and self in notes)

    def _side(self, context: RequestContext) -> str:
        fields = context.fields
        notes = fields.notes
        pool: str | None = None if notes is None else notes.get(self)
        if pool is None:
            user = self._user.in_lines(context)
            pool = self._pools[side(self._ends, self._places.of(user or self._user.of(context)))]
            if user:
                note(fields, self, pool)
        return pool


def split_stage(route: RouteConfig, environment: StageEnvironment) -> Stage | None:
    """The route's split, if it has one."""
    return SplitStage(route.split, pool_rules(route)) if route.split else None
