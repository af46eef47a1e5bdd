"""A rate limit: at the top, of a listener, of a route."""

from __future__ import annotations

from typing import Annotated

from balance.config.schema import scalars as kind
from balance.config.schema.access_sections import Entries
from balance.config.schema.hash_keys import HASH_KEY
from balance.config.schema.scalars import Scalar, display
from balance.config.schema.section import Flag, Period, Section, key, one_or_list

_ALLOWED = "client-ip, path, route, header:NAME, cookie:NAME, query:NAME, jwt:CLAIM"
_CLAIM = "jwt:"


def _limit_key(value: object) -> str:
    if value in ("client-ip", "client_ip"):
        return "client-ip"
    if value in ("path", "route"):
        return str(value)
    if not isinstance(value, str):
        raise ValueError(f"expected one of {_ALLOWED}, got {display(value)}")
    if value.startswith(_CLAIM):
        if not 0 < len(value.removeprefix(_CLAIM)) <= 100 or not value.isprintable():
            raise ValueError(f"{display(value)} names no claim of a token, like jwt:sub")
        return value
    if value.partition(":")[0] not in ("header", "cookie", "query"):
        raise ValueError(f"{display(value)} is not one of {_ALLOWED}")
    return str(HASH_KEY.read(value))


LIMIT_KEY = Scalar(_limit_key, {"type": "string", "pattern": "^(client[-_]ip|path|route|(header|cookie|query|jwt):.+)$"})
_KEYS = one_or_list(LIMIT_KEY)
LimitKeys = Annotated[list[Annotated[str, LIMIT_KEY]], _KEYS[0], _KEYS[1]]


class RateLimitSection(Section):
    """How often a client may ask, in HTTP mode; then 429 with Retry-After. Counted over all workers. The keys of a route win
    over its listener's, and those over the ones at the top, one by one; a route or listener that has any counts for itself, the
    others count together."""

    section_name = "rate_limit"
    enabled: Flag = key("Whether there is a limit.", False)
    type: Annotated[str, kind.choice("token-bucket", "sliding-window")] = key(
        "token-bucket: `burst` at once, and `requests_per_second` on average. sliding-window: never more than `max_requests` "
        "in any `window`.",
        "token-bucket",
    )
    requests_per_second: Annotated[float, kind.number(0.0001, 1_000_000)] = key("token-bucket: on average.", 100)
    burst: Annotated[int, kind.integer(0, 1_000_000)] = key("token-bucket: at once. 0: as many as in a second.", 0)
    window: Period = key("sliding-window: the time.", "1m")
    max_requests: Annotated[int, kind.integer(1, 1_000_000_000)] = key("sliding-window: in that time.", 100)
    report_only: Flag = key("Refuse nothing: metrics and the access log tell what would have been refused.", False)
    scope: Annotated[str, kind.choice("local", "redis")] = key(
        "local: over the workers of this machine. redis: over all machines that use the same Redis and redis.prefix; they tell "
        "each other in batches, no request waits.",
        "local",
    )
    headers: Flag = key("Whether replies tell what is left: RateLimit, RateLimit-Policy and X-RateLimit-*.", True)
    allowlist: Entries = key("Clients without a limit: addresses, networks and ranges.", [])
    # Last, as key() is what the others are made with.
    key: LimitKeys = key(
        f"What is counted by: {_ALLOWED}, or a list of them, then each combination for itself. An IPv6 client is its /64. A "
        "request without the field, cookie, parameter or claim is counted by its client's address. Claims are those of the "
        "token that security.jwt has verified.",
        "client-ip",
    )


class OlderRateLimitSection(Section):
    """Older names of the keys of `rate_limit`."""

    section_name = "security.rate_limit"
