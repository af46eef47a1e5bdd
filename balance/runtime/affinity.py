"""What keeps a client's requests together: the first is chosen for as ever, the others go where it went.

A session stays while its backend drains. It moves, by a new choice, when the backend is dead, ejected, taken out or its breaker
is not closed; and not when it is only full: then this one request goes elsewhere, or waits.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import final

from balance.config.model import HashKey, PoolConfig
from balance.health.circuit_breaker import BreakerState
from balance.health.states import State
from balance.http1.hash_key import SESSION_SEPARATOR, KeyExtractor, key_extractor, session_cache_key, session_extractor
from balance.http1.head import RequestFields
from balance.runtime import counters
from balance.runtime.backend import Backend
from balance.runtime.health_gate import Shared
from balance.runtime.sessions import Sessions
from balance.runtime.tokens import Tokens


@final
class SessionLookup:
    """What a pool with affinity is asked with in a key's place: the policy's key of one request, and its session."""

    __slots__ = ("is_known", "is_moved", "key", "session")

    def __init__(self, key: bytes, session: bytes) -> None:
        self.key = key
        self.session = session
        self.is_known = False  # it showed a session that is ours
        self.is_moved = True  # the session is not where it was, or it is new

    @classmethod
    def unmoved(cls) -> SessionLookup:
        """One whose session stays where it was."""
        lookup = cls(b"", b"")
        lookup.is_known, lookup.is_moved = True, False
        return lookup


LookupExtractor = Callable[[RequestFields, bytes, str], bytes | SessionLookup]  # a KeyExtractor, or one that finds sessions too


class Affinity:
    """Of one pool: where its sessions are. The client's cookie says it by one of the `tokens`, or a table of ours."""

    __slots__ = ("_row", "_session_of", "_sessions", "by_token", "note", "tokens")

    def __init__(self, config: PoolConfig, backends: Sequence[Backend], row: counters.Row, shared: Shared) -> None:
        affinity = config.affinity
        self._row = row
        self.tokens: Tokens | None = None
        self.by_token: Mapping[bytes, Backend] = {}  # by token
        self.note = session_cache_key(affinity.cookie.name)
        self._sessions: Sessions | None = None
        if affinity.mode == "cookie":
            self.tokens = Tokens(affinity.secret.encode() or shared.session_key, config.name, backends)
            self.by_token = self.tokens.backends
            self._session_of = session_extractor(affinity.cookie.name, self.by_token)
        else:
            table = shared.sessions
            self._sessions = Sessions(table, len(table), shared.session_key, config.name, backends, affinity.ttl_s)
            self._session_of = key_extractor(HashKey(affinity.mode, affinity.header if affinity.mode == "header" else ""))

    def lookups(self, policy_key_of: KeyExtractor | None) -> LookupExtractor:
        """A key extractor that finds the session as well. An exchange hands the result to the pool unread."""
        session_extractor = self._session_of

        def lookup(fields: RequestFields, target: bytes, address: str) -> SessionLookup:
            key = b"" if policy_key_of is None else policy_key_of(fields, target, address)
            return SessionLookup(key, session_extractor(fields, target, address))

        return lookup

    def find(self, lookup: SessionLookup, now: float, avoid: Collection[Backend], is_last_resort: bool) -> Backend | None:
        """The backend where the session is, None when it has none or can't stay there. Where nobody is as any other
        (`is_last_resort`) elsewhere is no better.
        """
        if self._sessions is not None:
            bound = self._sessions.find(lookup.session, now)
        else:
            by_token = self.by_token
            bound = by_token.get(lookup.session)
            if bound is None and SESSION_SEPARATOR in lookup.session:
                bound = _one_of([by_token[token] for token in lookup.session.split(SESSION_SEPARATOR)], avoid)
        lookup.is_known = bound is not None
        lookup.is_moved = True
        if bound is None or bound in avoid:
            return None
        if (bound.is_ready and (bound.gate is None or is_last_resort)) or keeps(bound):
            lookup.is_moved = False
            return bound
        return None

    def remember(self, lookup: SessionLookup, backend: Backend, now: float) -> None:
        """That backend was chosen: from now on a session that had none, or could not stay, is there."""
        if self._sessions is not None and lookup.is_moved and lookup.session:
            self._sessions.keep(lookup.session, backend, now)
            if not lookup.is_known:
                self._row.cells[backend.block + counters.SESSIONS] += 1


def _one_of(candidates: list[Backend], avoid: Collection[Backend]) -> Backend:
    """Of the backends that a client's cookies name the first where sessions stay; the first of all when there is none."""
    return next((backend for backend in candidates if keeps(backend) and backend not in avoid), candidates[0])


def keeps(backend: Backend) -> bool:
    """Whether sessions of that backend stay there."""
    if backend.phase is not BreakerState.CLOSED or backend.state is State.RETURNING:
        return False
    return backend.is_ready or backend.state is State.DRAINING
