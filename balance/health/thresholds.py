"""Whether a backend is healthy, decided from its probes' results. Knows neither how a probe asks nor what time it is.

One table says where a result may lead and how many such results in a row it takes; everything not in the table
confirms the state that holds.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import NamedTuple

from balance.config.model import HealthCheck

FAST_INTERVAL_S = 1.0  # while a change is in the making, ask more often (HAProxy's fastinter)


class State(enum.IntEnum):
    """What is known of a backend. The numbers are cells of the shared board, so append only."""

    UNKNOWN = 0  # not probed yet, or never to be probed: used at once
    HEALTHY = 1
    UNHEALTHY = 2

    @property
    def is_ready(self) -> bool:
        """Whether traffic may be sent there."""
        return self is not State.UNHEALTHY

    @property
    def word(self) -> str:
        """The name as logs and the status page write it."""
        return self.name.lower()


class Transition(NamedTuple):
    """One change of state: the only thing worth telling others."""

    before: State
    after: State
    streak: int  # how many results in a row led to it
    reason: str


def _once(check: HealthCheck) -> int:
    return 1  # the first result decides at once, as in Envoy: a new backend does not wait for its threshold


def _rise(check: HealthCheck) -> int:
    return check.healthy_threshold


def _fall(check: HealthCheck) -> int:
    return check.unhealthy_threshold


# (the state that holds, whether the probe was good) -> (where that leads, how many in a row it takes)
TABLE: dict[tuple[State, bool], tuple[State, Callable[[HealthCheck], int]]] = {
    (State.UNKNOWN, True): (State.HEALTHY, _once),
    (State.UNKNOWN, False): (State.UNHEALTHY, _once),
    (State.HEALTHY, False): (State.UNHEALTHY, _fall),
    (State.UNHEALTHY, True): (State.HEALTHY, _rise),
}


class Thresholds:
    """One backend's state and the run of results that speaks against it."""

    __slots__ = ("_check", "_streak", "since", "state")

    def __init__(self, check: HealthCheck, state: State = State.UNKNOWN, since: float = 0.0) -> None:
        """`state` and `since` are what a predecessor knew, so that a restart forgets nothing."""
        self._check = check
        self._streak = 0
        self.state = state
        self.since = since  # on the clock of whoever calls observe()

    def observe(self, is_ok: bool, reason: str, now: float) -> Transition | None:
        """Take in one probe's result. Returns the change it made, or None when it made none."""
        entry = TABLE.get((self.state, is_ok))
        if entry is None:
            self._streak = 0
            return None
        after, needed = entry
        self._streak += 1
        if self._streak < needed(self._check):
            return None
        transition = Transition(self.state, after, self._streak, reason)
        self.state = after
        self.since = now
        self._streak = 0
        return transition

    def next_delay_s(self, rand: float) -> float:
        """How long to wait before the next probe. `rand` in [0, 1) places it within the jitter."""
        interval_s = self._check.interval_s
        if self._streak:
            interval_s = min(interval_s, FAST_INTERVAL_S)
        return interval_s * (1 + self._check.jitter * (2 * rand - 1))


def first_delay_s(check: HealthCheck, index: int, count: int) -> float:
    """When the `index`-th of `count` backends is probed first: spread out, yet all within a second."""
    return min(check.interval_s, FAST_INTERVAL_S) * index / max(count, 1)
