"""Deprecated names of keys, and the keys that replace them."""

from __future__ import annotations

from balance.config.reading.document import Document, Path
from balance.config.schema.common_sections import RetrySection
from balance.config.schema.rate_limit_section import RateLimitSection
from balance.config.schema.schema import CircuitBreakerSection
from balance.errors import Problem

CHECK_ALIASES: dict[Path, Path] = {
    ("health_check", "http_path"): ("health_check", "path"),
    ("health_check", "http_method"): ("health_check", "method"),
    ("health_check", "http_expected_status"): ("health_check", "expected_status"),
}
_BREAKER_NAMES = {
    "max_failures": "failure_threshold",
    "max_concurrent_requests": "half_open_requests",
    **{name: name for name in CircuitBreakerSection.model_fields},
}
BREAKER_ALIASES: dict[Path, Path] = {
    ("resilience", "circuit_breaker", old): ("circuit_breaker", new) for old, new in _BREAKER_NAMES.items()
}
_RETRY_NAMES = {
    "initial_delay": "backoff_base",
    "max_delay": "backoff_max",
    **{name: name for name in RetrySection.model_fields},
}
RETRY_ALIASES: dict[Path, Path] = {("resilience", "retry", old): ("retry", new) for old, new in _RETRY_NAMES.items()}
LIMIT_ALIASES: dict[Path, Path] = {
    ("security", "connection_protection", "max_request_size"): ("http", "limits", "body"),
    ("security", "connection_protection", "max_header_size"): ("http", "limits", "head"),
    ("security", "max_request_size"): ("http", "limits", "body"),
    ("security", "max_header_size"): ("http", "limits", "head"),
}
GUARD_ALIASES: dict[Path, Path] = {
    ("security", name): ("security", "connection_protection", name)
    for name in ("max_connections_per_ip", "max_connection_rate", "read_timeout")
}
BLOCKLIST_ALIASES: dict[Path, Path] = {("security", "blocklist"): ("security", "ip_blocklist")}
_RATE_LIMIT_NAMES = {
    "burst_size": "burst",
    "window_size": "window",
    **{name: name for name in RateLimitSection.model_fields},
}
RATE_LIMIT_ALIASES: dict[Path, Path] = {
    ("security", "rate_limit", old): ("rate_limit", new) for old, new in _RATE_LIMIT_NAMES.items()
} | {("rate_limit", old): ("rate_limit", new) for old, new in _RATE_LIMIT_NAMES.items() if old != new}
ALIASES = (
    CHECK_ALIASES | BLOCKLIST_ALIASES | GUARD_ALIASES | LIMIT_ALIASES | RATE_LIMIT_ALIASES | BREAKER_ALIASES | RETRY_ALIASES
)


def resolve_aliases(document: Document) -> list[Problem]:
    """Rename every deprecated key in the document. A key given under both names is a problem."""
    moves = dict(ALIASES)
    pools = document.data.get("pools")
    for name in pools if isinstance(pools, dict) else ():
        moves |= {("pools", name, *old): ("pools", name, *new) for old, new in CHECK_ALIASES.items()}
    problems = []
    for old, new in moves.items():
        problem = document.move(old, new)
        if problem is not None:
            problems.append(problem)
            document.broken.add(old)
    return problems
