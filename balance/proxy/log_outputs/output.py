"""What the access log asks of its output, and what an output that fails says: once, and once that it works again."""

from __future__ import annotations

import logging
import time
from typing import Final, Protocol

SAY_EVERY_S: Final = 10.0  # an output that fails and works in turns is not told of more often

log: Final = logging.getLogger("balance.worker")


class Output(Protocol):
    """Takes lines. All but `longest` belongs to the log's thread, and may block it."""

    @property
    def longest(self) -> int:
        """The most bytes of a line, its end included; lines that are longer are shortened."""

    def write(self, lines: str) -> int:
        """Write lines, each with its end. Returns how many were lost."""

    def hurry(self) -> None:
        """From another thread: the log is left, so do not wait for a receiver that is away."""

    def close(self) -> None:
        """No more lines come."""


class OutputTrouble:
    """Counts and tells of the trouble of one output."""

    __slots__ = ("_is_failing", "_is_said", "_lost", "_say_at", "_what")

    def __init__(self, what: str) -> None:
        """`what` names the log in messages."""
        self._what = what
        self._is_failing = self._is_said = False
        self._say_at = 0.0
        self._lost = 0

    def failed(self, reason: str, lost: int) -> None:
        """Lines were lost, or can't be written now."""
        self._lost += lost
        if self._is_failing:
            return
        self._is_failing = True
        now = time.monotonic()
        if now >= self._say_at:
            self._say_at = now + SAY_EVERY_S
            self._is_said = True
            log.warning("%s: %s; traffic goes on, and lines that are lost are counted", self._what, reason)

    def works(self) -> None:
        """Lines were taken."""
        if not self._is_failing:
            return
        self._is_failing = False
        if self._is_said:
            self._is_said = False
            log.warning("%s is written again; %d lines were lost", self._what, self._lost)
            self._lost = 0
