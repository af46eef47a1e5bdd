"""One backend's state, and the run of events that speaks against it. Applies the table of `states`; decides nothing else."""

from __future__ import annotations

from balance.config.model import HealthCheck
from balance.health.states import TABLE, Event, State, Transition


class BackendStatus:
    """Takes in events one by one and says when they have changed anything."""

    __slots__ = ("_check", "_event", "is_explicit", "since", "state", "streak")

    def __init__(self, check: HealthCheck, state: State = State.UNKNOWN, since: float = 0.0) -> None:
        """`state` and `since` are what a predecessor knew, so that a restart forgets nothing."""
        self._check = check
        self._event: Event | None = None
        self.state = state
        self.since = since  # on the clock of whoever calls take()
        self.streak = 0  # how many events in a row speak for a change that has not come yet
        self.is_explicit = False  # whether the last of them was a plain no

    def take(
        self, event: Event, reason: str, now: float, *, is_explicit: bool = False, at_once: bool = False
    ) -> Transition | None:
        """Something was said about the backend. Returns the change that it made, or None when it made none. `at_once`: however
        often it would have to be said.
        """
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
