"""When a worker's garbage collector runs: over young objects often and briefly, over all of them when nobody waits.

What requests and connections leave is freed at once, by its count of references (tests/proxy/test_garbage.py), so that the
collector finds next to nothing. Yet Python runs it over all that lives when enough has survived, and connections that come and
go are such: with 10,000 open, each run holds the loop for some milliseconds, and is a request's p99.9. So those runs are left
to a timer here: in a quiet moment, or, where there is none, so seldom that they take a thousandth of the time. Quiet is a
moment without requests; and, as TCP sessions and tunnels stay open for hours, one in which those that are open move next to
nothing, which only the CPU time of the loop tells at once: their bytes are counted late.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Sequence
from time import monotonic, thread_time
from typing import Final

from balance.model import Why
from balance.runtime import counters

LOOK_S: Final = 0.25  # also how long there have been no requests when the moment is called quiet
SESSIONS_AFTER: Final = 40  # looks without a beginning or an end: what is open is no request, or waits like a session
IDLE_S: Final = 0.01 * LOOK_S  # of CPU from look to look: the ticks of a worker take less, a stream of 1 MB a look more
QUIET_REST_S: Final = 10.0  # between two runs, where there are quiet moments
BUSY_REST_S: Final = 60.0  # where there are none
SHARE: Final = 1000  # and of all time a run takes one part in so many

YOUNG: Final = 2000  # new objects, less those freed, after which the young ones are looked through: 0.1 ms
MIDDLE: Final = 10  # runs over the young ones, after which their survivors are: 1 ms
NEVER_BY_ITSELF: Final = 1 << 30


class Collector:
    """The collector of this process, while a worker serves with these cells of its row."""

    __slots__ = (
        "_cells",
        "_cpu_s",
        "_done",
        "_due_busy",
        "_due_quiet",
        "_loop",
        "_moved",
        "_open",
        "_runs",
        "_still",
        "_used_s",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, cells: Sequence[int], cpu_s: Callable[[], float] = thread_time) -> None:
        """`cpu_s`: the CPU time that the loop's thread has used."""
        self._loop = loop
        self._cells = cells
        self._cpu_s = cpu_s
        self._done = self._open = self._moved = 0  # at the last look: see _ended(), what was open, bytes of sessions
        self._still = 0  # looks since one of the first two has changed
        self._used_s = 0.0
        self._runs = 0  # over the middle generation, at the last run over all
        self._due_quiet = self._due_busy = 0.0

    def begin(self) -> None:
        """All that is here is to stay: it is left out from now on. Later runs over all objects come from the timer."""
        gc.freeze()
        gc.set_threshold(YOUNG, MIDDLE, NEVER_BY_ITSELF)
        self._rest(monotonic(), 0.0)
        self._look()

    def _look(self) -> None:
        now = monotonic()
        if self.is_due(now, is_quiet=self._is_quiet(), runs=_middle_runs()):
            gc.collect()
            self._runs = _middle_runs()
            after = monotonic()
            self._rest(after, after - now)
            self._used_s = self._cpu_s()
        self._loop.call_later(LOOK_S, self._look)

    def _is_quiet(self) -> bool:
        """Whether nobody has waited since the last look, nor does now."""
        cells = self._cells
        ended, open_now, used_s = self._ended(), cells[counters.EXCHANGES_OPEN], self._cpu_s()
        moved = cells[counters.BYTES_IN] + cells[counters.BYTES_OUT]
        is_still, is_idle = (ended, open_now) == (self._done, self._open), used_s - self._used_s < IDLE_S
        is_silent = ended == self._done and moved == self._moved
        self._still = self._still + 1 if is_still else 0
        self._done, self._open, self._moved, self._used_s = ended, open_now, moved, used_s
        return is_idle and self._still >= SESSIONS_AFTER if open_now else is_silent

    def is_due(self, now: float, *, is_quiet: bool, runs: int) -> bool:
        """Whether to look through all objects now. `runs` are those over the middle generation so far: as long as there are
        no more of them, nothing has become old.
        """
        return runs != self._runs and now >= (self._due_quiet if is_quiet else self._due_busy)

    def _rest(self, now: float, took_s: float) -> None:
        self._due_quiet = now + max(QUIET_REST_S, SHARE * took_s)
        self._due_busy = now + max(BUSY_REST_S, SHARE * took_s)

    def _ended(self) -> int:
        """Changes with each request that ends well, each session, and each connection that begins."""
        return self._cells[counters.WHY + Why.OK] + self._cells[counters.CONNECTIONS]


def _middle_runs() -> int:
    return int(gc.get_stats()[1]["collections"])
