"""Finds the region of the client, before all other stages: rules and variables go by it, and so does the choice of backends.

A region that a field says is believed from trusted proxies only, and goes on to backends from nobody else. A
client without one is in `unknown`.
"""

from __future__ import annotations

from collections.abc import Iterable

from balance.config.route_model import RouteConfig
from balance.geoip import geo_database
from balance.routing.regions import RegionFinder, judged_regions
from balance.stages.environment import StageEnvironment
from balance.stages.request_context import RequestContext
from balance.stages.stage import Stage
from balance.stages.trusted_field import TrustedField


class Region(Stage):
    """Sets the region of a request."""

    __slots__ = ("_field", "_finder")

    def __init__(self, finder: RegionFinder, header: str) -> None:
        self._finder = finder
        self._field = TrustedField(header.lower().encode()) if header else None

    def on_request(self, context: RequestContext) -> None:
        context.region = self.find(context)
        if self._field is not None:
            self._field.remove_unbelieved(context)

    def find(self, context: RequestContext) -> str:
        """The region of a request."""
        told = self._field.believed(context) if self._field is not None else None
        return self._finder.find(told, context.client)


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
