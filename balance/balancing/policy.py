"""The interface of balancing algorithms: chooses an index by the loads of the ready backends."""

from __future__ import annotations

import enum
from abc import abstractmethod
from collections.abc import Callable, Collection, Sequence
from typing import Final

from balance.load import Load

NO_BACKEND: Final = -1  # pick(): every backend is in `avoid`, or there is none


class Needs(enum.Flag):
    """The inputs that a policy needs; what no policy of a process needs is not computed."""

    NOTHING = 0
    KEY = enum.auto()  # a key to hash
    OUTCOMES = enum.auto()  # Load.record_outcome() for every request
    LATENCY = enum.auto()  # Load.record_latency() instead, which includes it
    ACTIVE_ELSEWHERE = enum.auto()  # Load.elsewhere, kept fresh


class Policy:
    """One algorithm for one pool, abstract. `rand` returns a float in [0, 1); tests and simulations pass their own."""

    __slots__ = ("_rand", "needs")

    def __init__(self, rand: Callable[[], float], needs: Needs = Needs.NOTHING) -> None:
        self._rand = rand
        self.needs = needs

    @abstractmethod
    def rebuild(self, loads: Sequence[Load], members: Sequence[Load] = ()) -> None:
        """Set the ready backends; pick() returns indices into `loads`. The Load objects keep changing.

        `members` are all backends of the pool, `loads` when omitted. Hashing policies build their tables over them, so that a
        backend that goes down moves only its own keys.
        """

    @abstractmethod
    def pick(self, key: bytes, avoid: Collection[int], now: float) -> int:
        """The index of the chosen backend, not in `avoid`, or NO_BACKEND. `now` is in seconds, monotonic.

        With an empty key, hashing policies choose at random.
        """
