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

    __slots__ = (
        "_allowlist",
        "_count",
        "_key",
        "_keys",
        "_policy",
        "_report_only",
        "_shared",
        "left",
        "limiter",
        "lines",
        "reset_s",
        "tells",
    )

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
        self._policy = b'RateLimit-Policy: %b\r\nX-RateLimit-Limit: %d\r\nRateLimit: "default";r=' % (policy, limiter.limit)
        self.tells = config.headers
        # What was told last, and the lines of it: who keeps to a rate is told the same each time. Else making them anew is
        # as cheap as looking them up among many.
        self.left = self.reset_s = -1
        self.lines = b""

    def on_request(self, context: RequestContext) -> Reply | None:
        if self._allowlist is not None and self.is_listed(context.client):
            return None
        if self._shared is not None and self._shared.is_refusing and not self._report_only:
            context.rule = RULE
            return _UNAVAILABLE
        limiter = self.limiter
        is_admitted = limiter.admit(self._key(context))
        if self.tells:
            context.reply_lines += self.told(limiter.remaining, ceil(limiter.reset_s))
        return None if is_admitted else self._beyond(context)

    def tally(self, context: RequestContext) -> SettledLimit | None:
        if context.rule == RULE:
            return None  # only reported: that is of this request alone
        if self._keys == _CLIENT:
            return SettledLimit(self, b"", self._shared)
        return SettledLimit(self, self._key(context), self._shared) if is_of_lines(self._keys, context) else None

    @property
    def has_allowlist(self) -> bool:
        """Whether somebody has no limit."""
        return self._allowlist is not None

    def is_listed(self, address: str) -> bool:
        """Whether the client has no limit."""
        allowlist = self._allowlist
        return allowlist is not None and bool(packed := _packed(address)) and allowlist.has(packed)

    def refuse(self, context: RequestContext) -> Reply | None:
        """What a request gets that is beyond the limit; None where that is only reported."""
        if self.tells:
            context.reply_lines += self.told(self.limiter.remaining, ceil(self.limiter.reset_s))
        return self._beyond(context)

    def _beyond(self, context: RequestContext) -> Reply | None:
        context.rule = RULE
        if self._report_only:
            self._count(False)
            return None
        self._count(True)
        context.reply_lines += b"Retry-After: %d\r\n" % max(1, ceil(self.limiter.retry_s))
        return _REFUSED

    def told(self, left: int, reset_s: int) -> bytes:
        """The lines for the reply to who has so many left."""
        self.left, self.reset_s = left, reset_s
        remaining, reset = b"%d" % left, b"%d" % reset_s
        self.lines = b"".join(
            (
                self._policy, remaining, b";t=", reset,
                b"\r\nX-RateLimit-Remaining: ", remaining, b"\r\nX-RateLimit-Reset: ", reset, b"\r\n",
            )
        )  # fmt: skip
        return self.lines


class SettledLimit:
    """A Tally: the limit of requests whose key is their client's address, or the same for all with their lines."""

    __slots__ = ("_has_allowlist", "_key", "_limiter", "_shared", "_stage", "counts")

    def __init__(self, stage: RateLimitStage, key: bytes, shared: MovedKeys | None) -> None:
        """`key` is b"" for the address."""
        self._stage = stage
        self._key = key
        self._limiter = stage.limiter
        self._has_allowlist = stage.has_allowlist
        self._shared = shared
        self.counts = True

    def admit(self, address: str, now: float) -> bytes | None:
        if self._has_allowlist and self._stage.is_listed(address):
            return b""
        limiter = self._limiter
        if (self._shared is not None and self._shared.is_refusing) or not limiter.admit(self._key or source_key(address)):
            return None
        stage = self._stage
        if not stage.tells:
            return b""
        left, reset_s = limiter.remaining, ceil(limiter.reset_s)
        return stage.lines if left == stage.left and reset_s == stage.reset_s else stage.told(left, reset_s)


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
