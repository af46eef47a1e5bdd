"""Who sends tokens that are no good, where the limit goes by their claims: counted by his address, before they are verified.

The limit itself can only be judged when the token has been verified, which costs a signature check. So tokens that are refused
have a limit of the same numbers: once an address has used it up, its requests get 429 until some of it is free again.
"""

from __future__ import annotations

from typing import Final

from balance.config.route_model import RouteConfig
from balance.http1.hash_key import source_key
from balance.stages.environment import StageEnvironment
from balance.stages.rate_limits.rate_limit_stage import RateLimitStage, limiter_of, waits_for_token
from balance.stages.request_context import RequestContext
from balance.stages.stage import Reply, ReplyHead

_INVALID: Final = b'error="invalid_token"'  # of the challenge of RFC 6750 section 3.1


class RefusedTokensStage(RateLimitStage):
    """One route's; the stage of the limit itself comes behind the one of tokens."""

    __slots__ = ()

    def tally(self, context: RequestContext) -> None:
        return None

    def on_request(self, context: RequestContext) -> Reply | None:
        if self.is_listed(context.client) or not self.limiter.is_spent(source_key(context.client)):
            return None
        return self.refuse(context)

    def on_reply(self, context: RequestContext, reply: ReplyHead) -> None:
        if reply.is_own and reply.status == 401 and _INVALID in reply.lines and not self.is_listed(context.client):
            self.limiter.admit(source_key(context.client))

    def is_same_for_all(self, lines: bytes) -> bool:
        return True


def refused_tokens_stage(route: RouteConfig, environment: StageEnvironment) -> RefusedTokensStage | None:
    """The stage of a route, if it has a limit that goes by what a token says."""
    if not route.rate_limit.enabled or not waits_for_token(route):
        return None
    limiter = limiter_of(route, environment, " refused tokens")
    return RefusedTokensStage(route.rate_limit, limiter, environment.limited(route.name))
