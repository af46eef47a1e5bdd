"""The rate limit of a route: refuses requests of clients that ask too often, and tells all others what is left (429, RFC 6585).

The fields are those of draft-ietf-httpapi-ratelimit-headers, and the X-RateLimit-* of old; X-RateLimit-Reset is in seconds from
now, as Envoy's is. It is judged before rules: a client that tries what is denied uses up his limit, too. A limit that goes by
claims is judged when the token has been verified.
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
from balance.rate_limiting.moved_keys import MovedKeys
from balance.rate_limiting.sliding_window import SlidingWindow
from balance.rate_limiting.token_bucket import TokenBucket
from balance.stages.environment import StageEnvironment
from balance.stages.rate_limits.limit_key import is_of_claims, is_of_lines, key_of
from balance.stages.request_context import RequestContext
from balance.stages.stage import Reply, Stage

_CLIENT: Final = ("client-ip",)
MAX_LINES: Final = 512
RULE: Final = "rate_limit"  # in the access log; with another `why` it is what report_only has let through
_REFUSED: Final = Reply(429, Why.RATE_LIMITED, "too many requests")
_UNAVAILABLE: Final = Reply(503, Why.RATE_LIMIT_STORE, "the limits of all machines can't be looked up now")


@lru_cache(maxsize=4096)
def _packed(address: str) -> bytes:
    """The client's address as allow lists have it; b"" for a Unix socket."""
    try:
        return ipaddress.ip_address(address.partition("%")[0]).packed
    except ValueError:
        return b""


class RateLimitStage(Stage):
    """One route's."""

    __slots__ = ("_allowlist", "_count", "_fields", "_key", "_keys", "_lines", "_report_only", "_shared", "limiter")

    def __init__(
        self, config: RateLimit, limiter: Limiter, count: Callable[[bool], None], shared: MovedKeys | None = None
    ) -> None:
        """`count` counts one that is beyond the limit; with True, one that was refused. `shared` where machines share it."""
        self.limiter: Final = limiter
        self._keys = config.key
        self._key = key_of(config.key)
        self._allowlist: AddressSet | None = AddressSet(map(parse_range, config.allowlist)) if config.allowlist else None
        self._report_only = config.report_only
        self._count = count
        self._shared = shared
        policy = b'"default";q=%d;w=%d' % (limiter.limit, max(1, ceil(limiter.window_s)))
        self._lines: dict[int, bytes] = {}  # for what is left and until when, as most requests have been told lately
        self._fields = b""
        if config.headers:
            self._fields = (
                b"RateLimit-Policy: %b\r\nX-RateLimit-Limit: %d\r\n" % (policy, limiter.limit)
                + b'RateLimit: "default";r=%d;t=%d\r\nX-RateLimit-Remaining: %d\r\nX-RateLimit-Reset: %d\r\n'
            )

    def on_request(self, context: RequestContext) -> Reply | None:
        if self._allowlist is not None and self.is_listed(context.client):
            return None
        if self._shared is not None and self._shared.is_refusing and not self._report_only:
            context.rule = RULE
            return _UNAVAILABLE
        limiter = self.limiter
        is_admitted = limiter.admit(self._key(context))
        if self._fields:
            context.reply_lines += self._told()
        return None if is_admitted else self._beyond(context)

    def tally(self, context: RequestContext) -> SettledLimit | None:
        if context.rule == RULE:
            return None  # only reported: that is of this request alone
        if self._keys == _CLIENT:
            return SettledLimit(self, b"")
        return SettledLimit(self, self._key(context)) if is_of_lines(self._keys, context) else None

    def admit(self, key: bytes, address: str) -> bytes | None:
        """on_request without a context, for who is admitted: the lines of the reply; None where on_request has to be asked."""
        if self._allowlist is not None and self.is_listed(address):
            return b""
        limiter = self.limiter
        if (self._shared is not None and self._shared.is_refusing) or not limiter.admit(key or source_key(address)):
            return None
        return self._told() if self._fields else b""

    def is_listed(self, address: str) -> bool:
        """Whether the client has no limit."""
        allowlist = self._allowlist
        return allowlist is not None and bool(packed := _packed(address)) and allowlist.has(packed)

    def refuse(self, context: RequestContext) -> Reply | None:
        """What a request gets that is beyond the limit; None where that is only reported."""
        if self._fields:
            context.reply_lines += self._told()
        return self._beyond(context)

    def _beyond(self, context: RequestContext) -> Reply | None:
        context.rule = RULE
        if self._report_only:
            self._count(False)
            return None
        self._count(True)
        context.reply_lines += b"Retry-After: %d\r\n" % max(1, ceil(self.limiter.retry_s))
        return _REFUSED

    def _told(self) -> bytes:
        limiter = self.limiter
        left, reset_s = limiter.remaining, ceil(limiter.reset_s)
        number = left << 32 | reset_s
        lines = self._lines.get(number)
        if lines is None:
            if len(self._lines) >= MAX_LINES:
                self._lines.clear()
            lines = self._lines[number] = self._fields % (left, reset_s, left, reset_s)
        return lines


class SettledLimit:
    """A Tally: the limit of requests whose key is their client's address, or the same for all with their lines."""

    __slots__ = ("_key", "_stage", "counts")

    def __init__(self, stage: RateLimitStage, key: bytes) -> None:
        """`key` is b"" for the address."""
        self._stage = stage
        self._key = key
        self.counts = True

    def admit(self, address: str, now: float) -> bytes | None:
        return self._stage.admit(self._key, address)


def limiter_of(route: RouteConfig, environment: StageEnvironment, of: str = "") -> Limiter:
    """The limit of a route, or one of the same numbers `of` something else."""
    config = route.rate_limit
    table, clock, name = environment.buckets(), environment.clock, config.counted_for + of
    moved = environment.moved if config.scope == "redis" else None
    if config.type == "sliding-window":
        return SlidingWindow(table, name, config.max_requests, config.window_s, clock, moved)
    rate = config.requests_per_second
    return TokenBucket(table, name, rate, config.burst or ceil(rate), clock, moved)


def waits_for_token(route: RouteConfig) -> bool:
    """Whether the limit can be judged only when the token of the request has been verified."""
    return route.security.jwt.enabled and is_of_claims(route.rate_limit.key)


def rate_limit_stage(route: RouteConfig, environment: StageEnvironment) -> RateLimitStage | None:
    """The stage of a route, if it has a limit that is judged before anything is asked who it is."""
    return made_for(route, environment) if route.rate_limit.enabled and not waits_for_token(route) else None


def claim_limit_stage(route: RouteConfig, environment: StageEnvironment) -> RateLimitStage | None:
    """The stage of a route, if it has a limit that goes by what a token says."""
    return made_for(route, environment) if route.rate_limit.enabled and waits_for_token(route) else None


def made_for(route: RouteConfig, environment: StageEnvironment) -> RateLimitStage:
    """The stage of the route's limit."""
    shared = environment.moved if route.rate_limit.scope == "redis" else None
    return RateLimitStage(route.rate_limit, limiter_of(route, environment), environment.limited(route.name), shared)
