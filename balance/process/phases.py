"""How far an instance is, from its first fork to its last wait, and what leads from phase to phase. Does nothing itself."""

from __future__ import annotations

import enum
from signal import SIGINT, SIGTERM

from balance.health.readiness import Stage


class Phase(enum.Enum):
    """The supervisor's states. The value completes "still ..."."""

    STARTING = "starting"  # until every child has reported; whatever goes wrong ends the start
    SERVING = "serving"
    YIELDING = "yielding"  # another instance has taken over; workers finish what they have
    DELAYING = "accepting"  # not ready any more: whoever sends traffic here must notice before it is refused
    DRAINING = "draining"  # workers finish what they have
    CLOSING = "closing"  # workers are gone, control ends
    KILLING = "killing"
    OVER = "over"

    @property
    def stage(self) -> Stage:
        """What the outside is told."""
        return _STAGES.get(self, Stage.DRAINING)

    @property
    def replaces(self) -> bool:
        """Whether a child that dies gets a successor."""
        return self in (Phase.SERVING, Phase.DELAYING)


_STAGES = {Phase.STARTING: Stage.STARTING, Phase.SERVING: Stage.SERVING}

# Where a signal leads; in any other phase it changes nothing. The second one, of either kind, means it.
AFTER_SIGNAL = {
    (Phase.STARTING, SIGTERM): Phase.DRAINING,
    (Phase.STARTING, SIGINT): Phase.DRAINING,
    (Phase.SERVING, SIGTERM): Phase.DELAYING,
    (Phase.SERVING, SIGINT): Phase.DRAINING,
    (Phase.YIELDING, SIGTERM): Phase.DRAINING,
    (Phase.YIELDING, SIGINT): Phase.DRAINING,
    (Phase.DELAYING, SIGTERM): Phase.KILLING,
    (Phase.DELAYING, SIGINT): Phase.KILLING,
    (Phase.DRAINING, SIGTERM): Phase.KILLING,
    (Phase.DRAINING, SIGINT): Phase.KILLING,
    (Phase.CLOSING, SIGTERM): Phase.KILLING,
    (Phase.CLOSING, SIGINT): Phase.KILLING,
}

# Instead of killing, for the first signal after a stop that was ordered otherwise: a service manager that runs `balance stop`
# and then sends SIGTERM means one stop.
AFTER_FIRST_SIGNAL = {(Phase.DELAYING, SIGINT): Phase.DRAINING}

# Where a phase leads when its time is up. A start that takes too long is no phase but an error.
AFTER_DEADLINE = {
    Phase.YIELDING: Phase.KILLING,
    Phase.DELAYING: Phase.DRAINING,
    Phase.DRAINING: Phase.KILLING,
    Phase.CLOSING: Phase.KILLING,
}
