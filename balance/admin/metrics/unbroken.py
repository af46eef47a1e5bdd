"""Keeps sums from falling when a part of them goes: a backend that is long gone loses its counters to one that takes its slot.

Prometheus takes a counter that falls for a restart, and what is left for an increase. What was shown of the lost part stays in
the sum instead, as long as the control process lives.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence


class Unbroken:
    """The sums that were shown, by a key of the caller's."""

    __slots__ = ("_kept", "_shown")

    def __init__(self) -> None:
        self._shown: dict[Hashable, int] = {}  # as counted
        self._kept: dict[Hashable, int] = {}  # what is added since parts were lost

    def value(self, key: Hashable, counted: int) -> int:
        """What to show for a sum that is now counted as `counted`."""
        lost = self._shown.get(key, 0) - counted
        self._shown[key] = counted
        if lost > 0:
            self._kept[key] = self._kept.get(key, 0) + lost
        return counted + self._kept.get(key, 0) if self._kept else counted

    def knows(self, key: Hashable) -> bool:
        """Whether it was shown before."""
        return key in self._shown

    def values(self, key: Hashable, counted: Sequence[int]) -> list[int]:
        """The same for several that belong together."""
        return [self.value((key, index), each) for index, each in enumerate(counted)]
