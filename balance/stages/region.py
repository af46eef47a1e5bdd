"""Finds the region of the client, before all other stages: rules and variables go by it, and so does the choice of backends.

A region that a field says is believed from trusted proxies only. A client without one is in `unknown`.
"""

from __future__ import annotations

from collections.abc import Iterable

from balance.config.route_model import RouteConfig
from balance.geoip import geo_database
from balance.routing.regions import RegionFinder, judged_regions
from balance.stages.environment import StageEnvironment
from balance.stages.request_context import RequestContext
from balance.stages.stage import Stage


class Region(Stage):
    """Sets the region of a request."""

    __slots__ = ("_finder", "_header")

    def __init__(self, finder: RegionFinder, header: str) -> None:
        self._finder = finder
        self._header = header.lower().encode()

    def on_request(self, context: RequestContext) -> None:
        told = context.header(self._header) if self._header and context.is_trusted else None
        context.region = self._finder.find(told, context.client)


def region_stage(route: RouteConfig, environment: StageEnvironment) -> Region | None:
    """None where the route has no regions. GeoDatabaseError when its database can't be read."""
    return region_of(route, environment.regions)


def region_of(route: RouteConfig, known: Iterable[str]) -> Region | None:
    """Finds regions as the route does; `known` are those of all backends."""
    regions = route.policy.regions
    if regions is None:
        return None
    geo = geo_database(regions.geoip_db) if regions.geoip_db else None
    names = [*known, *judged_regions(route.policy.rules)]
    return Region(RegionFinder(regions, names, geo), regions.header)
