"""Session affinity of one pool: the policy chooses a backend for a session's first request, the later ones go to the same.

A session stays while its backend drains. It moves, by a new choice, when the backend is dead, ejected, taken out or its breaker
is not closed. It does not move when the backend is only full: that one request goes elsewhere or waits in the queue.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from balance.config.model import HashKey, PoolConfig
from balance.health.circuit_breaker import BreakerState
from balance.health.states import State
from balance.http1.hash_key import SESSION_SEPARATOR, KeyExtractor, key_extractor, session_cache_key, session_extractor
from balance.http1.head import RequestFields
from balance.runtime import counters
from balance.runtime.backend import Backend
from balance.runtime.health_gate import Shared
from balance.runtime.row import Row
from balance.runtime.sessions.session_lookup import SessionLookup
from balance.runtime.sessions.session_table import Sessions
from balance.runtime.sessions.shared_sessions import SessionIds, SharedSessions
from balance.runtime.sessions.tokens import Tokens

LookupExtractor = Callable[[RequestFields, bytes, str], bytes | SessionLookup]  # a KeyExtractor, or with the session


class Affinity:
    """Finds the backends of one pool's sessions: by one of the `tokens` in the client's cookie, in a table on the board, or by
    an id in the cookie that other machines know as well, `shared`."""

    __slots__ = ("_row", "_session_of", "_sessions", "by_token", "note", "shared", "tokens")

    def __init__(self, config: PoolConfig, backends: Sequence[Backend], row: Row, shared: Shared) -> None:
        affinity = config.affinity
        self._row = row
        self.tokens: Tokens | None = None
        self.by_token: Mapping[bytes, Backend] = {}  # by token
        self.note = session_cache_key(affinity.cookie.name)
        self._sessions: Sessions | None = None
        self.shared: SharedSessions | None = None
        if affinity.mode == "redis":
            table = shared.sessions
            sessions = Sessions(table, len(table), shared.session_key, config.name, backends, affinity.ttl_s)
            self.shared = SharedSessions(sessions, config.name, backends, affinity.ttl_s, lambda: shared.store)
            self._session_of = session_extractor(affinity.cookie.name, SessionIds())
        elif affinity.mode == "cookie":
            self.tokens = Tokens(affinity.secret.encode() or shared.session_key, config.name, backends)
            self.by_token = self.tokens.backends
            self._session_of = session_extractor(affinity.cookie.name, self.by_token)
        else:
            table = shared.sessions
            self._sessions = Sessions(table, len(table), shared.session_key, config.name, backends, affinity.ttl_s)
            self._session_of = key_extractor(HashKey(affinity.mode, affinity.header if affinity.mode == "header" else ""))

    def lookups(self, policy_key_of: KeyExtractor | None) -> LookupExtractor:
        """A key extractor that finds the session as well. An exchange passes the result to the pool without looking at it."""
        session_extractor = self._session_of

        def lookup(fields: RequestFields, target: bytes, address: str) -> SessionLookup:
            key = b"" if policy_key_of is None else policy_key_of(fields, target, address)
            return SessionLookup(key, session_extractor(fields, target, address))

        return lookup

    def find(self, lookup: SessionLookup, now: float, avoid: Collection[Backend], is_last_resort: bool) -> Backend | None:
        """The session's backend; None when it has none, or can't stay there.

        `is_last_resort`: no backend of the pool is free of trials, so a gate does not move the session.
        """
        if self.shared is not None:
            bound = self.shared.find(lookup, now)
        elif self._sessions is not None:
            bound = self._sessions.find(lookup.session, now)
        else:
            by_token = self.by_token
            bound = by_token.get(lookup.session)
            if bound is None and SESSION_SEPARATOR in lookup.session:
                bound = _one_of([by_token[token] for token in lookup.session.split(SESSION_SEPARATOR)], avoid)
        if self.shared is None:
            lookup.is_known = bound is not None
        lookup.is_moved = True
        if bound is None or bound in avoid:
            return None
        if (bound.is_ready and (bound.gate is None or is_last_resort)) or keeps(bound):
            lookup.is_moved = False
            return bound
        return None

    def remember(self, lookup: SessionLookup, backend: Backend, now: float) -> None:
        """Bind the session to the chosen `backend`, when it had none or could not stay at it."""
        if self.shared is not None:
            if lookup.is_moved and self.shared.remember(lookup, backend, now):
                self._row.cells[backend.block + counters.SESSIONS] += 1
        elif self._sessions is not None and lookup.is_moved and lookup.session:
            self._sessions.keep(lookup.session, backend, now)
            if not lookup.is_known:
                self._row.cells[backend.block + counters.SESSIONS] += 1

    def cookie_value(self, lookup: SessionLookup, backend: Backend) -> bytes:
        """What the cookie of a session at `backend` says."""
        return lookup.session if self.tokens is None else self.tokens.token(backend)


def _one_of(candidates: list[Backend], avoid: Collection[Backend]) -> Backend:
    """The first of the backends named by a client's cookies where sessions stay; the first of all when there is none."""
    return next((backend for backend in candidates if keeps(backend) and backend not in avoid), candidates[0])


def keeps(backend: Backend) -> bool:
    """Whether the backend's sessions stay: it is ready or drains, its breaker is closed and it is not returning."""
    if backend.phase is not BreakerState.CLOSED or backend.state is State.RETURNING:
        return False
    return backend.is_ready or backend.state is State.DRAINING
