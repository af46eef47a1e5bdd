"""A pool that keeps a client's requests together: the first is chosen for as ever, the others go where it went.

A session stays while its backend drains. It moves, by a new choice, when the backend is dead, ejected, taken out or its breaker
is not closed; and not when it is only full: then this one request goes elsewhere, or waits.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol, cast

from balance.balancing import Policy
from balance.config.model import HashKey, PoolConfig
from balance.health.circuit_breaker import BreakerState
from balance.health.states import State
from balance.http1.hash_key import BETWEEN, KeyOf, key_of, session_note, session_of
from balance.http1.head import RequestFields
from balance.runtime import counters
from balance.runtime.backend import Backend
from balance.runtime.backups import Backups
from balance.runtime.health_gate import Shared
from balance.runtime.max_connections_pool import LimitedPool
from balance.runtime.pool import Lease
from balance.runtime.sessions import Sessions
from balance.runtime.tokens import Tokens


class Memory(Protocol):
    """Who knows where a session belongs."""

    def find(self, session: bytes, now: float) -> Backend | None: ...
    def keep(self, session: bytes, backend: Backend, now: float) -> None: ...


class Visit:
    """What a sticky pool is asked with in a key's place: the policy's key of one request, and its session."""

    __slots__ = ("is_known", "is_moved", "key", "session")

    def __init__(self, key: bytes, session: bytes) -> None:
        self.key = key
        self.session = session
        self.is_known = False  # it showed a session that is ours
        self.is_moved = True  # the session is not where it was, or it is new

    @classmethod
    def at_home(cls) -> Visit:
        """One whose session stays where it was."""
        visit = cls(b"", b"")
        visit.is_known, visit.is_moved = True, False
        return visit


class StickyPool(LimitedPool):
    """`tokens` is None where Balance itself remembers the sessions."""

    __slots__ = ("_homes", "_memory", "_note", "tokens")

    def __init__(
        self,
        config: PoolConfig,
        backends: Collection[Backend],
        policy: Policy,
        row: counters.Row,
        shared: Shared,
        *,
        reserve: Backups | None = None,
        is_live: bool = True,
    ) -> None:
        super().__init__(config, backends, policy, row, shared, reserve=reserve, is_live=is_live)
        affinity = config.affinity
        self.tokens: Tokens | None = None
        if affinity.mode == "cookie":
            self.tokens = Tokens(affinity.secret.encode() or shared.session_key, config.name, backends)
        table = shared.sessions
        self._memory: Memory = self.tokens or Sessions(
            table, len(table), shared.session_key, config.name, backends, affinity.ttl_s
        )
        self._homes = self.tokens.backends if self.tokens is not None else None  # asked without a call
        self._note = session_note(affinity.cookie.name)
        if self._homes is not None:
            sessions = session_of(affinity.cookie.name, self._homes)
        else:
            sessions = key_of(HashKey(affinity.mode, affinity.header if affinity.mode == "header" else ""))
        self.key_of = _visits(sessions, self.key_of)

    def revisit(self, fields: RequestFields, now: float) -> Lease | None:
        """The lease that acquire() would give, where nothing has to be looked for: a cookie that was seen before in the same
        fields, and a backend that is ready and has room. Nearly every request; None leaves all others to acquire().
        """
        homes, found, queue = self._homes, fields.found, self._queue
        if not homes or not found or (queue.waiters and not queue.is_serving):
            return None
        home = homes.get(found.get(self._note, b""))
        if home is None or not home.is_ready or home.gate is not None or home.load.active >= home.credit:
            return None
        home.load.active += 1  # _lease_of() in line
        self._row.cells[home.block + counters.LEASES] += 1
        return self._lease(home, self._row, now)

    def acquire(self, key: bytes | Visit, now: float, avoid: Collection[Backend] = ()) -> Lease | None:
        if type(key) is not Visit:
            return LimitedPool.acquire(self, key, now, avoid)  # type: ignore[arg-type]
        queue = self._queue
        if queue.waiters and not queue.is_serving and not avoid:
            return None
        visit = key
        if not visit.session:
            return LimitedPool.acquire(self, visit.key, now, avoid)
        homes = self._homes
        home = homes.get(visit.session) if homes is not None else self._memory.find(visit.session, now)
        if home is None and homes is not None and BETWEEN in visit.session:
            home = _one_of([homes[token] for token in visit.session.split(BETWEEN)], avoid)
        visit.is_known = home is not None
        if home is not None and self._keeps(home) and home not in avoid:
            lease = self._lease_of(home, now)
            if self.is_last_resort and home.gate is not None and home.guard is not None and (trial := home.gate.admit(now)):
                home.guard.begin_trial(lease, trial)
            visit.is_moved = False  # also when it is full
            if home.load.active <= home.credit or self._has_room(home):
                return lease
            self._withdraw(lease, now)
            return LimitedPool.acquire(self, visit.key, now, avoid)
        visit.is_moved = True
        found = LimitedPool.acquire(self, visit.key, now, avoid)
        if found is not None and self.tokens is None:
            self._memory.keep(visit.session, found.backend, now)
            if home is None:
                self._row.cells[found.backend.block + counters.SESSIONS] += 1
        return found

    def _keeps(self, home: Backend) -> bool:
        """Whether a session may go on there. Where nobody is as any other, elsewhere is no better."""
        return (home.is_ready and (home.gate is None or self.is_last_resort)) or keeps(home)


def _one_of(homes: list[Backend], avoid: Collection[Backend]) -> Backend:
    """Of the backends that a client's cookies name the first where sessions stay; the first of all when there is none."""
    return next((home for home in homes if keeps(home) and home not in avoid), homes[0])


def keeps(backend: Backend) -> bool:
    """Whether sessions of that backend stay there."""
    if backend.phase is not BreakerState.CLOSED or backend.state is State.RETURNING:
        return False
    return backend.is_ready or backend.state is State.DRAINING


def _visits(session_of: KeyOf, policy_key_of: KeyOf | None) -> KeyOf:
    """The pool finds its own visits where others find a key: whoever carries it does not look at it."""

    def visit(fields: RequestFields, target: bytes, address: str) -> Visit:
        key = b"" if policy_key_of is None else policy_key_of(fields, target, address)
        return Visit(key, session_of(fields, target, address))

    return cast(KeyOf, visit)
