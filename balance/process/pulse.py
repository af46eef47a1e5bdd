"""Whether a worker still turns, judged by what it writes on the board; decides only who is stuck, not what follows.

A worker that hangs keeps its socket, and the kernel goes on giving it its share of the connections: worse than none.
Looks are counted, not seconds, so that a machine which slept or a group of processes that was stopped as a whole (Ctrl-Z)
does not wake up to find everybody dead.
"""

from __future__ import annotations

from collections.abc import Sequence

LOOK_S = 1.0
LOOKS = 10  # a worker beats twenty times between two looks


class Pulse:
    """One look after the other at the beats of all workers."""

    __slots__ = ("_last", "_silent")

    def __init__(self, workers: int) -> None:
        self._last = [-1] * workers
        self._silent = [0] * workers

    def stuck(self, beats: Sequence[int]) -> list[int]:
        """Take one look; returns the slots whose beat has not moved for LOOKS looks, each once."""
        found = []
        for slot, beat in enumerate(beats):
            if beat != self._last[slot]:
                self._last[slot] = beat
                self._silent[slot] = 0
                continue
            self._silent[slot] += 1
            if self._silent[slot] >= LOOKS:
                self._silent[slot] = 0
                found.append(slot)
        return found
