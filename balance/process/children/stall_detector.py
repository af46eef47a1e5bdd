"""Whether a worker still turns, judged by what it writes on the board; decides only who is stuck, not what follows.

A worker that hangs keeps its socket, and the kernel goes on giving it its share of the connections: worse than none.
Looks are counted, not seconds, so that a machine which slept or a group of processes that was stopped as a whole (Ctrl-Z)
does not wake up to find everybody dead.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

T = TypeVar("T")

LOOK_S = 1.0
LOOKS = 10  # a worker beats twenty times between two looks


class StallDetector:
    """One look after the other at the beats of all workers."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[Any, tuple[int, int]] = {}  # the last beat, and for how many looks it has not moved

    def stuck(self, beats: Mapping[T, int]) -> list[T]:
        """Take one look; returns those whose beat has not moved for LOOKS looks, each once."""
        found = []
        known, self._known = self._known, {}
        for who, beat in beats.items():
            last, silent = known.get(who, (-1, 0))
            silent = silent + 1 if beat == last else 0
            if silent >= LOOKS:
                silent = 0
                found.append(who)
            self._known[who] = (beat, silent)
        return found
