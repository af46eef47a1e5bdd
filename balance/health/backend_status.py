"""The health state of one backend: counts consecutive events and applies the transition table of `states`."""

from __future__ import annotations

from balance.config.model import HealthCheck
from balance.health.states import TABLE, Event, State, Transition


class BackendStatus:
    """The state machine of one backend."""

    __slots__ = ("_check", "_event", "is_explicit", "since", "state", "streak")

    def __init__(self, check: HealthCheck, state: State = State.UNKNOWN, since: float = 0.0) -> None:
        """`state` and `since` may come from a previous process, so that a restart keeps them."""
        self._check = check
        self._event: Event | None = None
        self.state = state
        self.since = since  # on the clock of the caller of apply()
        self.streak = 0  # consecutive events towards a transition that has not happened yet
        self.is_explicit = False  # whether the last of them was an explicit failure

    def apply(
        self, event: Event, reason: str, now: float, *, is_explicit: bool = False, at_once: bool = False
    ) -> Transition | None:
        """Apply an event. Returns the transition that it caused, if any. `at_once` ignores the threshold."""
        rule = TABLE.get((self.state, event))
        if event is not self._event:
            self._event = event
            self.streak = 0
        if rule is None:
            self.streak = 0
            return None
        self.streak += 1
        self.is_explicit = is_explicit
        if not at_once and self.streak < rule.needed(self._check):
            return None
        transition = Transition(self.state, rule.after, self.streak, reason)
        self.state = rule.after
        self.since = now
        self.streak = 0
        return transition
