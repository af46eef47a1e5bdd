"""What is asked of each request that is else settled: whether it is within a limit, whether its token is still good.

A request's lines may settle what all stages of its route do but one thing that changes with time or with what was counted.
"""

from __future__ import annotations

from typing import Protocol


class Tally(Protocol):
    """One such question. The one that counts is asked last: what it has counted can't be taken back."""

    @property
    def counts(self) -> bool:
        """Whether the answer changes something."""
        ...

    def admit(self, address: str, now: float) -> bytes | None:
        """The lines for the reply to a request from there; None where on_request has to say what becomes of it.

        `now` is in seconds, monotonic.
        """
        ...


class BothTallies:
    """Two questions as one."""

    __slots__ = ("_first", "_last", "counts")

    def __init__(self, first: Tally, last: Tally) -> None:
        self._first = first
        self._last = last
        self.counts = last.counts

    def admit(self, address: str, now: float) -> bytes | None:
        lines = self._first.admit(address, now)
        if lines is None:
            return None
        more = self._last.admit(address, now)
        return None if more is None else lines + more


def joined(one: Tally, other: Tally | None) -> Tally | None:
    """Both, the one that counts last; None where that can't be."""
    if other is None or (one.counts and other.counts):
        return None
    return BothTallies(other, one) if one.counts else BothTallies(one, other)
