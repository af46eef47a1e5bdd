"""The transition table of health states."""

import pytest

from balance.config.model import HealthCheck, PassiveChecks
from balance.health.states import TABLE, Event, State, state_after_reload

OPERATORS = {Event.DRAIN, Event.MAINTAIN, Event.ENABLE}
U, H, X, E, R, D, M = State


@pytest.mark.parametrize(
    ("before", "event", "after"),
    [
        (U, Event.PASS, H),
        (U, Event.FAIL, X),
        (U, Event.EJECT, E),
        (H, Event.FAIL, X),
        (H, Event.EJECT, E),
        (X, Event.PASS, H),
        (E, Event.PASS, H),
        (E, Event.FAIL, X),
        (E, Event.TIME, R),
        (R, Event.TRIAL_PASS, H),
        (R, Event.TRIAL_FAIL, E),
        (R, Event.PASS, H),
        (R, Event.FAIL, X),
        (D, Event.ENABLE, U),
        (M, Event.ENABLE, U),
        (D, Event.MAINTAIN, M),
        (M, Event.DRAIN, D),
        *((state, Event.DRAIN, D) for state in (U, H, X, E, R)),
        *((state, Event.MAINTAIN, M) for state in (U, H, X, E, R)),
    ],
)
def test_what_leads_where(before: State, event: Event, after: State) -> None:
    assert TABLE[before, event].after is after


def test_there_is_nothing_else_in_the_table() -> None:
    assert len(TABLE) == 27


@pytest.mark.parametrize("state", [State.DRAINING, State.MAINTENANCE])
@pytest.mark.parametrize("event", [event for event in Event if event not in OPERATORS])
def test_only_an_operator_undoes_an_operators_word(state: State, event: Event) -> None:
    assert (state, event) not in TABLE


def test_an_unhealthy_backend_cannot_be_ejected_and_so_not_come_back_by_time() -> None:
    assert (State.UNHEALTHY, Event.EJECT) not in TABLE


def test_every_transition_changes_something_and_every_state_can_be_left() -> None:
    assert all(before is not rule.after for (before, _), rule in TABLE.items())
    assert {before for before, _ in TABLE} == set(State)


def test_traffic_as_usual_goes_to_the_known_good_and_the_not_yet_known() -> None:
    assert [state for state in State if state.is_ready] == [State.UNKNOWN, State.HEALTHY]
    assert [state for state in State if state.is_operator_set] == [State.DRAINING, State.MAINTENANCE]


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("is_checked", [False, True])
@pytest.mark.parametrize("is_watched", [False, True])
def test_a_state_holds_as_long_as_somebody_can_end_it(state: State, is_checked: bool, is_watched: bool) -> None:
    held = state_after_reload(state, HealthCheck(enabled=is_checked, passive=PassiveChecks(enabled=is_watched)))
    by_probes = {Event.PASS, Event.FAIL} if is_checked else set()
    by_traffic = {Event.TIME, Event.TRIAL_PASS, Event.TRIAL_FAIL} if is_watched else set()
    ends = [event for event in by_probes | by_traffic if (state, event) in TABLE]
    assert held is (state if state.is_ready or state.is_operator_set or ends else State.UNKNOWN)
