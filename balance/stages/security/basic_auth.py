"""The stage of a route that asks for a user and a password (RFC 7617).

Passwords are verified off the loop. An unknown user costs the same hash as a known one, so that time tells nobody who is there.
What was right is remembered for a while; what was wrong is not, and guesses are bounded: a few at once for each client address,
and as many as the worker's threads take for all.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from balance.config.route_model import RouteConfig
from balance.http1.hash_key import source_key
from balance.model import Why
from balance.security.credentials import Remembered, basic
from balance.security.password_hash import PasswordHash
from balance.security.settings import BasicAuth
from balance.stages.request_context import RequestContext
from balance.stages.security.client_fields import spellings
from balance.stages.security.identity import Identity
from balance.stages.stage import Reply, Stage, Wait

MAX_REMEMBERED: Final = 4096
MAX_OF_ONE_ADDRESS: Final = 8  # verifications at once
TIMEOUT_S: Final = 10.0
_WRONG: Final = Reply(401, Why.UNAUTHORIZED, "user and password are needed")
_BUSY: Final = Reply(503, Why.AUTH_UNAVAILABLE, "too many passwords are being verified")
_AUTHORIZATION: Final = b"authorization"


def _verify(hashed: PasswordHash, password: bytes, is_known: bool) -> bool:
    """Off the loop."""
    return hashed.verify(password) and is_known


class _Verification:
    """One that is under way, and the requests that wait for it: a browser sends several with the same password."""

    __slots__ = ("address", "waiting")

    def __init__(self, address: bytes) -> None:
        self.address = address
        self.waiting: list[RequestContext] = []


class BasicAuthStage(Stage):
    """Basic authentication of one route."""

    __slots__ = ("_by_address", "_challenge", "_decoy", "_forwards", "_header", "_names", "_remember_s", "_remembered",
                 "_under_way", "_users")  # fmt: skip

    def __init__(self, settings: BasicAuth) -> None:
        """ValueError for a hash that is none."""
        self._users = {user: PasswordHash(hashed) for user, hashed in (*settings.users, *settings.htpasswd)}
        # The costliest: an unknown user never costs less than a known one
        self._decoy = max(self._users.values(), key=lambda each: each.cost) if self._users else None
        realm = settings.realm.replace("\\", "\\\\").replace('"', '\\"')
        self._challenge = f'WWW-Authenticate: Basic realm="{realm}", charset="UTF-8"\r\n'.encode("latin-1", "replace")
        self._header = settings.user_header.encode() + b": " if settings.user_header else b""
        self._forwards = settings.forward
        names = set(spellings([settings.user_header] if settings.user_header else []))
        self._names = frozenset(names if self._forwards else names | {_AUTHORIZATION})
        self._remember_s = settings.remember_s
        self._remembered = Remembered(MAX_REMEMBERED)
        self._under_way: dict[bytes, _Verification] = {}
        self._by_address: dict[bytes, int] = {}

    def on_request(self, context: RequestContext) -> Reply | Wait | None:
        given = basic(context.headers(_AUTHORIZATION))
        if given is None or self._decoy is None:
            return self._refuse(context)
        user, password = given
        digest = self._remembered.digest(user.encode(), password)
        if self._remember_s and self._remembered.has(digest, context.now):
            self._identify(context, user)
            return None
        verification = self._under_way.get(digest)
        if verification is None:
            reply = self._begin(context, user, password, digest)
            if reply is not None:
                return reply
            verification = self._under_way[digest]
        verification.waiting.append(context)
        return Wait(TIMEOUT_S, _BUSY)

    def _begin(self, context: RequestContext, user: str, password: bytes, digest: bytes) -> Reply | None:
        address = source_key(context.client)
        known = self._users.get(user)
        hashed = known or self._decoy
        if hashed is None or self._by_address.get(address, 0) >= MAX_OF_ONE_ADDRESS:
            return _BUSY
        until = context.now + self._remember_s
        if not context.off_loop(
            partial(_verify, hashed, password, known is not None), partial(self._done, user, digest, until)
        ):
            return _BUSY
        self._under_way[digest] = _Verification(address)
        self._by_address[address] = self._by_address.get(address, 0) + 1
        return None

    def _done(self, user: str, digest: bytes, until: float, result: object) -> None:
        is_right = result is True
        verification = self._under_way.pop(digest)
        left = self._by_address.pop(verification.address) - 1
        if left:
            self._by_address[verification.address] = left
        if is_right and self._remember_s:
            self._remembered.add(digest, until)
        for context in verification.waiting:
            if is_right:
                self._identify(context, user)
                context.wake(None)
            else:
                context.wake(self._refuse(context))

    def _identify(self, context: RequestContext, user: str) -> None:
        context.identity = Identity(user)
        if self._names:
            context.identify(self, self._names, self._header + user.encode() + b"\r\n" if self._header else b"")

    def _refuse(self, context: RequestContext) -> Reply:
        if self._challenge not in context.reply_lines:
            context.reply_lines += self._challenge
        return _WRONG


def basic_auth_stage(route: RouteConfig, environment: object) -> BasicAuthStage | None:
    """None where nobody is asked."""
    settings = route.security.basic_auth
    return BasicAuthStage(settings) if settings.enabled else None
