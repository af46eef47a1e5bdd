"""A set of backends that can stand in for each other, and the choice among those that are ready."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from balance.balancing import NOBODY, Needs, Policy
from balance.config.model import HashKey
from balance.health.circuit_breaker import BreakerState
from balance.health.failure_statuses import is_good
from balance.health.states import State
from balance.http1.hash_key import key_of
from balance.load import Load
from balance.model import Outcome, Why
from balance.runtime import counters
from balance.runtime.backend import Backend
from balance.runtime.backups import Backups
from balance.runtime.queue import Queue

_OK, _FAILED = Outcome.OK, Outcome.FAILED
_COUNTED = {Outcome.FAILED: counters.FAILURES, Outcome.ABORTED: counters.ABORTED}
_SOURCE_IP = HashKey()


class Lease:
    """One use of a backend, from the choice to the outcome. Released exactly once."""

    __slots__ = ("backend", "row", "started")

    def __init__(self, backend: Backend, row: counters.Row, now: float) -> None:
        self.backend = backend
        self.row: counters.Row | None = row
        self.started = now

    def answered(self, now: float, status: int = 0) -> None:
        """The first byte of an answer came, or in TCP mode the connection: how long that took is learned now.

        For what goes on for long afterwards. Else release() says it all.
        """

    def release(self, outcome: Outcome, now: float, first_byte_s: float | None = None, end: int = 0) -> None:
        """Give the backend back. `now` as for acquire(). RuntimeError when it was given back already.

        `first_byte_s` is what the answer's first byte took, without it the time from acquire() to now. `end` is the status of
        the answer that went to the client, or the Why of a failure; 0 where nothing more is known.
        """
        row = self.row
        if row is None:
            raise RuntimeError(f"lease of {self.backend.name} released twice")
        self.row = None
        backend = self.backend
        backend.load.active -= 1
        if outcome is not _OK:
            row.cells[backend.block + _COUNTED[outcome]] += 1


class WatchedLease(Lease):
    """A lease from whose end the policy learns. Leases of policies that don't care stay as cheap as they are."""

    __slots__ = ("_has_answered",)

    def __init__(self, backend: Backend, row: counters.Row, now: float) -> None:
        self.backend = backend
        self.row = row
        self.started = now
        self._has_answered = False
        peers = backend.load.peers
        if peers is not None:
            peers.active += 1

    def answered(self, now: float, status: int = 0) -> None:
        if not self._has_answered:
            self._has_answered = True
            self._learn(now - self.started, status < 500 or is_good(status), now)

    def release(self, outcome: Outcome, now: float, first_byte_s: float | None = None, end: int = 0) -> None:
        super().release(outcome, now)
        peers = self.backend.load.peers
        if peers is not None:
            peers.active -= 1
        if outcome is _FAILED or (outcome is _OK and not self._has_answered):
            is_well = outcome is _OK and (end < 500 or is_good(end))
            self._learn(now - self.started if first_byte_s is None else first_byte_s, is_well, now)

    def _learn(self, first_byte_s: float, is_well: bool, now: float) -> None:
        self.backend.load.note(is_well, now)


class TimedLease(WatchedLease):
    """And from how long the answer took."""

    __slots__ = ()

    def _learn(self, first_byte_s: float, is_well: bool, now: float) -> None:
        self.backend.load.learn(first_byte_s, is_well, now)


def lease_class(needs: Needs) -> type[Lease]:
    """The cheapest lease that tells a policy what it needs."""
    if Needs.LATENCY in needs:
        return TimedLease
    return WatchedLease if Needs.OUTCOMES in needs else Lease


class Pool:
    """The ready set and its policy. Every change of the ready set is one rebuild().

    `key_of` finds the key to give to acquire() in a request; None when the policy wants none, which is then b"".
    """

    __slots__ = ("_lease", "_policy", "_ready", "_reserve", "_row", "algorithm", "backends", "key_of", "name",
                 "queue")  # fmt: skip

    def __init__(
        self,
        name: str,
        backends: Sequence[Backend],
        algorithm: str,
        policy: Policy,
        row: counters.Row,
        hash_key: HashKey = _SOURCE_IP,
        *,
        reserve: Backups | None = None,
        is_live: bool = True,
    ) -> None:
        """`reserve` has those of the `backends` that are backups, if any are. Not `is_live`: nobody is ready before the first
        rebuild(), which is the caller's to make.
        """
        self.name = name
        self.backends = tuple(backends)
        self.algorithm = algorithm
        self._policy = policy
        self._row = row
        self._lease = lease_class(policy.needs)
        self._reserve = reserve
        self.key_of = key_of(hash_key) if Needs.KEY in policy.needs else None
        self.queue: Queue | None = None  # where requests wait, if backends can be full
        self._ready: tuple[Backend, ...] = ()
        if is_live:
            self.rebuild()

    @property
    def ready(self) -> tuple[Backend, ...]:
        """The backends that may be chosen now, backups last."""
        return self._ready if self._reserve is None else self._ready + self._reserve.ready

    def has_other(self, tried: Collection[Backend]) -> bool:
        """Whether a request that could connect to none of these may still find somebody, by acquire() or by spare()."""
        return any(backend not in tried for backend in self.ready)

    def spare(self, now: float, tried: Collection[Backend]) -> Lease | None:
        """For a request that could connect to none of those that acquire() gave it: to it, nobody else is ready."""
        return None

    @property
    def why_nobody(self) -> Why:
        """What to say when acquire() finds nobody and nobody was tried."""
        return Why.NO_HEALTHY

    def serves_bound(self, backend: Backend) -> bool:
        """Whether a client that is bound to that backend may go on there: also while it drains, as sessions do."""
        if backend not in self.backends or backend.phase is not BreakerState.CLOSED or backend.state is State.RETURNING:
            return False
        return backend.is_ready or backend.state is State.DRAINING

    def acquire_bound(self, backend: Backend, now: float) -> Lease | None:
        """A lease of that one, for a client that is bound to it; None when it is full."""
        backend.load.active += 1
        self._row.cells[backend.block + counters.LEASES] += 1
        return self._lease(backend, self._row, now)

    def may_wait(self, avoid: Collection[Backend]) -> bool:
        """Whether somebody will do for a request that found nobody, but is full."""
        return False

    def ask_again(self) -> None:
        """Requests have been waiting for a while."""

    def tick(self) -> None:
        """Some time has passed, a fraction of a second."""

    def retire(self) -> None:
        """Another pool has taken its place, or none: the board shows nothing more of it. Who waits in its queue may go on."""

    def lay(self, members: Sequence[Load]) -> None:
        """Let the policy do now what takes long, for `members` that stand for the backends as rebuild() will find them."""
        self._policy.rebuild(members, members)

    def rebuild(self) -> None:
        """Read which backends are ready and tell the policy. One without weight is chosen for nothing new, as in HAProxy: to
        the policy it is not there.
        """
        members = [backend for backend in self.backends if backend.load.weight and not backend.is_backup]
        self._ready = tuple([backend for backend in members if backend.is_ready])
        self._policy.rebuild([backend.load for backend in self._ready], [backend.load for backend in members])
        if self._reserve is not None:
            self._reserve.rebuild()

    def set_ready(self, backend: Backend, is_ready: bool) -> bool:
        """Put a backend into the ready set or take it out. True when that changed anything."""
        if backend.is_ready is is_ready:
            return False
        backend.is_ready = is_ready
        self.rebuild()
        return True

    def acquire(self, key: bytes, now: float, avoid: Collection[Backend] = ()) -> Lease | None:
        """Choose a backend that is not in `avoid`, or None when nobody is left. `now`: seconds on a monotonic clock."""
        indices: Collection[int] = ()
        if avoid:
            indices = {index for index, backend in enumerate(self._ready) if backend in avoid}
        index = self._policy.pick(key, indices, now)
        if index != NOBODY:
            backend = self._ready[index]
        elif self._reserve is None or (backup := self._reserve.pick(key, now, avoid)) is None:
            return None
        else:
            backend = backup
        backend.load.active += 1
        self._row.cells[backend.block + counters.LEASES] += 1
        return self._lease(backend, self._row, now)
