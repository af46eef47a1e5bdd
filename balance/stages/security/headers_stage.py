"""The stage of a route that adds security fields to its replies, also to our own: error pages, redirects, fixed responses."""

from __future__ import annotations

from balance.config.route_model import RouteConfig
from balance.security.security_headers import HeaderLines
from balance.security.settings import SecurityHeaders
from balance.stages.request_context import RequestContext
from balance.stages.stage import ReplyHead, Stage
from balance.transform.header_changes import without


class SecurityHeadersStage(Stage):
    """Has a reply side only. HSTS goes out where the client came over TLS, also as told by a trusted proxy."""

    __slots__ = ("_lines",)

    def __init__(self, settings: SecurityHeaders) -> None:
        self._lines = HeaderLines(settings)

    def on_reply(self, context: RequestContext, reply: ReplyHead) -> None:
        lines = self._lines
        kept = without(reply.lines, lines.removed) if lines.removed else reply.lines
        added = lines.secure if context.scheme == "https" else lines.plain
        if lines.weak:
            names = b"\n" + kept.lower()
            added = b"".join([line for name, line in lines.weak if b"\n%b:" % name not in names]) + added
        reply.lines = kept + added

    def is_same_for_all(self, lines: bytes) -> bool:
        return not self._lines.has_hsts


def headers_stage(route: RouteConfig, environment: object) -> SecurityHeadersStage | None:
    """None where nothing is asked for."""
    settings = route.security.headers
    return SecurityHeadersStage(settings) if settings.enabled else None
