"""The stage of a route whose replies pages of other origins may read (CORS, Fetch standard section 3.2).

Preflight requests are answered here, before limits and whoever asks for a password or token: browsers send none with them.
What a backend says of CORS is replaced. Our own replies, a 401 or a 503, say the same, or pages could not read even the status.
"""

from __future__ import annotations

from typing import Final

from balance.config.route_model import RouteConfig
from balance.http1.fields import field_values, is_field_name
from balance.model import Why
from balance.security.cors_origins import ANY, OriginMatch
from balance.security.settings import Cors
from balance.stages.notes import note
from balance.stages.request_context import RequestContext
from balance.stages.stage import Reply, ReplyHead, Stage
from balance.transform.header_changes import without

_MAX_ASKED: Final = 1024  # bytes of Access-Control-Request-Headers that are sent back
_PREFIX: Final = b"access-control-"
_OF_ALL: Final = frozenset((
    _PREFIX + b"allow-origin", _PREFIX + b"allow-credentials", _PREFIX + b"expose-headers",
))  # fmt: skip
_OF_BACKENDS: Final = _OF_ALL | {
    _PREFIX + b"allow-methods", _PREFIX + b"allow-headers", _PREFIX + b"max-age", _PREFIX + b"allow-private-network",
}  # fmt: skip
_VARY: Final = b"Vary: Origin\r\n"
_VARY_PREFLIGHT: Final = b"Vary: Access-Control-Request-Method, Access-Control-Request-Headers\r\n"


class CorsStage(Stage):
    """CORS of one route."""

    __slots__ = ("_allowed", "_fixed", "_headers_any", "_is_same", "_origins", "_preflight")

    def __init__(self, settings: Cors) -> None:
        """ValueError for origins that can't be."""
        self._origins = OriginMatch(settings)
        self._is_same = self._origins.is_any  # the same reply for every origin
        allowed = b"Access-Control-Allow-Credentials: true\r\n" if settings.allow_credentials else b""
        exposed = ", ".join(settings.expose_headers).encode()
        self._allowed = allowed + (b"Access-Control-Expose-Headers: %b\r\n" % exposed if exposed else b"")
        self._fixed = b"Access-Control-Allow-Origin: *\r\n" + self._allowed
        lines = f"Access-Control-Allow-Methods: {', '.join(settings.allow_methods)}\r\n"
        self._headers_any = ANY in settings.allow_headers
        if settings.allow_headers and not self._headers_any:
            lines += f"Access-Control-Allow-Headers: {', '.join(settings.allow_headers)}\r\n"
        lines += f"Access-Control-Max-Age: {int(settings.max_age_s)}\r\n"
        self._preflight = lines.encode()

    def on_request(self, context: RequestContext) -> Reply | None:
        """Answer a preflight request; all others go on, whatever their origin: browsers keep the reply from the page."""
        if context.method != b"OPTIONS" or not context.headers(b"access-control-request-method"):
            return None
        if not context.headers(b"origin"):
            return None
        lines = _VARY_PREFLIGHT
        if self._of(context) != _VARY:  # else it is from an origin that may not
            lines += self._preflight
            if self._headers_any:
                lines += _asked_headers(context.headers(b"access-control-request-headers"))
        return Reply(204, Why.PREFLIGHT, lines=lines, body=b"")

    def is_settled(self, context: RequestContext) -> bool:
        return True

    def on_reply(self, context: RequestContext, reply: ReplyHead) -> None:
        kept = without(reply.lines, _OF_ALL if reply.is_own else _OF_BACKENDS)
        added = self._of(context)
        if added.endswith(_VARY) and _varies(kept):
            added = added[: -len(_VARY)]
        reply.lines = kept + added

    def is_same_for_all(self, lines: bytes) -> bool:
        return self._is_same

    def _of(self, context: RequestContext) -> bytes:
        """The lines for the request's origin; `Vary` alone, the last of them, for one that may not, or none."""
        if self._is_same:
            return self._fixed
        notes = context.fields.notes
        found: bytes | None = None if notes is None else notes.get(self)
        if found is None:
            origins = context.headers(b"origin")
            found = _VARY
            if len(origins) == 1 and self._origins.allows(origins[0]):
                found = b"Access-Control-Allow-Origin: %b\r\n%b%b" % (origins[0], self._allowed, _VARY)
            note(context.fields, self, found)
        return found


def _varies(lines: bytes) -> bool:
    """Whether Vary says so already."""
    members = [each.strip().lower() for value in field_values(lines, b"vary") for each in value.split(b",")]
    return b"origin" in members or b"*" in members


def _asked_headers(values: list[bytes]) -> bytes:
    """The fields that a preflight asks for, said back; those that are none are left out."""
    asked = b",".join(values)
    if not asked or len(asked) > _MAX_ASKED:
        return b""
    names = [name for name in (each.strip(b" \t") for each in asked.split(b",")) if is_field_name(name)]
    return b"Access-Control-Allow-Headers: " + b", ".join(names) + b"\r\n" if names else b""


def cors_stage(route: RouteConfig, environment: object) -> CorsStage | None:
    """None where CORS is the backends' own."""
    settings = route.security.cors
    return CorsStage(settings) if settings.enabled else None
