"""What routes do besides serving: rate limits, mirrors, injected faults, compression, buffering, authorizers."""

from __future__ import annotations

from typing import Final

from balance.admin.metrics.definition import COUNTER, GAUGE, ROUTE, Definition

LIMITED: Final = Definition(
    "balance_rate_limited_total",
    COUNTER,
    (*ROUTE, "action"),
    "Requests beyond a rate limit: refused, or reported only.",
    "Who: the access log with `why` rate_limited.",
    "where rate_limit is enabled",
)
MIRRORED: Final = Definition(
    "balance_mirrored_requests_total",
    COUNTER,
    ROUTE,
    "Copies of requests that a mirror answered.",
    "Compare the share of mirror.percent.",
    "where a route has a mirror",
)
MIRROR_DROPPED: Final = Definition(
    "balance_mirror_dropped_total",
    COUNTER,
    ROUTE,
    "Copies of requests that were not sent to a mirror, or not answered.",
    "The mirror is too slow or away; clients do not notice.",
    "where a route has a mirror",
)
FAULTS: Final = Definition(
    "balance_fault_injection_active",
    GAUGE,
    ROUTE,
    "1 until the time when the route injects no more faults.",
    "1 in production is worth an alert.",
    "where a route injects faults",
)

DEFINITIONS: Final = (LIMITED, MIRRORED, MIRROR_DROPPED, FAULTS)
