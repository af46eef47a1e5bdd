"""The stage of a route that asks for a token (RFC 6750, 7519) and tells the backend what it says.

Who was verified is remembered until his token ends, five minutes at most, by a hash with a key of the process; with the same
field lines again, as keep-alive clients send them, by those.
"""

from __future__ import annotations

from typing import Final

from balance.config.route_model import RouteConfig
from balance.model import Why
from balance.security.credentials import Remembered, of_scheme
from balance.security.jwt_keys import jwks_keys, pem_keys, secret_key
from balance.security.jwt_token import ForbiddenError, InvalidTokenError, Verifier, field_text
from balance.security.settings import Jwt
from balance.stages.notes import note
from balance.stages.request_context import RequestContext
from balance.stages.security.client_fields import folded, spellings
from balance.stages.security.identity import Identity, claim_key, user_name
from balance.stages.stage import Reply, Stage

MAX_REMEMBERED: Final = 4096
REMEMBER_S: Final = 300.0
_MAX_LINES: Final = 4096  # bytes of claims that are remembered
_AUTHORIZATION: Final = b"authorization"


class Verified:
    """What a good token says."""

    __slots__ = ("identity", "lines", "until")

    def __init__(self, until: float, lines: bytes, identity: Identity) -> None:
        self.until = until  # seconds, monotonic
        self.lines = lines  # for the backend
        self.identity = identity


class JwtStage(Stage):
    """Tokens of one route."""

    __slots__ = ("_challenge", "_counted", "_digests", "_kind", "_known", "_lines", "_name", "_names", "_verifier")

    def __init__(self, settings: Jwt, counted: tuple[str, ...] = ()) -> None:
        """`counted` are the claims that limits go by. ValueError for keys that are none."""
        self._counted = counted
        keys = [secret_key(settings.secret)] if settings.secret else []
        for _, text in settings.pem_files:
            keys += pem_keys(text)
        for _, text in settings.jwks_file:
            keys += jwks_keys(text)
        self._verifier = Verifier(settings, keys)
        self._kind, _, name = settings.source.partition(":")
        self._name = name.encode() if self._kind == "cookie" else (name.lower().encode() or _AUTHORIZATION)
        self._lines = tuple((claim, header.encode() + b": ") for claim, header in settings.claims_to_headers)
        names = set(spellings([header for _, header in settings.claims_to_headers]))
        if not settings.forward and self._kind != "cookie":
            names.add(folded(self._name))
        self._names = frozenset(names)
        realm = settings.realm.replace("\\", "\\\\").replace('"', '\\"')
        self._challenge = f'WWW-Authenticate: Bearer realm="{realm}"'.encode("latin-1", "replace")
        self._digests = Remembered(0)
        self._known: dict[bytes, Verified] = {}  # by the token's digest

    def on_request(self, context: RequestContext) -> Reply | None:
        notes = context.fields.notes
        found: Verified | None = None if notes is None else notes.get(self)
        if found is None or context.now >= found.until:
            token = self._token(context)
            if not token:
                return self._refuse(context, 401, "", "a token is needed")
            try:
                found = self._verified(token, context)
            except InvalidTokenError as error:
                return self._refuse(context, 401, "invalid_token", f"the token is not good: {error}")
            except ForbiddenError as error:
                return self._refuse(context, 403, "insufficient_scope", str(error))
            note(context.fields, self, found)
        context.identity = found.identity
        if self._names:
            context.identify(self, self._names, found.lines)
        return None

    def _token(self, context: RequestContext) -> bytes:
        """b"" where there is none, or several, of which a backend may read another."""
        if self._kind == "authorization":
            return of_scheme(context.headers(_AUTHORIZATION), b"bearer") or b""
        found = context.cookies(self._name) if self._kind == "cookie" else context.headers(self._name)
        return found[0] if len(found) == 1 else b""

    def _verified(self, token: bytes, context: RequestContext) -> Verified:
        digest = self._digests.digest(token)
        known = self._known.get(digest)
        if known is not None and context.now < known.until:
            return known
        epoch_s = context.epoch()
        claims, ends = self._verifier.verify(token, epoch_s)
        lines = b""
        for claim, name in self._lines:
            text = field_text(claims.get(claim))
            if text:
                lines += name + text + b"\r\n"
        counted = {claim: claim_key(claims.get(claim)) for claim in self._counted}
        identity = Identity(user_name(claims.get("sub")), counted)
        found = Verified(context.now + min(REMEMBER_S, ends - epoch_s), lines, identity)
        self._known.pop(digest, None)
        if len(self._known) >= MAX_REMEMBERED:
            del self._known[next(iter(self._known))]
        if len(lines) <= _MAX_LINES:
            self._known[digest] = found
        return found

    def _refuse(self, context: RequestContext, status: int, error: str, detail: str) -> Reply:
        context.reply_lines += self._challenge + (f', error="{error}"'.encode() if error else b"") + b"\r\n"
        return Reply(status, Why.UNAUTHORIZED, detail)


def jwt_stage(route: RouteConfig, environment: object) -> JwtStage | None:
    """None where no token is asked for."""
    settings = route.security.jwt
    counted = tuple(key.partition(":")[2] for key in route.rate_limit.key if key.startswith("jwt:"))
    return JwtStage(settings, counted) if settings.enabled else None
