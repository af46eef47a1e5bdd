"""The sessions of one pool that several machines share: what is known here, when the store is asked, what its failure means.

The session table on the board is the bounded cache in front of the store, for all workers, and the memory that goes on when the
store can't be used. What it says is believed for `FRESH_S`; then the store is asked again, since a message that the session
has moved may have been lost.

Only ids of our own making are taken: one that neither the store nor the table knows is replaced. While the store can't be used
an unknown id is neither taken nor replaced, since its user may be known to the store: a hash of it chooses his backend, the
same on every machine.
"""

from __future__ import annotations

import enum
import re
import secrets
from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Final

from balance.http1.hash_key import SESSION_SEPARATOR
from balance.runtime.backend import Backend
from balance.runtime.sessions.session_lookup import SessionLookup
from balance.runtime.sessions.session_store import NO_ANSWER, Answer, Found, SessionStore
from balance.runtime.sessions.session_table import Sessions

ID_BYTES: Final = 16  # 128 random bits: nobody guesses another's
FRESH_S: Final = 30.0  # a session that has moved is followed everywhere within this time, whatever is lost
EXTENDED_BELOW: Final = 0.9  # of its time to live: a session in use is written ten times in that time, not at each request
MAX_RECENT: Final = 8192  # sessions of one pool in one worker, some 2 MB
MAX_IDS: Final = 4  # of one request, from cookies of other paths or domains

_ID: Final = re.compile(rb"[A-Za-z0-9_-]{22}")


class SessionIds:
    """The container of all texts that may be an id of ours."""

    def __contains__(self, value: object) -> bool:
        return isinstance(value, bytes) and _ID.fullmatch(value) is not None


class Step(enum.Enum):
    """What a request does after ask()."""

    GO_ON = 0  # choose a backend
    WAIT = 1  # until `resume` is called
    DENY = 2  # it needs the store, which can't be used


class SharedSessions:
    """See the module. `now`: seconds, monotonic."""

    __slots__ = ("_backends", "_by_name", "_fresh_s", "_pool", "_recent", "_store_of", "_table", "_ttl_s")

    def __init__(
        self, table: Sessions, pool: str, backends: Sequence[Backend], ttl_s: float, store_of: Callable[[], SessionStore | None]
    ) -> None:
        """`store_of` returns the store of now; None where sessions are kept on this machine alone."""
        self._table = table
        self._pool = pool
        self._backends = tuple(backends)
        self._by_name = {backend.name: backend for backend in backends}
        self._ttl_s = ttl_s
        self._fresh_s = min(FRESH_S, ttl_s / 4)
        self._store_of = store_of
        # What this worker saw in the table, so that busy clients cost no search: (backend, believed until, the flush before)
        self._recent: dict[bytes, tuple[Backend, float, float]] = {}

    def ask(self, lookup: SessionLookup, now: float, resume: Callable[[Step], None]) -> Step:
        """Find the session of a request, asking the store where that is needed.

        WAIT: `resume` is called later, with GO_ON or DENY.
        """
        store = self._store_of()
        if store is None:
            return Step.GO_ON
        lookup.is_asked = True
        recent = self._recent.get(lookup.session)
        # While the store is down no message says that another worker of this machine has moved it: then the table is asked.
        if recent is not None and now < recent[1] and recent[2] == store.flushed_at and store.is_up:
            lookup.bound = recent[0]
            lookup.is_known = True
            return Step.GO_ON
        ids = lookup.session.split(SESSION_SEPARATOR)[:MAX_IDS] if lookup.session else []
        known: tuple[bytes, Backend] | None = None
        for session in ids:
            backend, age_s = self._table.look(session, now)
            if backend is None:
                continue
            if age_s <= self._fresh_s and int(now) - age_s > int(store.flushed_at):
                self._note(session, backend, now + self._fresh_s - age_s, store)
                return _knows(lookup, session, backend)
            if known is None:
                known = session, backend
        lookup.session = b""
        if not store.is_up:
            return self._without_store(lookup, ids, known, store, now)
        if not ids:
            return Step.DENY if store.denies and not store.takes_writes else Step.GO_ON
        store.look_up(ids, self._pool, lambda answer: resume(self._answered(lookup, ids, known, answer, store, now)))
        return Step.WAIT

    def _note(self, session: bytes, backend: Backend, until: float, store: SessionStore) -> None:
        if len(self._recent) >= MAX_RECENT:
            self._recent.clear()
        self._recent[session] = backend, until, store.flushed_at

    def _answered(
        self,
        lookup: SessionLookup,
        ids: list[bytes],
        known: tuple[bytes, Backend] | None,
        answer: Answer,
        store: SessionStore,
        now: float,
    ) -> Step:
        if answer is NO_ANSWER:
            return self._without_store(lookup, ids, known, store, now)
        if answer is None:
            if known is not None:  # made while the store could not be written, or evicted there: it learns it again
                session, backend = known
                self._table.keep(session, backend, now)
                store.keep(session, self._pool, backend.name, self._ttl_s, is_moved=False)
                return _knows(lookup, session, backend)
            if store.takes_writes:
                return Step.GO_ON
            return self._without_store(lookup, ids, None, store, now)  # it may be one that another machine could not write
        return self._found(lookup, answer, store, now)

    def _found(self, lookup: SessionLookup, found: Found, store: SessionStore, now: float) -> Step:
        lookup.session = found.session
        bound = self._by_name.get(found.backend)  # None for one that was renamed or removed: the session moves
        lookup.is_known = True
        lookup.is_elsewhere = not found.backend
        if bound is not None:
            self._table.keep(found.session, bound, now)
            lookup.bound = bound
            if found.expires_in_s < self._ttl_s * EXTENDED_BELOW:
                store.extend(found.session, self._ttl_s)
        return Step.GO_ON

    def _without_store(
        self, lookup: SessionLookup, ids: list[bytes], known: tuple[bytes, Backend] | None, store: SessionStore, now: float
    ) -> Step:
        if store.denies:
            return Step.DENY
        if known is not None:
            session, backend = known
            self._table.find(session, now)
            return _knows(lookup, session, backend)
        if ids:
            lookup.is_foreign = True
            lookup.bound = self._by_hash(ids[0])
        return Step.GO_ON

    def _by_hash(self, session: bytes) -> Backend | None:
        """A backend that may be chosen, the same on all machines with these backends."""
        count = len(self._backends)
        first = int.from_bytes(blake2b(session, digest_size=8).digest(), "big") % count
        for step in range(count):
            backend = self._backends[(first + step) % count]
            if backend.is_ready and backend.gate is None and backend.load.weight and not backend.is_backup:
                return backend
        return None

    def find(self, lookup: SessionLookup, now: float) -> Backend | None:
        """The session's backend, as found by ask(), or where nobody asked, by the table alone."""
        if not lookup.is_asked:
            lookup.is_asked = True
            ids = lookup.session.split(SESSION_SEPARATOR)[:MAX_IDS] if lookup.session else []
            lookup.session = b""
            for session in ids:
                backend = self._table.find(session, now)
                if backend is not None:
                    _knows(lookup, session, backend)
                    break
        return lookup.bound

    def remember(self, lookup: SessionLookup, backend: Backend, now: float) -> bool:
        """Bind the session to its new `backend`. Returns whether the session is new."""
        lookup.is_asked = True
        if lookup.is_foreign:
            lookup.is_moved = False  # no cookie, and nothing to remember
            return False
        is_new = not lookup.session
        if is_new:
            lookup.session = secrets.token_urlsafe(ID_BYTES).encode()
        self._table.keep(lookup.session, backend, now)
        self._recent.pop(lookup.session, None)
        store = self._store_of()
        if store is not None:
            is_moved = not is_new and not lookup.is_elsewhere
            store.keep(lookup.session, self._pool, backend.name, self._ttl_s, is_moved=is_moved)
        lookup.bound = backend
        return is_new or lookup.is_elsewhere

    def moved(self, session: bytes, backend: str, now: float) -> None:
        """Another machine, or another worker, has moved the session."""
        self._recent.pop(session, None)
        known, age_s = self._table.look(session, now)
        if known is None or known.name == backend:
            return
        bound = self._by_name.get(backend)
        if bound is None:
            self._table.forget(session)
        else:
            self._table.keep(session, bound, now - age_s)


def _knows(lookup: SessionLookup, session: bytes, backend: Backend) -> Step:
    lookup.session = session
    lookup.bound = backend
    lookup.is_known = True
    return Step.GO_ON
