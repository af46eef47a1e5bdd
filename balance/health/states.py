"""The health states of a backend, the events, and the transition table.

Health checks, outlier detection and operators cause events for the same backend. An event that is not in the table for a state
has no effect: a health check does not end a drain, and an unhealthy backend is not ejected.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Final, NamedTuple

from balance.config.model import HealthCheck


class State(enum.IntEnum):
    """The numbers are cells of the shared board, so append only."""

    UNKNOWN = 0  # not checked yet, or without checks: used like a healthy one
    HEALTHY = 1
    UNHEALTHY = 2  # by health checks
    EJECTED = 3  # by outlier detection
    RETURNING = 4  # the ejection time is over: gets one trial request at a time
    DRAINING = 5  # by an operator: no new requests; present ones and sessions continue
    MAINTENANCE = 6  # by an operator: not used at all

    @property
    def is_ready(self) -> bool:
        """Whether it gets its normal share of requests."""
        return self in (State.UNKNOWN, State.HEALTHY)

    @property
    def is_passing(self) -> bool:
        """Whether its health checks pass, or it has none; it may be ejected."""
        return self in (State.UNKNOWN, State.HEALTHY, State.EJECTED, State.RETURNING)

    @property
    def is_on_trial(self) -> bool:
        """Whether it is ejected, or returning with trial requests."""
        return self in (State.EJECTED, State.RETURNING)

    @property
    def is_operator_set(self) -> bool:
        """Whether an operator took it out: not used even when no other backend is left."""
        return self in (State.DRAINING, State.MAINTENANCE)

    @property
    def word(self) -> str:
        """The name as logs and the status page write it."""
        return self.name.lower()


class Event(enum.Enum):
    """What can happen to a backend."""

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
    """The next state, and how many consecutive events are needed."""

    after: State
    needed: Callable[[HealthCheck], int]


class Transition(NamedTuple):
    """One change of state."""

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


TABLE: Final[dict[tuple[State, Event], Rule]] = {
    # The first result decides at once, without a threshold, as in Envoy.
    (State.UNKNOWN, Event.PASS): Rule(State.HEALTHY, _once),
    (State.UNKNOWN, Event.FAIL): Rule(State.UNHEALTHY, _once),
    (State.UNKNOWN, Event.EJECT): Rule(State.EJECTED, _once),
    (State.HEALTHY, Event.FAIL): Rule(State.UNHEALTHY, _fall),
    (State.HEALTHY, Event.EJECT): Rule(State.EJECTED, _once),
    (State.UNHEALTHY, Event.PASS): Rule(State.HEALTHY, _rise),
    # As in Envoy, passing checks end an ejection; healthy_threshold of them, since the check's path may work alone.
    (State.EJECTED, Event.PASS): Rule(State.HEALTHY, _rise),
    (State.EJECTED, Event.FAIL): Rule(State.UNHEALTHY, _fall),
    (State.EJECTED, Event.TIME): Rule(State.RETURNING, _once),
    (State.RETURNING, Event.TRIAL_PASS): Rule(State.HEALTHY, _once),
    (State.RETURNING, Event.TRIAL_FAIL): Rule(State.EJECTED, _once),
    (State.RETURNING, Event.PASS): Rule(State.HEALTHY, _rise),
    (State.RETURNING, Event.FAIL): Rule(State.UNHEALTHY, _fall),
    # An operator's state lasts until the operator changes it. After ENABLE the next check decides.
    **{(state, Event.DRAIN): Rule(State.DRAINING, _once) for state in State if state is not State.DRAINING},
    **{(state, Event.MAINTAIN): Rule(State.MAINTENANCE, _once) for state in State if state is not State.MAINTENANCE},
    (State.DRAINING, Event.ENABLE): Rule(State.UNKNOWN, _once),
    (State.MAINTENANCE, Event.ENABLE): Rule(State.UNKNOWN, _once),
}


def state_after_reload(state: State, check: HealthCheck) -> State:
    """The state after a reload with this check: UNKNOWN when no check is left that could end the old state."""
    if state is State.UNHEALTHY and not check.enabled:
        return State.UNKNOWN
    if state in (State.EJECTED, State.RETURNING) and not (check.enabled or check.passive.enabled):
        return State.UNKNOWN
    return state
