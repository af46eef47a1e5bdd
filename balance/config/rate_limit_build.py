"""Builds the rate limit of a listener or a route from its section and the wider ones."""

from __future__ import annotations

from balance.config.model import RateLimit
from balance.config.overlay import overlay, renamed
from balance.config.schema.rate_limit_section import RateLimitSection


def rate_limit_of(
    top: RateLimitSection | None,
    listener: RateLimitSection | None,
    listener_name: str,
    route: RateLimitSection | None = None,
    route_name: str = "",
) -> RateLimit:
    """Key by key, the nearer over the wider. What is counted together is what the nearest section is about."""
    given = renamed(overlay(top, listener, route), window="window_s")
    if "key" in given:
        given["key"] = tuple(dict.fromkeys(given["key"]))
    if "allowlist" in given:
        given["allowlist"] = tuple(str(network) for each in given["allowlist"] for network in each.networks())
    if route is not None:
        given["counted_for"] = f"{listener_name}/{route_name}"
    elif listener is not None:
        given["counted_for"] = listener_name
    return RateLimit(**given)
