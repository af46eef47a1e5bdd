"""When the requests of an open loop are planned, and the timer that says so.

A request is planned for its time whatever became of those before it: a server that stalls is asked on, and what was planned
meanwhile has waited (coordinated omission; wrk#485, vegeta). The event loop's timers know milliseconds alone, so that a timerfd
wakes it; above 5,000 a second the requests of 200 us are planned for their begin.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
from collections.abc import Callable
from functools import cache
from time import monotonic_ns
from typing import Final

NEVER: Final = 1 << 62
LEAST_TICK_NS: Final = 200_000
COARSE_TICK_NS: Final = 1_000_000  # where there is no timerfd
CLOCK_MONOTONIC: Final = 1
TFD_TIMER_ABSTIME: Final = 1


class Schedule:
    """`count` requests, `rate` a second, from `start`. `next_ns` is the next one's time, NEVER after the last."""

    __slots__ = ("_count", "_interval_ns", "_start", "issued", "next_ns", "tick_ns")

    def __init__(self, rate: float, start: int, count: int) -> None:
        self._interval_ns = 1e9 / rate
        self.tick_ns = max(int(self._interval_ns), LEAST_TICK_NS)
        self._start = start
        self._count = count
        self.issued = 0
        self.next_ns = start if count else NEVER

    def take(self) -> int:
        """The planned time of the next request, which is issued with that."""
        planned = self.next_ns
        self.issued += 1
        self.next_ns = self._time(self.issued) if self.issued < self._count else NEVER
        return planned

    def _time(self, number: int) -> int:
        offset = int(number * self._interval_ns)
        if self._interval_ns < LEAST_TICK_NS:
            offset -= offset % self.tick_ns
        return self._start + offset

    def overdue(self, now: int) -> list[int]:
        """The times of all that was planned by `now` and is not issued."""
        times = []
        while self.next_ns <= now:
            times.append(self.take())
        return times


class Ticker:
    """Calls `tick` every `tick_ns` from `start` on; next_at() puts it right where these are not whole nanoseconds."""

    def __init__(self, loop: asyncio.AbstractEventLoop, tick: Callable[[], None], start: int, tick_ns: int) -> None:
        self._loop = loop
        self._tick = tick
        self._tick_ns = tick_ns
        self._timer: asyncio.TimerHandle | None = None
        self._coarse_s = max(tick_ns, COARSE_TICK_NS) / 1e9
        self._fd = timer_fd(start, tick_ns)
        if self._fd is None:
            self._timer = loop.call_later(max(start - monotonic_ns(), 0) / 1e9, self._coarse)
        else:
            loop.add_reader(self._fd, self._fine, self._fd)

    def _fine(self, fd: int) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(fd, 8)
        self._tick()

    def _coarse(self) -> None:
        self._timer = self._loop.call_later(self._coarse_s, self._coarse)
        self._tick()

    def next_at(self, at: int) -> None:
        """The next tick is at that time: ticks of fractions would drift from the schedule, and miss it by one in the end."""
        if self._fd is not None:
            arm(self._fd, at, self._tick_ns)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._fd is not None:
            self._loop.remove_reader(self._fd)
            os.close(self._fd)
            self._fd = None


def timer_fd(start: int, interval_ns: int) -> int | None:
    """A timerfd that is readable at `start` and every so often; None where there is none. (Python has it from 3.13 on.)"""
    libc = _libc()
    if not hasattr(libc, "timerfd_create"):
        return None
    fd: int = libc.timerfd_create(CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
    if fd < 0:
        return None
    if not arm(fd, start, interval_ns):
        os.close(fd)
        return None
    return fd


def arm(fd: int, start: int, interval_ns: int) -> bool:
    """Set a timerfd."""
    spec = (ctypes.c_long * 4)(*divmod(interval_ns, 1_000_000_000), *divmod(max(start, 1), 1_000_000_000))
    return not _libc().timerfd_settime(fd, TFD_TIMER_ABSTIME, ctypes.byref(spec), None)


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
