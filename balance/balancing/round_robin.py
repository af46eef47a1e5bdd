"""round-robin: each backend in turn, regardless of weights."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from balance.balancing.policy import NO_BACKEND, Policy
from balance.load import Load


class RoundRobin(Policy):
    """Starts at a random backend, so that workers do not all begin with the first one."""

    __slots__ = ("_count", "_next")

    def __init__(self, rand: Callable[[], float]) -> None:
        super().__init__(rand)
        self._count = 0
        self._next = 0

    def rebuild(self, loads: Sequence[Load], members: Sequence[Load] = ()) -> None:
        self._count = len(loads)
        self._next = int(self._rand() * self._count)

    def pick(self, key: bytes, avoid: Collection[int], now: float) -> int:
        count = self._count
        if not avoid and count:  # nearly always; the loop below would do the same
            index = self._next
            self._next = index + 1 if index + 1 < count else 0
            return index
        for _ in range(count):
            index = self._next
            self._next = index + 1 if index + 1 < count else 0
            if index not in avoid:
                return index
        return NO_BACKEND
