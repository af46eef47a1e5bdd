"""How a backend stands: the states, what can happen to it, and one table of what leads where. Knows no clock and no probe.

Probes, traffic and operators speak about the same backend; the table is where they meet. What is not in it changes nothing:
no probe ends a drain, and nobody is ejected who is unhealthy already.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import NamedTuple

from balance.config.model import HealthCheck


class State(enum.IntEnum):
    """What is known of a backend. The numbers are cells of the shared board, so append only."""

    UNKNOWN = 0  # not probed yet, or never to be probed: used at once
    HEALTHY = 1
    UNHEALTHY = 2  # its probes say so
    EJECTED = 3  # its traffic says so
    RETURNING = 4  # it was ejected for long enough: one request at a time finds out
    DRAINING = 5  # an operator's word: nothing new goes there, what is under way ends in peace
    MAINTENANCE = 6  # an operator's word: as if it were not there

    @property
    def is_ready(self) -> bool:
        """Whether traffic may be sent there as to any other."""
        return self in (State.UNKNOWN, State.HEALTHY)

    @property
    def is_passing(self) -> bool:
        """Whether no check speaks against it, whatever its traffic says."""
        return self in (State.UNKNOWN, State.HEALTHY, State.EJECTED, State.RETURNING)

    @property
    def is_tried(self) -> bool:
        """Whether its traffic speaks against it, and a request has to find out."""
        return self in (State.EJECTED, State.RETURNING)

    @property
    def is_ordered(self) -> bool:
        """Whether an operator has taken it out: not to be used even when nobody else is left."""
        return self in (State.DRAINING, State.MAINTENANCE)

    @property
    def word(self) -> str:
        """The name as logs and the status page write it."""
        return self.name.lower()


class Event(enum.Enum):
    """What is said about a backend."""

    PASS = "a probe went well"
    FAIL = "a probe did not"
    EJECT = "its traffic fails"
    TIME = "its ejection is over"
    TRIAL_PASS = "the request that tried it went well"
    TRIAL_FAIL = "the request that tried it did not"
    DRAIN = "an operator drains it"
    MAINTAIN = "an operator takes it out"
    ENABLE = "an operator puts it back"


class Rule(NamedTuple):
    """Where an event leads once it has come so many times in a row."""

    after: State
    needed: Callable[[HealthCheck], int]


class Transition(NamedTuple):
    """One change of state: the only thing worth telling others."""

    before: State
    after: State
    streak: int  # how many events in a row led to it
    reason: str


def _once(check: HealthCheck) -> int:
    return 1


def _rise(check: HealthCheck) -> int:
    return check.healthy_threshold


def _fall(check: HealthCheck) -> int:
    return check.unhealthy_threshold


TABLE: dict[tuple[State, Event], Rule] = {
    # The first result decides at once, as in Envoy: a new backend does not wait for its threshold.
    (State.UNKNOWN, Event.PASS): Rule(State.HEALTHY, _once),
    (State.UNKNOWN, Event.FAIL): Rule(State.UNHEALTHY, _once),
    (State.UNKNOWN, Event.EJECT): Rule(State.EJECTED, _once),
    (State.HEALTHY, Event.FAIL): Rule(State.UNHEALTHY, _fall),
    (State.HEALTHY, Event.EJECT): Rule(State.EJECTED, _once),
    (State.UNHEALTHY, Event.PASS): Rule(State.HEALTHY, _rise),
    # Passing probes end an ejection (Envoy), but not the first one: a probe path can be well while the rest is not.
    (State.EJECTED, Event.PASS): Rule(State.HEALTHY, _rise),
    (State.EJECTED, Event.FAIL): Rule(State.UNHEALTHY, _fall),
    (State.EJECTED, Event.TIME): Rule(State.RETURNING, _once),
    (State.RETURNING, Event.TRIAL_PASS): Rule(State.HEALTHY, _once),
    (State.RETURNING, Event.TRIAL_FAIL): Rule(State.EJECTED, _once),
    (State.RETURNING, Event.PASS): Rule(State.HEALTHY, _rise),
    (State.RETURNING, Event.FAIL): Rule(State.UNHEALTHY, _fall),
    # An operator's word holds until an operator's word. Enabled, it is as one that was never seen: the next probe decides.
    **{(state, Event.DRAIN): Rule(State.DRAINING, _once) for state in State if state is not State.DRAINING},
    **{(state, Event.MAINTAIN): Rule(State.MAINTENANCE, _once) for state in State if state is not State.MAINTENANCE},
    (State.DRAINING, Event.ENABLE): Rule(State.UNKNOWN, _once),
    (State.MAINTENANCE, Event.ENABLE): Rule(State.UNKNOWN, _once),
}


def still_held(state: State, check: HealthCheck) -> State:
    """What is left of a state where this is configured now: a verdict that nobody would ever take back is void."""
    if state is State.UNHEALTHY and not check.enabled:
        return State.UNKNOWN
    if state in (State.EJECTED, State.RETURNING) and not (check.enabled or check.passive.enabled):
        return State.UNKNOWN
    return state
