"""What every balancing algorithm is: numbers in, an index out. Blind to health, names and sockets."""

from __future__ import annotations

import enum
from collections.abc import Callable, Collection, Sequence
from typing import Protocol

from balance.load import Load

NOBODY = -1  # pick() found no backend that is not to be avoided


class Needs(enum.Flag):
    """What a policy must be given to do its work; what none of a process's policies needs costs it nothing."""

    NOTHING = 0
    KEY = enum.auto()  # a key to hash
    OUTCOMES = enum.auto()  # Load.note() for every answer
    LATENCY = enum.auto()  # Load.learn() instead, which does more
    ELSEWHERE = enum.auto()  # Load.elsewhere, kept fresh


class Policy(Protocol):
    """One algorithm over one ready set. `rand` returns a float in [0, 1), so that tests and simulations choose it."""

    needs: Needs

    def __init__(self, rand: Callable[[], float]) -> None: ...

    def rebuild(self, loads: Sequence[Load], members: Sequence[Load] = ()) -> None:
        """The ready set is now `loads`; indices returned by pick() are into it. The Load objects stay live.

        `members` are all that may ever be ready, `loads` when left out. Only who lays a table looks at them: over the members,
        so that a backend that comes and goes moves no key but its own.
        """

    def pick(self, key: bytes, avoid: Collection[int], now: float) -> int:
        """The index of the backend to use, not in `avoid`, or NOBODY. `now` is in seconds, monotonic.

        Without a key (it is empty) a policy that hashes leaves the choice to chance.
        """
