"""The routes of one listener with their stages and pools, and the choice of the route for a request.

Built with the snapshot. A reload keeps the Route of a route that is configured as before and leads to the same pools.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from balance.config.model import HashKey, ListenerConfig, RateLimit, Retry, SessionCookie, Timeouts
from balance.config.route_model import Buffering, PoolUse, RouteConfig
from balance.geoip import geo_database
from balance.model import Why
from balance.retry.decision import RetryPolicy
from balance.routing.route_choice import AMBIGUOUS, NO_MATCH, RouteChoice
from balance.runtime import counters
from balance.runtime.backend_slots import route_key, rule_key
from balance.runtime.pool import Pool
from balance.runtime.region_levels import RegionChoice
from balance.stages import build_stages
from balance.stages.environment import StageEnvironment
from balance.stages.request_context import RequestContext
from balance.stages.rules.final_path import changes_path, has_denial
from balance.stages.stage import Reply, Stage

_NO_ROUTE: Final = Reply(404, Why.NO_ROUTE, "no route matches")
_AMBIGUOUS: Final = Reply(400, Why.AMBIGUOUS_PATH, "the path can be read in more than one way, and they lead elsewhere")


@dataclass(frozen=True, slots=True)
class Target:
    """A pool as one route uses it."""

    pool: Pool
    timeouts: Timeouts
    cookie: SessionCookie | None  # the session cookie; None without cookie affinity
    retrying: RetryPolicy | None  # None where retries are off
    buffering: Buffering
    algorithm: tuple[str, HashKey] | None = None  # of the route's own; None: the pool's


class Route:
    """One route: its stages, and the pools that they may choose."""

    __slots__ = (
        "block",
        "config",
        "is_plain",
        "may_be_sole",
        "name",
        "regions",
        "replies",
        "series",
        "slot",
        "stages",
        "targets",
    )  # fmt: skip

    def __init__(
        self,
        config: RouteConfig,
        slot: int,
        stages: Sequence[Stage],
        targets: Mapping[str, Target],
        regions: RegionChoice | None = None,
    ) -> None:
        """`slot` is its slot on the board, 0 for none; `targets` are by the name of the pool."""
        self.name = config.name
        self.config = config
        self.slot = slot
        self.block = counters.block(slot) if slot else 0  # the first cell of its counters
        self.series = counters.series_route(slot)
        self.stages = tuple(each for each in stages if type(each).on_request is not Stage.on_request)
        self.replies = tuple(each for each in reversed(stages) if type(each).on_reply is not Stage.on_reply)
        self.targets = targets
        self.regions = regions  # None: backends are chosen without regard to regions
        self.is_plain = not stages and regions is None and not config.body_bytes  # says where to, and nothing else
        match = config.match
        self.may_be_sole = not (match.path_operator or match.methods or match.headers or match.query or match.cookies)

    def is_same(self, config: RouteConfig, slot: int, targets: Mapping[str, Target]) -> bool:
        """Whether a route made of these would do what this one does."""
        return self.config == config and self.slot == slot and self.targets == targets


class Router:
    """Finds the route of each request."""

    __slots__ = ("_choice", "is_forwarding", "routes", "rule_blocks")

    def __init__(
        self,
        routes: Sequence[Route],
        rule_blocks: Mapping[tuple[str, str], int],
        *,
        has_table: bool,
        is_forwarding: bool,
    ) -> None:
        """Without a table the one route takes all. `is_forwarding`: of an ambiguous path the normalized reading goes on.

        `rule_blocks` are the first cells of the counters of each (route, rule).
        """
        self.rule_blocks = rule_blocks
        self.routes = tuple(routes)
        self.is_forwarding = is_forwarding
        matches = [route.config.match for route in routes]
        self._choice = RouteChoice(matches, is_forwarding=is_forwarding) if has_table else None

    def find(self, context: RequestContext) -> Route | Reply:
        """The route of a request, or the reply where there is none. Sets the path, query and pool of the context."""
        path, mark, query = context.target.partition(b"?")
        context.path = path
        context.query = mark + query
        choice = self._choice
        if choice is None:
            route = self.routes[0]
        else:
            index, context.path = choice.choose(context, context.host, context.method, path)
            if index < 0:
                return _AMBIGUOUS if index == AMBIGUOUS else _NO_ROUTE
            route = self.routes[index]
        context.route = route.name
        context.pool = route.config.pool
        return route

    def sole(self, host: str) -> Route | None:
        """The route that takes every request of this normalized host; None where there is none."""
        if self._choice is None:
            return self.routes[0]
        index = self._choice.sole(host)
        return None if index == NO_MATCH else self.routes[index]


class Routers:
    """Makes the routers of one configuration beside the previous one's."""

    __slots__ = ("_environment", "_previous", "_previous_configs", "_slots", "_target", "_were_forwarding")

    def __init__(
        self,
        slots: Mapping[tuple[str, str], int],
        target: Callable[[str, RouteConfig, PoolUse], Target],
        environment: Callable[[ListenerConfig], StageEnvironment],
        previous: Iterable[tuple[str, Router]] = (),
    ) -> None:
        """`target` makes that of (listener, route); `previous` has the routers now in use by listener."""
        self._slots = slots
        self._target = target
        self._environment = environment
        routers = tuple(previous)
        self._previous = {(listener, route.name): route for listener, router in routers for route in router.routes}
        self._previous_configs = {listener: tuple(route.config for route in router.routes) for listener, router in routers}
        self._were_forwarding = {listener for listener, router in routers if router.is_forwarding}

    def router(self, listener: ListenerConfig) -> Router | None:
        """The router of a listener; None where each request goes to the listener's pool as it is."""
        http = listener.http
        configs = http.routes or implicit_route(listener)
        if not configs:
            return None
        environment = self._environment(listener)
        before = self._previous_configs.get(listener.name, ())
        # A path that a route changes is judged by the rules of others, too.
        are_rules_new = configs != before and any(has_denial(config) for config in (*configs, *before))
        is_forwarding = http.normalize == "forward"
        is_other = is_forwarding is not (listener.name in self._were_forwarding)
        routes = []
        for config in configs:
            is_stale = (are_rules_new and changes_path(config)) or (is_other and bool(config.policy.rules))
            routes.append(self._route(listener, config, environment, may_keep=not is_stale))
        rule_blocks = {}
        for config in configs:
            for rule in config.policy.rules:
                slot = self._slots.get(rule_key(listener.name, config.name, rule.name), 0)
                if slot:
                    rule_blocks[config.name, rule.name] = counters.block(slot)
        return Router(routes, rule_blocks, has_table=bool(http.routes), is_forwarding=is_forwarding)

    def _route(self, listener: ListenerConfig, config: RouteConfig, environment: StageEnvironment, *, may_keep: bool) -> Route:
        slot = self._slots.get(route_key(listener.name, config.name), 0)
        asked = config.security.forward_auth.asked
        uses = config.uses
        if asked and all(use.pool != asked for use in uses):
            uses = (*uses, PoolUse(asked, listener.timeouts, Retry(enabled=False), Buffering()))
        targets = {use.pool: self._target(listener.name, config, use) for use in uses}
        known = self._previous.get((listener.name, config.name))
        regions = config.policy.regions
        if regions is not None and regions.geoip_db:
            geo_database(regions.geoip_db)  # a route that stays as it is goes by the new file, too
        if known is not None and may_keep and known.is_same(config, slot, targets):
            return known
        choice = None if regions is None else RegionChoice(regions, environment.regions)
        return Route(config, slot, build_stages(config, environment), targets, choice)


def implicit_route(listener: ListenerConfig) -> tuple[RouteConfig, ...]:
    """The one route of a listener without routes whose requests or replies are changed on their way; else none."""
    http = listener.http
    config = RouteConfig(
        name="",
        pool=listener.pool,
        transform=http.transform,
        compression=http.compression,
        security=listener.security,
        buffering=http.buffering,
        host=http.host,
        error_pages=http.error_pages,
        rate_limit=listener.rate_limit if listener.rate_limit.enabled else RateLimit(),
        timeouts=listener.timeouts,
    )
    plain = RouteConfig(
        name="", pool=listener.pool, buffering=http.buffering, error_pages=http.error_pages, timeouts=listener.timeouts
    )
    return () if config == plain else (config,)
