"""When processes of a pool that die are started again: at once, then ever later, and after some in a row not for a long time.

One count for the pool, not for each process: what is wrong with the command is wrong with all of them, and a pool of ten must
not try ten times as often. A process that has served for a while clears it.
"""

from __future__ import annotations

from typing import Final

FIRST_DELAY_S: Final = 1.0
MAX_DELAY_S: Final = 30.0
MAX_CRASHES: Final = 5  # in a row: stopped
STOPPED_S: Final = 600.0  # then one is tried again
STABLE_S: Final = 60.0  # who has served so long has not crashed by its start


class CrashLoop:
    """One pool's."""

    __slots__ = ("crashes", "last", "not_before")

    def __init__(self) -> None:
        self.crashes = 0  # in a row
        self.not_before = 0.0  # nothing is started earlier
        self.last = ""  # how the last one ended

    @property
    def is_stopped(self) -> bool:
        return self.crashes >= MAX_CRASHES

    def crashed(self, how: str, served_s: float, now: float) -> bool:
        """A process has ended that nobody had asked to. Whether that stops the pool's starting, from now on."""
        was_stopped = self.is_stopped
        if served_s >= STABLE_S:
            self.crashes = 0
        self.crashes += 1
        self.last = how
        delay_s = STOPPED_S if self.is_stopped else min(FIRST_DELAY_S * 2 ** (self.crashes - 1), MAX_DELAY_S)
        if self.crashes == 1 and served_s >= STABLE_S:
            delay_s = 0.0
        self.not_before = now + delay_s
        return self.is_stopped and not was_stopped

    def became_stable(self) -> None:
        """A process has served for STABLE_S; said once of each, so that old ones do not hide that new ones crash."""
        if not self.is_stopped:
            self.crashes = 0

    def reset(self) -> None:
        """The command is another one."""
        self.crashes, self.not_before, self.last = 0, 0.0, ""
