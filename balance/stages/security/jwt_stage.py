"""The stage of a route that asks for a token (RFC 6750, 7519) and tells the backend what it says.

Who was verified is remembered until his token ends, five minutes at most, by a hash with a key of the process; with the same
field lines again, as keep-alive clients send them, by those. What was wrong is remembered for seconds, and the time that wrong
ones take is bounded. All of it is forgotten when the keys change.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final, TypeVar

from balance.config.route_model import RouteConfig
from balance.http1.hash_key import source_key
from balance.model import Why
from balance.security.credentials import Remembered, of_scheme
from balance.security.failed_checks import FailedChecks
from balance.security.jwt_keys import jwks_keys, pem_keys, secret_key
from balance.security.jwt_token import ForbiddenError, InvalidTokenError, UnknownKeyError, Verifier, field_text
from balance.security.key_set import WAIT_S, KeySet
from balance.security.settings import Jwt
from balance.stages.environment import StageEnvironment
from balance.stages.notes import note
from balance.stages.request_context import RequestContext
from balance.stages.security.client_fields import folded, spellings
from balance.stages.security.identity import Identity, claim_key, user_name
from balance.stages.stage import Reply, Stage, Wait

MAX_REMEMBERED: Final = 4096
REMEMBER_S: Final = 300.0
REMEMBER_WRONG_S: Final = 10.0
_NO_KEYS: Final = Reply(503, Why.KEYS_UNAVAILABLE, "the keys of tokens can't be had", b"Retry-After: 5\r\n")
_MAX_LINES: Final = 4096  # bytes of claims that are remembered
_AUTHORIZATION: Final = b"authorization"


class Verified:
    """What a good token says."""

    __slots__ = ("identity", "lines", "until", "version")

    def __init__(self, until: float, lines: bytes, identity: Identity, version: int) -> None:
        self.until = until  # seconds, monotonic
        self.lines = lines  # for the backend
        self.identity = identity
        self.version = version  # of the keys


class SettledToken:
    """A Tally: requests whose token was verified, as long as that is remembered."""

    __slots__ = ("_notes", "_stage", "counts")

    def __init__(self, stage: JwtStage, notes: dict[object, Any]) -> None:
        """`notes` are those of the requests' lines; who is verified anew is noted there, too."""
        self._stage = stage
        self._notes = notes
        self.counts = False

    def admit(self, address: str, now: float) -> bytes | None:
        return b"" if self._stage.is_known(self._notes, now) else None


class Refusal:
    """Why a token gets nobody in, and until when that is remembered. No exception: those keep what was on the stack."""

    __slots__ = ("detail", "error", "status", "until")

    def __init__(self, status: int, error: str, detail: str, until: float) -> None:
        self.status = status
        self.error = error
        self.detail = detail
        self.until = until


class JwtStage(Stage):
    """Tokens of one route."""

    __slots__ = ("_challenge", "_clock", "_counted", "_digests", "_failed", "_key_set", "_kind", "_known", "_lines", "_name",
                 "_names", "_notes", "_own_keys", "_verifier", "_version", "_wrong")  # fmt: skip

    def __init__(self, settings: Jwt, counted: tuple[str, ...], key_set: KeySet | None, clock: Callable[[], float]) -> None:
        """`counted` are the claims that limits go by, `key_set` are keys by URL. ValueError for keys that are none."""
        self._counted = counted
        self._clock = clock
        keys = [secret_key(settings.secret)] if settings.secret else []
        for _, text in settings.pem_files:
            keys += pem_keys(text)
        for _, text in settings.jwks_file:
            keys += jwks_keys(text)
        self._own_keys = tuple(keys)
        self._key_set = key_set
        self._version = 0
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
        self._wrong: dict[bytes, Refusal] = {}  # likewise
        self._failed = FailedChecks()
        self._notes: dict[object, Any] | None = None  # of the lines of the last request that was let in

    def on_request(self, context: RequestContext) -> Reply | Wait | None:
        key_set = self._key_set
        if key_set is not None and key_set.version != self._version:
            self._take_keys(key_set)
        notes = context.fields.notes
        found: Verified | None = None if notes is None else notes.get(self)
        if found is None or context.now >= found.until or found.version != self._version:
            token = self._token(context)
            if not token:
                return self._refuse(401, "", "a token is needed")
            try:
                verified = self._verified(token, context)
            except UnknownKeyError as error:
                return self._without_key(context, str(error))
            if isinstance(verified, Refusal):
                return self._refuse(verified.status, verified.error, verified.detail)
            found = verified
            note(context.fields, self, found)
        self._notes = context.fields.notes
        self._let_in(context, found)
        return None

    def tally(self, context: RequestContext) -> SettledToken | None:
        return SettledToken(self, self._notes) if self._notes is not None else None

    def is_known(self, notes: dict[object, Any], now: float) -> bool:
        """Whether the token of the lines with these notes was verified, and need not be again."""
        found: Verified | None = notes.get(self)
        key_set = self._key_set
        if found is None or now >= found.until or found.version != self._version:
            return False
        return key_set is None or key_set.version == self._version

    def _let_in(self, context: RequestContext, found: Verified) -> None:
        context.identity = found.identity
        if self._names:
            context.identify(self, self._names, found.lines)

    def _take_keys(self, key_set: KeySet) -> None:
        """What was verified with keys that may be gone is not remembered; nor what a new key may verify."""
        self._version = key_set.version
        self._verifier.keys = (*self._own_keys, *key_set.keys)
        self._known.clear()
        self._wrong.clear()

    # --- keys that are not there ----------------------------------------------------------------------

    def _without_key(self, context: RequestContext, detail: str) -> Reply | Wait:
        """A token whose key we do not have: perhaps not yet."""
        key_set = self._key_set
        if key_set is not None:
            again = partial(self._go_on, context)
            if key_set.keys:
                is_waiting = key_set.wait_for_newer(again, context.now)
            else:
                is_waiting = key_set.wait_for_first(again)
            if is_waiting:
                return Wait(WAIT_S, self._refuse(401, "invalid_token", detail) if key_set.keys else _NO_KEYS)
            if not key_set.keys:
                return _NO_KEYS
        return self._refuse(401, "invalid_token", f"the token is not good: {detail}")

    def _go_on(self, context: RequestContext) -> None:
        context.wake(self._judge_again(context))

    def _judge_again(self, context: RequestContext) -> Reply | None:
        """After the wait for keys: this time what is there decides."""
        key_set = self._key_set
        assert key_set is not None
        if key_set.version != self._version:
            self._take_keys(key_set)
        try:
            verified = self._verified(self._token(context), context)
        except UnknownKeyError as error:
            if not key_set.keys:
                return _NO_KEYS
            return self._refuse(401, "invalid_token", f"the token is not good: {error}")
        if isinstance(verified, Refusal):
            return self._refuse(verified.status, verified.error, verified.detail)
        self._let_in(context, verified)
        return None

    # --- tokens ---------------------------------------------------------------------------------------

    def _token(self, context: RequestContext) -> bytes:
        """b"" where there is none, or several, of which a backend may read another."""
        if self._kind == "authorization":
            return of_scheme(context.headers(_AUTHORIZATION), b"bearer") or b""
        found = context.cookies(self._name) if self._kind == "cookie" else context.headers(self._name)
        return found[0] if len(found) == 1 else b""

    def _verified(self, token: bytes, context: RequestContext) -> Verified | Refusal:
        """UnknownKeyError where its key is not among ours."""
        digest, now = self._digests.digest(token), context.now
        known = self._known.get(digest)
        if known is not None and now < known.until:
            return known
        wrong = self._wrong.get(digest)
        if wrong is not None and now < wrong.until:
            return wrong
        client = source_key(context.client)
        if not self._failed.may_check(client, now):
            return Refusal(503, "", "too many tokens were wrong", 0.0)
        began = self._clock()
        try:
            found = self._verify(token, context)
        except UnknownKeyError:
            raise
        except InvalidTokenError as error:
            refusal = Refusal(401, "invalid_token", f"the token is not good: {error}", now + REMEMBER_WRONG_S)
            if error.was_checked:
                self._failed.failed(client, self._clock() - began, now)
                _remember(self._wrong, digest, refusal)
            return refusal
        except ForbiddenError as forbidden:
            refusal = Refusal(403, "insufficient_scope", str(forbidden), now + REMEMBER_WRONG_S)
            _remember(self._wrong, digest, refusal)
            return refusal
        if len(found.lines) <= _MAX_LINES:
            _remember(self._known, digest, found)
        return found

    def _verify(self, token: bytes, context: RequestContext) -> Verified:
        epoch_s = context.epoch()
        claims, ends = self._verifier.verify(token, epoch_s)
        lines = b""
        for claim, name in self._lines:
            text = field_text(claims.get(claim))
            if text:
                lines += name + text + b"\r\n"
        counted = {claim: claim_key(claims.get(claim)) for claim in self._counted}
        identity = Identity(user_name(claims.get("sub")), counted)
        return Verified(context.now + min(REMEMBER_S, ends - epoch_s), lines, identity, self._version)

    def _refuse(self, status: int, error: str, detail: str) -> Reply:
        if status == 503:
            return Reply(503, Why.AUTH_UNAVAILABLE, detail, b"Retry-After: 1\r\n")
        challenge = self._challenge + (f', error="{error}"'.encode() if error else b"") + b"\r\n"
        return Reply(status, Why.UNAUTHORIZED, detail, challenge)


Remembers = TypeVar("Remembers")


def _remember(those: dict[bytes, Remembers], digest: bytes, what: Remembers) -> None:
    """Remember one more, of a bounded number: the oldest goes."""
    those.pop(digest, None)
    if len(those) >= MAX_REMEMBERED:
        del those[next(iter(those))]
    those[digest] = what


def jwt_stage(route: RouteConfig, environment: StageEnvironment) -> JwtStage | None:
    """None where no token is asked for."""
    settings = route.security.jwt
    if not settings.enabled:
        return None
    counted = tuple(key.partition(":")[2] for key in route.rate_limit.key if key.startswith("jwt:"))
    source = settings.jwks_source
    return JwtStage(settings, counted, None if source is None else environment.key_set(source), environment.clock)
