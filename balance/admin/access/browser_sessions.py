"""Who is signed in at the dashboard: sessions in this process's memory, with two ends and a bounded number.

A session has two secrets. Its id is in a cookie, which goes with every request to the dashboard's own paths, whoever caused it,
and so lets nobody do more than look. Its key the page keeps to itself and sends with orders. Neither is the token that was
presented, and both die with it: when the token is taken out, with the session, and with this process.
"""

from __future__ import annotations

import hashlib
import secrets
from collections import OrderedDict
from dataclasses import dataclass

from balance.config.model import AdminAuth

IDLE_S = 30 * 60.0
LONGEST_S = 12 * 3600.0
MAX_SESSIONS = 256  # the one that was not used for longest makes room
SECRET_BYTES = 32


@dataclass(slots=True)
class BrowserSession:
    """One session. Times are monotonic."""

    cookie: bytes  # hashes: what is kept in memory opens nothing
    key: bytes
    token: bytes  # the hash of the token that it came from
    name: str
    may_change: bool
    ends_at: float
    used_at: float


class SessionStore:
    """The sessions of one admin server."""

    def __init__(self) -> None:
        self._by_cookie: OrderedDict[bytes, BrowserSession] = OrderedDict()  # the one that was used least lately first
        self._by_key: dict[bytes, BrowserSession] = {}

    def __len__(self) -> int:
        return len(self._by_cookie)

    def create(self, token: bytes, name: str, may_change: bool, now: float) -> tuple[BrowserSession, str, str]:
        """Sign in with a token of that hash. Returns the session, its cookie's value and its key."""
        self._expire(now)
        cookie, key = secrets.token_urlsafe(SECRET_BYTES), secrets.token_urlsafe(SECRET_BYTES)
        session = BrowserSession(_hash(cookie), _hash(key), token, name, may_change, now + LONGEST_S, now)
        while len(self._by_cookie) >= MAX_SESSIONS:
            self.end(next(iter(self._by_cookie.values())))
        self._by_cookie[session.cookie] = self._by_key[session.key] = session
        return session, cookie, key

    def of_cookie(self, value: str, auth: AdminAuth, now: float) -> BrowserSession | None:
        """The session of a cookie, if it is good. This is a use of it."""
        return self._good(self._by_cookie.get(_hash(value)), auth, now)

    def of_key(self, value: str, auth: AdminAuth, now: float) -> BrowserSession | None:
        """The session of a key, likewise."""
        return self._good(self._by_key.get(_hash(value)), auth, now)

    def is_good(self, session: BrowserSession, auth: AdminAuth, now: float) -> bool:
        """Whether it has not ended. This is a use of it."""
        return self._good(self._by_cookie.get(session.cookie), auth, now) is session

    def end(self, session: BrowserSession) -> None:
        """Sign out."""
        self._by_cookie.pop(session.cookie, None)
        self._by_key.pop(session.key, None)

    def _good(self, session: BrowserSession | None, auth: AdminAuth, now: float) -> BrowserSession | None:
        if session is None:
            return None
        tokens = auth.tokens if session.may_change else auth.read_only_tokens
        if now >= min(session.ends_at, session.used_at + IDLE_S) or all(each.token != session.token for each in tokens):
            self.end(session)
            return None
        session.used_at = now
        self._by_cookie.move_to_end(session.cookie)
        return session

    def _expire(self, now: float) -> None:
        for session in list(self._by_cookie.values()):
            if now < session.used_at + IDLE_S and now < session.ends_at:
                break  # the others were used later; what has come to its other end is found when it is used
            self.end(session)


def _hash(secret: str) -> bytes:
    # Looked up by its hash, so that the time that a look-up takes tells nothing about secrets.
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
