"""What every balancing algorithm is: numbers in, an index out. Blind to health, names and sockets."""

from __future__ import annotations

import enum
from collections.abc import Callable, Collection, Sequence
from typing import Protocol

from balance.load import Load

NOBODY = -1  # pick() found no backend that is not to be avoided


class Needs(enum.Flag):
    """What a policy must be given to do its work; `build()` refuses what a listener cannot give."""

    NOTHING = 0
    KEY = enum.auto()  # a key to hash


class Policy(Protocol):
    """One algorithm over one ready set. `rand` returns a float in [0, 1), so that tests and simulations choose it."""

    needs: Needs

    def __init__(self, rand: Callable[[], float]) -> None: ...

    def rebuild(self, loads: Sequence[Load]) -> None:
        """The ready set is now `loads`; indices returned by pick() are into it. The Load objects stay live."""

    def pick(self, key: bytes, avoid: Collection[int], now: float) -> int:
        """The index of the backend to use, not in `avoid`, or NOBODY. `now` is in seconds, monotonic."""
