"""When a worker's garbage collector runs: over young objects often and briefly, over all of them when nobody waits.

What requests and connections leave is freed at once, by its count of references (tests/proxy/test_garbage.py), so that the
collector finds next to nothing. Yet Python runs it over all that lives when enough has survived, and connections that come and
go are such: with 10,000 open, each run holds the loop for some milliseconds, and is a request's p99.9. So those runs are left
to a timer here: in a moment without requests, or, where there is none, so seldom that they take a thousandth of the time.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Sequence
from time import monotonic
from typing import Final

from balance.model import Why
from balance.runtime import counters

LOOK_S: Final = 0.25  # also how long there have been no requests when the moment is called quiet
QUIET_REST_S: Final = 10.0  # between two runs, where there are quiet moments
BUSY_REST_S: Final = 60.0  # where there are none
SHARE: Final = 1000  # and of all time a run takes one part in so many

YOUNG: Final = 2000  # new objects, less those freed, after which the young ones are looked through: 0.1 ms
MIDDLE: Final = 10  # runs over the young ones, after which their survivors are: 1 ms
NEVER_BY_ITSELF: Final = 1 << 30


class Collector:
    """The collector of this process, while a worker serves with these cells of its row."""

    __slots__ = ("_cells", "_done", "_due_busy", "_due_quiet", "_loop", "_runs")

    def __init__(self, loop: asyncio.AbstractEventLoop, cells: Sequence[int]) -> None:
        self._loop = loop
        self._cells = cells
        self._done = 0  # what had been done at the last look, see _work()
        self._runs = 0  # over the middle generation, at the last run over all
        self._due_quiet = self._due_busy = 0.0

    def begin(self) -> None:
        """All that is here is to stay: it is left out from now on. Later runs over all objects come from the timer."""
        gc.freeze()
        gc.set_threshold(YOUNG, MIDDLE, NEVER_BY_ITSELF)
        self._rest(monotonic(), 0.0)
        self._look()

    def _look(self) -> None:
        now, work = monotonic(), self._work()
        is_quiet = work == self._done and not self._cells[counters.EXCHANGES_OPEN]
        self._done = work
        if self.is_due(now, is_quiet=is_quiet, runs=_middle_runs()):
            gc.collect()
            self._runs = _middle_runs()
            after = monotonic()
            self._rest(after, after - now)
        self._loop.call_later(LOOK_S, self._look)

    def is_due(self, now: float, *, is_quiet: bool, runs: int) -> bool:
        """Whether to look through all objects now. `runs` are those over the middle generation so far: as long as there are
        no more of them, nothing has become old.
        """
        return runs != self._runs and now >= (self._due_quiet if is_quiet else self._due_busy)

    def _rest(self, now: float, took_s: float) -> None:
        self._due_quiet = now + max(QUIET_REST_S, SHARE * took_s)
        self._due_busy = now + max(BUSY_REST_S, SHARE * took_s)

    def _work(self) -> int:
        cells = self._cells
        return cells[counters.WHY + Why.OK] + cells[counters.CONNECTIONS] + cells[counters.BYTES_IN]


def _middle_runs() -> int:
    return int(gc.get_stats()[1]["collections"])
