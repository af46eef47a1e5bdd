"""What a pool's load is, from counters that only grow: requests in an interval, those under way on average, their latency.

Counters are per backend slot, so that a backend that comes or goes is no jump. A backend that is seen for the first time counts
from there on. Nothing is known (None) before two looks, and of a latency while requests are under way and none has ended: a
pool whose backends hang has no good latency.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

MAX_STRETCH: Final = 4.0  # intervals; what was counted over longer says little about one, and is not told


class Counters(NamedTuple):
    """Of one backend, over all workers, since the start."""

    begun: int  # requests or TCP sessions that got the backend
    ended: int  # those whose time was taken
    time_us: int  # how long these took together
    active: int  # now under way
    waiting: int = 0  # now in the pool's queue


@dataclass(frozen=True, slots=True)
class Load:
    """Of a pool over one interval, here alone."""

    begun: float
    active: float
    ended: float
    time_ms: float

    def __add__(self, other: Load) -> Load:
        return Load(
            self.begun + other.begun, self.active + other.active, self.ended + other.ended, self.time_ms + other.time_ms
        )

    def value(self, metric: str) -> float | None:
        """The number that the metric is about."""
        if metric == "requests":
            return self.begun
        if metric == "active":
            return self.active
        if self.ended >= 1e-6:
            return self.time_ms / self.ended
        return None if self.active > 0 else 0.0


class LoadMeter:
    """One pool's: look() often, take() once an interval."""

    __slots__ = ("_active_sum", "_begun", "_ended", "_interval_s", "_known", "_looks", "_taken_at", "_time_us")

    def __init__(self, interval_s: float) -> None:
        self._interval_s = interval_s
        self._known: dict[int, Counters] | None = None
        self._taken_at = 0.0
        self._reset()

    def _reset(self) -> None:
        self._begun = self._ended = self._time_us = 0
        self._active_sum = self._looks = 0

    def look(self, counters: Mapping[int, Counters], now: float) -> None:
        """What the board has now, by slot."""
        known = self._known
        if known is None:
            self._taken_at = now
        else:
            for slot, counted in counters.items():
                before = known.get(slot, counted)
                if counted.begun < before.begun:  # the slot is another backend's now
                    before = Counters(0, 0, 0, 0)
                self._begun += counted.begun - before.begun
                self._ended += max(0, counted.ended - before.ended)
                self._time_us += max(0, counted.time_us - before.time_us)
            self._looks += 1
            self._active_sum += sum(counted.active + counted.waiting for counted in counters.values())
        self._known = dict(counters)

    def take(self, now: float) -> Load | None:
        """The load since the last time, for one interval's length; None: it is not known."""
        elapsed_s, looks = now - self._taken_at, self._looks
        load = None
        if self._known is not None and looks and 0 < elapsed_s <= MAX_STRETCH * self._interval_s:
            per_interval = self._interval_s / elapsed_s
            load = Load(
                self._begun * per_interval,
                self._active_sum / looks,
                self._ended * per_interval,
                self._time_us / 1000 * per_interval,
            )
        self._taken_at = now
        self._reset()
        return load
