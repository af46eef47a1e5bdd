"""A pool's backups: used when no other backend of the pool is ready, or when a request has tried all of those.

The pool's algorithm chooses among the backups. Weight shares, hash tables and panic count the other backends only.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from balance.balancing import NO_BACKEND, Policy
from balance.runtime.backend import Backend


class Backups:
    """The backups of one pool, with their own ready set and policy."""

    __slots__ = ("_policy", "backups", "ready")

    def __init__(self, backups: Sequence[Backend], policy: Policy) -> None:
        self.backups = tuple(backups)
        self._policy = policy
        self.ready: tuple[Backend, ...] = ()  # after the first rebuild()

    def rebuild(self) -> None:
        """Read which backups are ready, and tell the policy."""
        members = [backend for backend in self.backups if backend.load.weight]
        self.ready = tuple([backend for backend in members if backend.is_ready])
        self._policy.rebuild([backend.load for backend in self.ready], [backend.load for backend in members])

    def pick(self, key: bytes, now: float, avoid: Collection[Backend]) -> Backend | None:
        """A ready backup that is not in `avoid`, or None."""
        indices = {index for index, backend in enumerate(self.ready) if backend in avoid}
        index = self._policy.pick(key, indices, now)
        return None if index == NO_BACKEND else self.ready[index]
