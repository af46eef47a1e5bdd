"""What tells the users of a route apart, so that each stays on the side of a canary or split that is his.

Without a key of the file's own it is a random id in a cookie, which is set once, at the first reply, on users of both sides:
were only one side pinned, the others would be judged anew at each page, and all would be over there in the end. One cookie for
all routes of a host, on `/`, so that a page and its scripts are judged alike. It needs no signature: who makes up an id chooses
a side at most, as who deletes the cookie does.
"""

from __future__ import annotations

from typing import Final

from balance.http1.hash_key import source_key
from balance.stages.request_context import RequestContext

COOKIE: Final = b"balance-side"
MAX_AGE_S: Final = 365 * 24 * 3600  # Set-Cookie goes out once; browsers cap it at 400 days (RFC 6265bis section 5.6.1)
_SET: Final = b"Set-Cookie: " + COOKIE + b"="
_WORD: Final = 1 << 32


class UserKey:
    """The key of a user, for a hash."""

    __slots__ = ("_is_sticky", "_kind", "_name")

    def __init__(self, key: str = "", *, is_sticky: bool = True) -> None:
        """`key` is cookie:NAME, header:NAME or client-ip; "" for our own cookie. Not `is_sticky`: no cookie is set."""
        self._kind, _, name = key.partition(":")
        self._name = (name.lower() if self._kind == "header" else name).encode()
        self._is_sticky = is_sticky

    def of(self, context: RequestContext) -> bytes:
        """The key of the request's user; b"" when the request says nothing of him, and he gets no cookie."""
        found = self.in_lines(context)
        if not found and self._kind == "client-ip":
            found = source_key(context.client)
        return found or (self._cookie(context) if self._is_sticky else b"")

    def in_lines(self, context: RequestContext) -> bytes:
        """The key, where it is in the request's field lines; b"" where it is not."""
        kind, found = self._kind, None
        if kind == "client-ip":  # even of a user with our cookie it is the address
            return b""
        if kind == "cookie":
            found = context.cookie(self._name)
        elif kind == "header":
            found = context.header(self._name)
        if not found and self._is_sticky:
            found = context.cookie(COOKIE)
        return found or b""

    def _cookie(self, context: RequestContext) -> bytes:
        """The id in our cookie; a new one is set with the reply."""
        found = context.cookie(COOKIE)
        if found:
            return found
        _, is_set, rest = context.reply_lines.partition(_SET)
        if is_set:  # by the other policy of the route: a split with a canary
            return rest.partition(b";")[0]
        rand = context.rand
        user = b"%08x%08x" % (int(rand() * _WORD), int(rand() * _WORD))
        secure = b"Secure; " if context.scheme == "https" else b""
        context.reply_lines += b"%b%b; Path=/; Max-Age=%d; HttpOnly; %bSameSite=Lax\r\n" % (_SET, user, MAX_AGE_S, secure)
        return user
