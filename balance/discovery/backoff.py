"""The pauses of a source that can't ask: growing, never the same for two balancers that lost the same server at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

FIRST_S: Final = 0.5
MAX_S: Final = 30.0


class Backoff:
    """`rand` gives numbers in [0, 1)."""

    __slots__ = ("_first_s", "_rand", "failures")

    def __init__(self, rand: Callable[[], float], first_s: float = FIRST_S) -> None:
        self._rand = rand
        self._first_s = first_s
        self.failures = 0  # in a row

    def next_s(self) -> float:
        """The pause after one more failure: doubling, with jitter over its upper half."""
        pause = min(self._first_s * 2.0 ** min(self.failures, 16), MAX_S)
        self.failures += 1
        return pause * (0.5 + 0.5 * self._rand())

    def reset(self) -> None:
        """It works again."""
        self.failures = 0
