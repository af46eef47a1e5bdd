"""A set of backends that can stand in for each other, and the choice among those that are ready.

Health, limits, affinity and backups are layers with their own state, None where the configuration has none. The layers do not
know each other: acquire() consults them in their order of precedence.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Sequence
from typing import Final
from weakref import WeakValueDictionary

from balance.balancing import NO_BACKEND, Needs, Policy
from balance.config.model import HashKey
from balance.holder import Holder
from balance.http1.hash_key import key_extractor
from balance.http1.head import RequestFields
from balance.load import Load
from balance.model import Why
from balance.runtime.backend import Backend
from balance.runtime.backups import Backups
from balance.runtime.lease import Lease, LeaseTerms
from balance.runtime.pool_health import PoolHealth
from balance.runtime.pool_limits import PoolLimits
from balance.runtime.queue import Queue
from balance.runtime.row import Row
from balance.runtime.sessions.affinity import Affinity, LookupExtractor, keeps
from balance.runtime.sessions.session_lookup import SessionLookup

_SOURCE_IP: Final = HashKey()


class Pool:
    """The ready set and its policy. Every change of the ready set is one rebuild().

    `key_of` finds the key for acquire() in a request; None when no key is needed, which is then b"".
    """

    __slots__ = ("_policy", "_ready", "_terms", "affinity", "algorithm", "backends", "backups", "hash_key", "health", "key_of",
                 "limits", "name", "needs", "row", "views")  # fmt: skip

    def __init__(
        self,
        name: str,
        backends: Sequence[Backend],
        algorithm: str,
        policy: Policy,
        row: Row,
        hash_key: HashKey = _SOURCE_IP,
        *,
        health: PoolHealth | None = None,
        limits: PoolLimits | None = None,
        affinity: Affinity | None = None,
        backups: Backups | None = None,
        is_live: bool = True,
    ) -> None:
        """`backups` has those of the `backends` that are backups, if any.

        Not `is_live`: the caller makes the first rebuild(); no backend is ready before it.
        """
        self.name = name
        self.backends = tuple(backends)
        self.algorithm = algorithm
        self.hash_key = hash_key
        self.health = health
        self.limits = limits
        self.affinity = affinity
        self.backups = backups
        self.row = row
        self.views: WeakValueDictionary[Hashable, Holder[Pool]] = WeakValueDictionary()  # those that requests use now
        policy_key_of = key_extractor(hash_key) if Needs.KEY in policy.needs else None
        self.key_of: LookupExtractor | None = policy_key_of
        if affinity is not None:
            self.key_of = affinity.lookups(policy_key_of)
        self._policy = policy
        self.needs = policy.needs  # with those of the views
        self._terms = LeaseTerms(row, policy.needs, is_evidence=health is not None)
        self._ready: tuple[Backend, ...] = ()
        if is_live:
            self.rebuild()

    @property
    def ready(self) -> tuple[Backend, ...]:
        """The backends that may be chosen now, backups last."""
        return self._ready if self.backups is None else self._ready + self.backups.ready

    @property
    def queue(self) -> Queue | None:
        """Where requests wait, if backends can be full."""
        return None if self.limits is None else self.limits.queue

    @property
    def why_nobody(self) -> Why:
        """The Why of a request for which acquire() finds no backend and none was tried."""
        if self.may_wait(()):
            return Why.LIMIT
        return Why.NO_HEALTHY if self.health is None else self.health.why_nobody

    def acquire(self, key: bytes | SessionLookup, now: float, avoid: Collection[Backend] = ()) -> Lease | None:
        """A lease of a backend that is not in `avoid`, or None when there is none. `now`: seconds, monotonic."""
        limits = self.limits
        if limits is not None and not avoid and limits.queue.waiters and not limits.queue.is_serving:
            return None  # new requests do not overtake waiting ones; one that has tried others is older than they are
        lookup: SessionLookup | None = None
        if type(key) is SessionLookup:
            lookup, key = key, key.key
            if (lease := self._lease_of_session(lookup, now, avoid)) is not None:
                return lease
        if avoid or (index := self._policy.pick(key, (), now)) == NO_BACKEND:
            lease = self._choose(key, now, avoid)
            if lease is None:
                return None
            backend = lease.backend
        else:  # the usual case; _choose() inlined
            backend = self._ready[index]
            lease = Lease(backend, self._terms, now)
        if backend.gate is not None or (limits is not None and backend.load.active > backend.credit):
            lease = self._admit(lease, key, now, avoid)
        if lookup is not None and lease is not None and self.affinity is not None:
            self.affinity.remember(lookup, lease.backend, now)
        return lease

    def acquire_by_cookie(self, fields: RequestFields, now: float) -> Lease | None:
        """A fast acquire() for the usual request of a cookie session: its cookie is in the cache of the same fields, and its
        backend is ready and has room. None otherwise: then call acquire().
        """
        affinity, found = self.affinity, fields.cache
        if affinity is None or not affinity.by_token or not found:
            return None
        bound = affinity.by_token.get(found.get(affinity.note, b""))
        if bound is None or not bound.is_ready or bound.gate is not None or bound.load.active >= bound.credit:
            return None
        limits = self.limits
        if limits is not None and limits.queue.waiters and not limits.queue.is_serving:
            return None
        return Lease(bound, self._terms, now)

    def acquire_bound(self, backend: Backend, now: float) -> Lease | None:
        """A lease of `backend` for a client that is bound to it; None when it is full."""
        lease = Lease(backend, self._terms, now)
        if self._has_room(backend):
            return lease
        lease.withdraw(now)
        return None

    def serves_bound(self, backend: Backend) -> bool:
        """Whether a client that is bound to `backend` may go on there; like a session it may, too, while the backend drains."""
        return backend in self.backends and keeps(backend)

    def spare(self, now: float, tried: Collection[Backend]) -> Lease | None:
        """A lease of an untried backend that only an ejection or a breaker keeps away; None when there is none or it is full.

        For a request that could not connect to any backend that acquire() gave it.
        """
        if self.health is None:
            return None
        left = [backend for backend in self.kept_away() if backend not in tried]
        if not left or self.may_wait(tried):
            return None
        lease = self.acquire_bound(min(left, key=lambda backend: (backend.is_backup, backend.load.active)), now)
        if lease is not None:
            self.health.try_anyway(lease, now)
        return lease

    def has_other(self, tried: Collection[Backend]) -> bool:
        """Whether acquire() or spare() may still find a backend for a request that could not connect to any of `tried`."""
        if any(backend not in tried for backend in self.ready):
            return True
        return any(backend not in tried for backend in self.kept_away())

    def kept_away(self) -> list[Backend]:
        """The backends that only an ejection or a breaker keeps from normal use."""
        return [] if self.health is None else self.health.kept_away()

    def may_wait(self, avoid: Collection[Backend]) -> bool:
        """Whether a request for which acquire() found no backend may wait: backends are full, or others wait before it."""
        limits = self.limits
        if limits is None:
            return False
        left = [backend for backend in self._ready if backend not in avoid]
        if not left and self.backups is not None:
            left = [backend for backend in self.backups.ready if backend not in avoid]
        return limits.may_wait(left, avoid, self.health is not None and self.health.is_last_resort)

    def ask_again(self) -> None:
        """Called while requests wait: ask the other workers for permits once more."""
        if self.limits is not None:
            self.limits.ask_again()

    def tick(self) -> None:
        """Called by a timer a few times a second."""
        if self.limits is not None:
            self.limits.tick()

    def retire(self) -> None:
        """The pool was replaced or removed: clear its gauges on the board. Requests in its queue may still be served."""
        if self.limits is not None:
            self.limits.retire()

    def prebuild(self, members: Sequence[Load]) -> None:
        """Let the policy build its tables now, which may take long, for `members` equal to those of the next rebuild()."""
        self._policy.rebuild(members, members)

    def rebuild(self) -> None:
        """Read which backends are ready and tell the policy, from which those of weight 0 are left out.

        As in HAProxy, a backend of weight 0 gets nothing new.
        """
        if self.limits is not None:
            self.limits.rebuild()
        if self.health is not None:
            self.health.rebuild()
        else:
            for backend in self.backends:  # a backend may have been in a pool with health before
                backend.gate = backend.slow_start = None
        self.choose_from(self.backends)
        for view in self.views.values():
            view.held.follow()
        if self.limits is not None:
            self.limits.wake()

    def choose_from(self, backends: Sequence[Backend]) -> None:
        """Tell the policy which of these `backends` are ready."""
        members = [backend for backend in backends if backend.load.weight and not backend.is_backup]
        self._ready = tuple([backend for backend in members if backend.is_ready])
        self._policy.rebuild([backend.load for backend in self._ready], [backend.load for backend in members])
        if self.backups is not None:
            self.backups.rebuild()

    def record_for(self, needs: Needs) -> LeaseTerms:
        """The terms of all leases of these backends from now on, with what a view needs.

        A policy that saw the outcomes of some requests only would take a backend's other load for slowness.
        """
        if (self.needs | needs) != self.needs:
            self.needs |= needs
            self._terms = LeaseTerms(self.row, self.needs, is_evidence=self.health is not None)
            for view in self.views.values():
                view.held.record(self._terms)
        return self._terms

    def follow(self) -> None:
        """Of a view: its pool's ready set has changed."""

    def record(self, terms: LeaseTerms) -> None:
        """Of a view: from now on leases record this."""

    def set_ready(self, backend: Backend, is_ready: bool) -> bool:
        """Put a backend into the ready set or take it out. True when it was not so before."""
        if backend.is_ready is is_ready:
            return False
        backend.is_ready = is_ready
        self.rebuild()
        return True

    def _choose(self, key: bytes, now: float, avoid: Collection[Backend]) -> Lease | None:
        """A lease of the policy's choice, or of a backup when no other backend is left."""
        indices = {index for index, backend in enumerate(self._ready) if backend in avoid} if avoid else ()
        index = self._policy.pick(key, indices, now)
        if index != NO_BACKEND:
            return Lease(self._ready[index], self._terms, now)
        backup = self.backups.pick(key, now, avoid) if self.backups is not None else None
        return Lease(backup, self._terms, now) if backup is not None else None

    def _lease_of_session(self, lookup: SessionLookup, now: float, avoid: Collection[Backend]) -> Lease | None:
        """A lease of the session's backend. None when it has none, moves, or its backend is full."""
        affinity = self.affinity
        if affinity is None or not (lookup.session or lookup.bound):
            return None
        health = self.health
        is_last_resort = health is not None and health.is_last_resort
        bound = affinity.find(lookup, now, avoid, is_last_resort)
        if bound is None:
            return None
        lease = self.acquire_bound(bound, now)
        if lease is None or not is_last_resort or bound.gate is None or bound.health is None:
            return lease
        if trial := bound.gate.admit(now):
            bound.health.begin_trial(lease, trial)
        return lease

    def _admit(self, lease: Lease | None, key: bytes, now: float, avoid: Collection[Backend]) -> Lease | None:
        """The chosen backend has a gate, or may be full: keep the lease if both let it pass, else choose another backend.

        A backend that only slow start turned away is used after all when no other is left.
        """
        turned_away = list(avoid)
        spared: Backend | None = None
        no_case_for_backups = False
        while lease is not None:
            backend = lease.backend
            if not self._has_room(backend):
                no_case_for_backups |= not backend.is_backup  # a full backend is ready
            else:
                gate = backend.gate
                if gate is None or (spared is not None and gate is backend.slow_start):
                    return lease  # the second one in slow start: not worth another choice
                trial = gate.admit(now)
                if trial is not None:
                    if trial and backend.health is not None:
                        backend.health.begin_trial(lease, trial)
                    return lease
                if gate is backend.slow_start:
                    spared = backend
                    no_case_for_backups |= not backend.is_backup  # so is one in slow start
            lease.withdraw(now)
            turned_away.append(backend)
            lease = self._choose(key, now, turned_away)
            if lease is not None and lease.backend.is_backup and no_case_for_backups:
                lease.withdraw(now)
                break
        # No other backend is left, so slow start gives way rather than refuse the request. The backend may be full by now: its
        # permit may have gone to another worker when the lease was withdrawn.
        return self.acquire_bound(spared, now) if spared is not None else None

    def _has_room(self, backend: Backend) -> bool:
        """Whether the lease that was counted last is within the backend's limit."""
        return self.limits is None or self.limits.has_room(backend)
