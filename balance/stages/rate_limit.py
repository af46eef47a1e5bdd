"""The rate limit of a route: refuses requests of clients that ask too often, and tells all others what is left (429, RFC 6585).

The fields are those of draft-ietf-httpapi-ratelimit-headers, and the X-RateLimit-* of old; X-RateLimit-Reset is in seconds from
now, as Envoy's is. It is judged before rules: a client that tries what is denied uses up his limit, too.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from functools import lru_cache
from math import ceil
from typing import Final

from balance.access_lists.address_range import parse_range
from balance.access_lists.address_set import AddressSet
from balance.config.common_model import RateLimit
from balance.config.route_model import RouteConfig
from balance.http1.hash_key import source_key
from balance.model import Why
from balance.rate_limiting.limiter import Limiter
from balance.rate_limiting.sliding_window import SlidingWindow
from balance.rate_limiting.token_bucket import TokenBucket
from balance.routing.path_readings import normalized_path
from balance.stages.environment import StageEnvironment
from balance.stages.request_context import RequestContext
from balance.stages.stage import Reply, Stage

RULE: Final = "rate_limit"  # in the access log; with another `why` it is what report_only has let through
_REFUSED: Final = Reply(429, Why.RATE_LIMITED, "too many requests")

Part = Callable[[RequestContext], bytes]  # what is counted by; b"" where the request does not have it


def _part(key: str) -> Part:
    kind, _, named = key.partition(":")
    name = named.encode()
    if kind == "header":
        name = name.lower()
        return lambda context: context.header(name) or b""
    if kind == "cookie":
        return lambda context: context.cookie(name) or b""
    if kind == "query":
        return lambda context: context.parameter(name) or b""
    if kind == "path":  # in one spelling, or each of /a, //a and /%61 had a limit of its own
        return lambda context: normalized_path(context.path)
    if kind == "route":
        return lambda context: context.route.encode()
    return lambda context: source_key(context.client)


def key_of(keys: tuple[str, ...]) -> Part:
    """What a request is counted by. Who leaves a field out is counted by his address: nobody escapes by saying less."""
    if keys == ("client-ip",):
        return lambda context: source_key(context.client)
    parts = [_part(key) for key in keys]

    def key(context: RequestContext) -> bytes:
        found = [part(context) for part in parts]
        if all(found):
            return b"".join([b"%d=%b" % (len(each), each) for each in found])
        address = source_key(context.client)
        return b"".join([b"%d=%b" % (len(each), each) if each else b"@" + address for each in found])

    return key


@lru_cache(maxsize=4096)
def _packed(address: str) -> bytes:
    """The client's address as allow lists have it; b"" for a Unix socket."""
    try:
        return ipaddress.ip_address(address.partition("%")[0]).packed
    except ValueError:
        return b""


class RateLimitStage(Stage):
    """One route's."""

    __slots__ = ("_allowlist", "_count", "_fields", "_key", "_limiter", "_report_only")

    def __init__(self, config: RateLimit, limiter: Limiter, count: Callable[[bool], None]) -> None:
        """`count` counts one that is beyond the limit; with True, one that was refused."""
        self._limiter = limiter
        self._key = key_of(config.key)
        self._allowlist: AddressSet | None = AddressSet(map(parse_range, config.allowlist)) if config.allowlist else None
        self._report_only = config.report_only
        self._count = count
        policy = b'"default";q=%d;w=%d' % (limiter.limit, max(1, ceil(limiter.window_s)))
        self._fields = b""
        if config.headers:
            self._fields = (
                b"RateLimit-Policy: %b\r\nX-RateLimit-Limit: %d\r\n" % (policy, limiter.limit)
                + b'RateLimit: "default";r=%d;t=%d\r\nX-RateLimit-Remaining: %d\r\nX-RateLimit-Reset: %d\r\n'
            )

    def on_request(self, context: RequestContext) -> Reply | None:
        allowlist = self._allowlist
        if allowlist is not None and (packed := _packed(context.client)) and allowlist.has(packed):
            return None
        limiter = self._limiter
        is_admitted = limiter.admit(self._key(context))
        if self._fields:
            left, reset_s = limiter.remaining, ceil(limiter.reset_s)
            context.reply_lines += self._fields % (left, reset_s, left, reset_s)
        if is_admitted:
            return None
        context.rule = RULE
        if self._report_only:
            self._count(False)
            return None
        self._count(True)
        context.reply_lines += b"Retry-After: %d\r\n" % max(1, ceil(limiter.retry_s))
        return _REFUSED


def rate_limit_stage(route: RouteConfig, environment: StageEnvironment) -> RateLimitStage | None:
    """The stage of a route, if it has a limit."""
    config = route.rate_limit
    if not config.enabled:
        return None
    table, clock, name = environment.buckets(), environment.clock, config.counted_for
    limiter: Limiter
    if config.type == "sliding-window":
        limiter = SlidingWindow(table, name, config.max_requests, config.window_s, clock)
    else:
        rate = config.requests_per_second
        limiter = TokenBucket(table, name, rate, config.burst or ceil(rate), clock)
    return RateLimitStage(config, limiter, environment.limited(route.name))
