"""A set of backends that can stand in for each other, and the choice among those that are ready."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from balance.balancing import NOBODY, Policy
from balance.model import Outcome
from balance.runtime import cells
from balance.runtime.backend import Backend

_FAILED = Outcome.FAILED


class Lease:
    """One use of a backend, from the choice to the outcome. Released exactly once."""

    __slots__ = ("backend", "row", "started")

    def __init__(self, backend: Backend, row: cells.Row, now: float) -> None:
        self.backend = backend
        self.row: cells.Row | None = row
        self.started = now

    def release(self, outcome: Outcome, now: float) -> None:
        """Give the backend back. `now` as for acquire(). RuntimeError when it was given back already."""
        row = self.row
        if row is None:
            raise RuntimeError(f"lease of {self.backend.name} released twice")
        self.row = None
        backend = self.backend
        backend.load.active -= 1
        if outcome is _FAILED:
            row.cells[backend.block + cells.FAILURES] += 1


class Pool:
    """The ready set and its policy. Every change of the ready set is one rebuild()."""

    __slots__ = ("_policy", "_ready", "_row", "algorithm", "backends", "name")

    def __init__(self, name: str, backends: Sequence[Backend], algorithm: str, policy: Policy, row: cells.Row) -> None:
        self.name = name
        self.backends = tuple(backends)
        self.algorithm = algorithm
        self._policy = policy
        self._row = row
        self._ready: tuple[Backend, ...] = ()
        self.rebuild()

    @property
    def ready(self) -> tuple[Backend, ...]:
        """The backends that may be chosen now."""
        return self._ready

    def rebuild(self) -> None:
        """Read which backends are ready and tell the policy."""
        self._ready = tuple(backend for backend in self.backends if backend.is_ready)
        self._policy.rebuild([backend.load for backend in self._ready])

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
        if index == NOBODY:
            return None
        backend = self._ready[index]
        backend.load.active += 1
        self._row.cells[backend.block + cells.LEASES] += 1
        return Lease(backend, self._row, now)
