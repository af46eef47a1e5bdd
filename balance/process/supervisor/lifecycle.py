"""The supervisor's state machine: its phases, and which signal or deadline leads from one to the next. Acts on nothing."""

from __future__ import annotations

import enum
from signal import SIGINT, SIGTERM

from balance.health.readiness import Stage


class LifecyclePhase(enum.Enum):
    """The phases. The value completes the log line "killed while still ..."."""

    STARTING = "starting"  # until every child is ready; any failure ends the start
    SERVING = "serving"
    HANDED_OVER = "yielding"  # a new instance has taken over; workers drain
    SHUTDOWN_DELAY = "accepting"  # /ready says no, still accepting, so that load balancers in front notice first
    DRAINING = "draining"  # workers drain
    CLOSING = "closing"  # workers have exited, control stops
    KILLING = "killing"
    OVER = "over"

    @property
    def stage(self) -> Stage:
        """The stage that /status and /ready show."""
        return _STAGES.get(self, Stage.DRAINING)

    @property
    def restarts_children(self) -> bool:
        """Whether a child that dies is restarted."""
        return self in (LifecyclePhase.SERVING, LifecyclePhase.SHUTDOWN_DELAY)


_STAGES = {LifecyclePhase.STARTING: Stage.STARTING, LifecyclePhase.SERVING: Stage.SERVING}

# (phase, signal) -> next phase; no entry: the signal is ignored. A second signal of either kind kills.
AFTER_SIGNAL = {
    (LifecyclePhase.STARTING, SIGTERM): LifecyclePhase.DRAINING,
    (LifecyclePhase.STARTING, SIGINT): LifecyclePhase.DRAINING,
    (LifecyclePhase.SERVING, SIGTERM): LifecyclePhase.SHUTDOWN_DELAY,
    (LifecyclePhase.SERVING, SIGINT): LifecyclePhase.DRAINING,
    (LifecyclePhase.HANDED_OVER, SIGTERM): LifecyclePhase.DRAINING,
    (LifecyclePhase.HANDED_OVER, SIGINT): LifecyclePhase.DRAINING,
    (LifecyclePhase.SHUTDOWN_DELAY, SIGTERM): LifecyclePhase.KILLING,
    (LifecyclePhase.SHUTDOWN_DELAY, SIGINT): LifecyclePhase.KILLING,
    (LifecyclePhase.DRAINING, SIGTERM): LifecyclePhase.KILLING,
    (LifecyclePhase.DRAINING, SIGINT): LifecyclePhase.KILLING,
    (LifecyclePhase.CLOSING, SIGTERM): LifecyclePhase.KILLING,
    (LifecyclePhase.CLOSING, SIGINT): LifecyclePhase.KILLING,
}

# Instead of killing, for the first signal after a stop by the admin API: a service manager that runs `balance stop` and then
# sends SIGTERM means one stop.
AFTER_FIRST_SIGNAL = {(LifecyclePhase.SHUTDOWN_DELAY, SIGINT): LifecyclePhase.DRAINING}

# phase -> next phase at its deadline. A start that exceeds its deadline is a StartError.
AFTER_DEADLINE = {
    LifecyclePhase.HANDED_OVER: LifecyclePhase.KILLING,
    LifecyclePhase.SHUTDOWN_DELAY: LifecyclePhase.DRAINING,
    LifecyclePhase.DRAINING: LifecyclePhase.KILLING,
    LifecyclePhase.CLOSING: LifecyclePhase.KILLING,
}
