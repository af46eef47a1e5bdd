"""Whether a worker still turns, judged by what it writes on the board; decides only who is stuck, not what follows.

A worker that hangs keeps its socket, and the kernel goes on giving it its share of the connections: worse than none.
Looks are counted, not seconds, so that a machine which slept or a group of processes that was stopped as a whole (Ctrl-Z)
does not wake up to find everybody dead.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

T = TypeVar("T")

CHECK_INTERVAL_S = 1.0
MAX_MISSED_CHECKS = 10  # a worker beats twenty times between two looks


class StallDetector:
    """One look after the other at the beats of all workers."""

    __slots__ = ("_last_seen",)

    def __init__(self) -> None:
        self._last_seen: dict[Any, tuple[int, int]] = {}  # the last beat, and for how many looks it has not moved

    def stalled(self, heartbeats: Mapping[T, int]) -> list[T]:
        """Take one look; returns those whose beat has not moved for LOOKS looks, each once."""
        found = []
        known, self._last_seen = self._last_seen, {}
        for who, heartbeat in heartbeats.items():
            last, missed = known.get(who, (-1, 0))
            missed = missed + 1 if heartbeat == last else 0
            if missed >= MAX_MISSED_CHECKS:
                missed = 0
                found.append(who)
            self._last_seen[who] = (heartbeat, missed)
        return found
