"""Health states: sequences of events and the resulting states."""

import pytest

from balance.config.model import HealthCheck
from balance.health.backend_status import BackendStatus
from balance.health.states import Event, State, Transition

CHECK = HealthCheck(enabled=True, healthy_threshold=2, unhealthy_threshold=3)
U, H, X, E, R, D, M = State
EVENTS = {
    "+": Event.PASS,
    "-": Event.FAIL,
    "e": Event.EJECT,
    "t": Event.TIME,
    "p": Event.TRIAL_PASS,
    "f": Event.TRIAL_FAIL,
    "d": Event.DRAIN,
    "m": Event.MAINTAIN,
    "n": Event.ENABLE,
}


@pytest.mark.parametrize(
    ("start", "events", "states"),
    [
        (U, "+", [H]),
        (U, "-", [X]),
        (H, "+++", [H, H, H]),
        (H, "---", [H, H, X]),
        (H, "--+--+--", [H] * 8),
        (H, "--+---", [H, H, H, H, H, X]),
        (X, "++", [X, H]),
        (X, "+-+-+-", [X] * 6),
        (X, "+-++", [X, X, X, H]),
        (U, "---", [X, X, X]),
        (U, "-++---", [X, X, H, H, H, X]),
        # ejection
        (H, "e+-+-++", [E, E, E, E, E, E, H]),
        (H, "e---++", [E, E, E, X, X, H]),
        (H, "etftp", [E, R, E, R, H]),
        (U, "etp", [E, R, H]),
        (X, "e", [X]),
        (E, "e", [E]),
        (H, "--e-+", [H, H, E, E, E]),
        # operators
        (H, "d+++---", [D] * 7),
        (H, "detpf", [D] * 5),
        (H, "dm++n+", [D, M, M, M, U, H]),
        (X, "dn-", [D, U, X]),
        (H, "dd", [D, D]),
    ],
)
def test_events_lead_from_state_to_state(start: State, events: str, states: list[State]) -> None:
    standing = BackendStatus(CHECK, start)
    seen = []
    for now, event in enumerate(events):
        standing.apply(EVENTS[event], "", float(now))
        seen.append(standing.state)
    assert seen == states


def test_only_a_change_is_returned_and_it_says_how_it_came_about() -> None:
    standing = BackendStatus(CHECK, State.HEALTHY, since=5.0)
    assert [standing.apply(Event.FAIL, "connection refused", now) for now in (10.0, 11.0, 12.0, 13.0)] == [
        None,
        None,
        Transition(State.HEALTHY, State.UNHEALTHY, 3, "connection refused"),
        None,
    ]
    assert standing.since == 12.0


def test_a_streak_is_what_speaks_for_a_change_and_nothing_else() -> None:
    standing = BackendStatus(CHECK, State.HEALTHY)
    seen = []
    for event in (Event.PASS, Event.FAIL, Event.FAIL, Event.PASS):
        standing.apply(event, "", 0.0)
        seen.append(standing.streak)
    assert seen == [0, 1, 2, 0]
