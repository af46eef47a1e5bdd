"""A pool as some of its requests see it: with another algorithm, or with only some of its backends.

Backends, leases, health, limits, the queue and sessions are the pool's own; only the choice differs. A view is made on the
worker's loop when it is first needed, follows every change of the pool's ready set, and goes when nobody has its holder any
more.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence

from balance.balancing import POLICIES, Policy
from balance.config.model import HashKey
from balance.holder import Holder
from balance.runtime.backend import Backend
from balance.runtime.backups import Backups
from balance.runtime.lease import LeaseTerms
from balance.runtime.pool import Pool


class PoolView(Pool):
    """Use it in place of its pool. The pool rebuilds it; it does not change readiness itself."""

    __slots__ = ("_members",)

    def __init__(
        self,
        pool: Pool,
        algorithm: str,
        policy: Policy,
        hash_key: HashKey,
        *,
        backups: Policy | None = None,
        members: Sequence[Backend] | None = None,
    ) -> None:
        """`backups` chooses among the pool's backups; `members` are the backends to choose from, None for all."""
        super().__init__(
            pool.name,
            pool.backends,
            algorithm,
            policy,
            pool.row,
            hash_key,
            health=pool.health,
            limits=pool.limits,
            affinity=pool.affinity,
            backups=None,
            is_live=False,
        )
        self.record(pool.record_for(policy.needs))
        self._members = None if members is None else frozenset(members)
        if pool.backups is not None and backups is not None:
            self.backups = Backups([backend for backend in pool.backups.backups if self.reaches(backend)], backups)
        self.follow()

    def reaches(self, backend: Backend) -> bool:
        """Whether requests may go to the backend."""
        return self._members is None or backend in self._members

    def keeps_off_ready(self) -> bool:
        """Whether a backend is ready that requests may not go to."""
        return any(backend.is_ready and not self.reaches(backend) for backend in self.backends)

    def kept_away(self) -> list[Backend]:
        return [backend for backend in super().kept_away() if self.reaches(backend)]

    def follow(self) -> None:
        """The pool's ready set has changed."""
        self.choose_from([backend for backend in self.backends if self.reaches(backend)])

    def record(self, terms: LeaseTerms) -> None:
        """From now on leases record this."""
        self._terms = terms


def view_of(pool: Pool, key: Hashable, make: Callable[[Pool], PoolView]) -> Holder[Pool]:
    """The pool's view of this key, which says all that sets it apart from others; made if nobody uses it now."""
    holder = pool.views.get(key)
    if holder is None:
        holder = pool.views[key] = Holder(make(pool))
    return holder


def view_by(pool: Pool, algorithm: str, hash_key: HashKey, rand: Callable[[], float]) -> Holder[Pool]:
    """The pool by another algorithm or key, for routes that have their own."""
    policy = POLICIES[algorithm]

    def make(pool: Pool) -> PoolView:
        backups = policy(rand) if pool.backups is not None else None
        return PoolView(pool, algorithm, policy(rand), hash_key, backups=backups)

    return view_of(pool, (algorithm, hash_key), make)
