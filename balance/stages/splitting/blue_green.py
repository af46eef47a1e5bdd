"""Sends all requests of a route to one of two pools: the active side, or the one that a header field picks for this request.

The active side is the configuration's, which `balance switch` changes at run time: a reload like any other, so that all workers
change over at once, the next request of a connection goes to the new side, and what is under way ends where it began. The field
counts from anybody, as the file names it for that.
"""

from __future__ import annotations

from typing import Final

from balance.config.route_model import BlueGreen, RouteConfig
from balance.stages.environment import StageEnvironment
from balance.stages.request_context import RequestContext
from balance.stages.rules.pool_rules import pool_rules
from balance.stages.stage import Stage

RULE: Final = "blue_green"
PICKED: Final = "blue_green.header"  # the rule when the request has picked its side


class BlueGreenStage(Stage):
    """The two sides of one route."""

    __slots__ = ("_active", "_final", "_header", "_sides")

    def __init__(self, config: BlueGreen, final: frozenset[str] = frozenset()) -> None:
        """`final` are the rules whose choice of a pool stays."""
        self._final = final
        self._sides = {b"blue": config.blue, b"green": config.green}
        self._active = config.green if config.active == "green" else config.blue
        self._header = config.header.lower().encode()

    def on_request(self, context: RequestContext) -> None:
        if context.rule in self._final:
            return
        if self._header:
            value = context.header(self._header)
            picked = self._sides.get(value.lower()) if value is not None else None
            if picked is not None:
                context.pool = picked
                context.rule = PICKED
                return
        context.pool = self._active
        context.rule = RULE

    def is_settled(self, context: RequestContext) -> bool:
        """Always: a switch makes another stage."""
        return True


def blue_green_stage(route: RouteConfig, environment: StageEnvironment) -> Stage | None:
    """The route's two sides, if it has them."""
    config = route.policy.blue_green
    return BlueGreenStage(config, pool_rules(route)) if config is not None else None
