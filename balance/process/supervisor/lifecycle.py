"""How far an instance is, from its first fork to its last wait, and what leads from phase to phase. Does nothing itself."""

from __future__ import annotations

import enum
from signal import SIGINT, SIGTERM

from balance.health.readiness import Stage


class LifecyclePhase(enum.Enum):
    """The supervisor's states. The value completes "still ..."."""

    STARTING = "starting"  # until every child has reported; whatever goes wrong ends the start
    SERVING = "serving"
    HANDED_OVER = "yielding"  # another instance has taken over; workers finish what they have
    SHUTDOWN_DELAY = "accepting"  # not ready any more: whoever sends traffic here must notice before it is refused
    DRAINING = "draining"  # workers finish what they have
    CLOSING = "closing"  # workers are gone, control ends
    KILLING = "killing"
    OVER = "over"

    @property
    def stage(self) -> Stage:
        """What the outside is told."""
        return _STAGES.get(self, Stage.DRAINING)

    @property
    def restarts_children(self) -> bool:
        """Whether a child that dies gets a successor."""
        return self in (LifecyclePhase.SERVING, LifecyclePhase.SHUTDOWN_DELAY)


_STAGES = {LifecyclePhase.STARTING: Stage.STARTING, LifecyclePhase.SERVING: Stage.SERVING}

# Where a signal leads; in any other phase it changes nothing. The second one, of either kind, means it.
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

# Instead of killing, for the first signal after a stop that was ordered otherwise: a service manager that runs `balance stop`
# and then sends SIGTERM means one stop.
AFTER_FIRST_SIGNAL = {(LifecyclePhase.SHUTDOWN_DELAY, SIGINT): LifecyclePhase.DRAINING}

# Where a phase leads when its time is up. A start that takes too long is no phase but an error.
AFTER_DEADLINE = {
    LifecyclePhase.HANDED_OVER: LifecyclePhase.KILLING,
    LifecyclePhase.SHUTDOWN_DELAY: LifecyclePhase.DRAINING,
    LifecyclePhase.DRAINING: LifecyclePhase.KILLING,
    LifecyclePhase.CLOSING: LifecyclePhase.KILLING,
}
