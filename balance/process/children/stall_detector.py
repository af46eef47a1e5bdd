"""Detects stalled processes by the heartbeat that they write to shared memory; what follows is the supervisor's decision.

A worker that hangs still gets its share of connections from the kernel (SO_REUSEPORT), so it must be killed. Checks are
counted, not seconds: after a suspend or a stopped process group (Ctrl-Z) nobody is taken for stalled.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

T = TypeVar("T")

CHECK_INTERVAL_S = 1.0
MAX_MISSED_CHECKS = 10  # a worker writes its heartbeat twenty times per check interval


class StallDetector:
    """Compares each heartbeat with the one of the check before."""

    __slots__ = ("_last_seen",)

    def __init__(self) -> None:
        self._last_seen: dict[Any, tuple[int, int]] = {}  # (heartbeat, missed checks)

    def stalled(self, heartbeats: Mapping[T, int]) -> list[T]:
        """Run one check; returns those whose heartbeat has not changed for MAX_MISSED_CHECKS checks, each once."""
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
