"""Warnings about rate limits: keys that nobody uses, and keys that let everybody escape."""

from __future__ import annotations

from collections.abc import Iterator

from balance.config.build import KeyPaths
from balance.config.model import Config, ListenerConfig, RateLimit
from balance.config.reading.document import Document, Path
from balance.model import Mode

Finding = tuple[Path, str]
_OF_BUCKETS = ("requests_per_second", "burst")
_OF_WINDOWS = ("window", "max_requests")


def rate_limit_warnings(config: Config, paths: KeyPaths) -> Iterator[Finding]:
    """Each with the path of its key. What is at the top has an effect if it has one in any listener or route."""
    document = paths.document
    limits: list[RateLimit] = []
    for index, listener in enumerate(config.listeners):
        if listener.mode is Mode.TCP:
            path = (*paths.listeners[index], "rate_limit")
            if path != ("rate_limit",) and document.has(path):
                yield path, f"has no effect: listener {listener.name!r} has mode tcp"
            continue
        routes = listener.http.routes
        yield from _of_tokens(listener, paths.listeners[index], paths.routes[index], document)
        own = [listener.rate_limit] if not routes else [route.rate_limit for route in routes]
        limits += own
        if path := paths.listeners[index]:
            yield from _unused((*path, "rate_limit"), own, document)
        for number, route in enumerate(routes):
            yield from _unused((*paths.routes[index], number, "rate_limit"), [route.rate_limit], document)
    yield from _unused(("rate_limit",), limits, document)
    if not config.redis.url and any(limit.enabled and limit.scope == "redis" for limit in limits):
        where = ("rate_limit", "scope") if document.has(("rate_limit", "scope")) else ("rate_limit",)
        yield where, "without redis.url limits of scope redis are counted on this machine alone"


def _of_tokens(listener: ListenerConfig, where: Path, routes: Path, document: Document) -> Iterator[Finding]:
    """A limit by claims where no token is asked for: it goes by the address."""
    judged = [(*routes, number) for number in range(len(listener.http.routes))] or [where]
    limits = [(route.rate_limit, route.security) for route in listener.http.routes]
    for path, (limit, security) in zip(judged, limits or [(listener.rate_limit, listener.security)], strict=True):
        if limit.enabled and any(key.startswith("jwt:") for key in limit.key) and not security.jwt.enabled:
            own = (*path, "rate_limit", "key")
            yield (
                own if document.has(own) else (*path, "rate_limit") if document.has((*path, "rate_limit")) else ("rate_limit",),
                "it goes by a claim where security.jwt asks for no token: there everybody is counted by his address",
            )


def _unused(where: Path, limits: list[RateLimit], document: Document) -> Iterator[Finding]:
    """Keys of the section at `where`, which these limits are made of."""
    if not document.has(where):
        return
    enabled = [limit for limit in limits if limit.enabled]
    if not enabled:
        if not document.has((*where, "enabled")):
            yield where, "has no effect without enabled: true"
        return
    for keys, kind in ((_OF_BUCKETS, "token-bucket"), (_OF_WINDOWS, "sliding-window")):
        for key in keys:
            if document.has((*where, key)) and all(limit.type != kind for limit in enabled):
                yield (*where, key), f"has no effect: only type {kind} has it"
