"""Routes for tests of traffic: their configuration in a line."""

from __future__ import annotations

from typing import Any

from balance.config.model import HttpConfig, Retry, Timeouts
from balance.config.route_model import Buffering, PoolUse, RouteConfig, RouteMatch


def to(
    name: str,
    pool: str = "pool",
    *also: str,
    match: RouteMatch | None = None,
    timeouts: Timeouts | None = None,
    retry: Retry | None = None,
    **more: Any,
) -> RouteConfig:
    """A route to `pool`; `also` are the other pools that its policies may choose."""
    timeouts, retry = timeouts or Timeouts(), retry or Retry(enabled=False)
    buffering = more.get("buffering", Buffering())
    uses = tuple(PoolUse(each, timeouts, retry, buffering) for each in (pool, *also) if each)
    return RouteConfig(name=name, match=match or RouteMatch(), pool=pool, uses=uses, **more)


def prefix(path: str, **more: Any) -> RouteMatch:
    """Requests whose path begins so."""
    return RouteMatch(path_operator="prefix", path=path, **more)


def http(*routes: RouteConfig, **more: Any) -> HttpConfig:
    """A listener's settings with these routes."""
    return HttpConfig(routes=routes, **more)
