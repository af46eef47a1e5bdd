"""Control's word: what is said about a backend becomes a line, a state on the board and a ring to every worker, once."""

import logging
from dataclasses import replace
from typing import Any

import pytest
from child_contexts import context

from balance.admin.events.history import EventLog
from balance.admin.state_view import Seen
from balance.config.model import HealthCheck, PassiveChecks
from balance.health.states import Event, State
from balance.process.children.child_context import ChildContext
from balance.process.control.health_registry import HealthRegistry
from balance.process.ipc.wakeup import Message

LOGGER = "balance.control"


def everybody(place: ChildContext, **changes: Any) -> list[Seen]:
    """The backends of the one pool, of which something else is configured now."""
    pool = replace(place.config.pools[0], **changes)
    return [Seen(pool, backend, slot, *place.board.state(slot)) for slot, backend in enumerate(pool.backends, start=1)]


def register_of(place: ChildContext, events: EventLog | None = None) -> HealthRegistry:
    return HealthRegistry(place, everybody(place), events)


def test_a_change_is_on_the_board_rung_and_logged_with_its_reason(caplog: pytest.LogCaptureFixture) -> None:
    place = context()
    with caplog.at_level(logging.INFO, LOGGER):
        assert register_of(place).take(1, Event.FAIL, "connection refused")
    assert place.board.state(1)[0] is State.UNHEALTHY
    assert place.board.reason(1) == "connection refused"
    assert [wakeup.heard() for wakeup in place.wakeups] == [{Message.STATES}] * 2
    assert caplog.messages == ["backend web/b1 (127.0.0.1:9001) is unhealthy: connection refused"]


def test_what_changes_nothing_is_not_worth_a_word(caplog: pytest.LogCaptureFixture) -> None:
    place = context()
    register = register_of(place)
    register.take(1, Event.DRAIN, "an order")
    caplog.clear()
    for wakeup in place.wakeups:
        wakeup.heard()
    with caplog.at_level(logging.INFO, LOGGER):
        for event in (Event.PASS, Event.FAIL, Event.EJECT, Event.TIME, Event.DRAIN):
            assert register.take(1, event, "") is None
    assert caplog.messages == []
    assert [wakeup.heard() for wakeup in place.wakeups] == [set(), set()]
    assert place.board.state(1)[0] is State.DRAINING


def test_a_streak_is_part_of_the_reason() -> None:
    place = context()
    register = register_of(place)
    register.take(1, Event.PASS, "status 200")
    for _ in range(3):
        register.take(1, Event.FAIL, "status 500, expected 200")
    assert place.board.reason(1) == "status 500, expected 200 (3 times in a row)"


def test_a_successor_goes_on_from_the_board() -> None:
    place = context()
    register_of(place).take(2, Event.MAINTAIN, "an order")
    successor = register_of(place)
    assert successor.state(2) is State.MAINTENANCE
    assert successor.take(2, Event.PASS, "") is None


def test_what_another_instance_has_written_does_not_hold_once_it_is_gone() -> None:
    place = context(3)
    register = register_of(place)
    register.take(1, Event.FAIL, "connection refused")
    register.take(2, Event.MAINTAIN, "an order")
    before = [(place.board.state(slot), place.board.reason(slot)) for slot in (1, 2, 3)]
    for wakeup in place.wakeups:
        wakeup.heard()
    other = register_of(place)
    other.take(1, Event.PASS, "status 200")
    other.take(2, Event.ENABLE, "an order")
    other.take(3, Event.FAIL, "timeout")
    for wakeup in place.wakeups:
        wakeup.heard()
    register.reassert()
    assert [(place.board.state(slot), place.board.reason(slot)) for slot in (1, 2, 3)] == before
    assert [wakeup.heard() for wakeup in place.wakeups] == [{Message.STATES}] * 2


def test_a_successor_knows_the_reasons_too() -> None:
    place = context()
    register_of(place).take(1, Event.MAINTAIN, "a new disk")
    successor = register_of(place)
    place.board.set_state(1, State.HEALTHY, 7.0, "by another instance")
    successor.reassert()
    assert (place.board.state(1)[0], place.board.reason(1)) == (State.MAINTENANCE, "a new disk")


def test_panic_is_told_when_it_begins_and_when_it_ends(caplog: pytest.LogCaptureFixture) -> None:
    register = register_of(context(3, health_check=HealthCheck(enabled=True, panic_threshold=50, healthy_threshold=1)))
    with caplog.at_level(logging.INFO, LOGGER):
        for slot, event in ((1, Event.FAIL), (2, Event.FAIL), (3, Event.FAIL), (1, Event.PASS), (2, Event.PASS)):
            register.take(slot, event, "x")
    assert [line for line in caplog.messages if line.startswith("pool")] == [
        "pool web: so few backends are ready that all are used",
        "pool web: enough backends are ready again",
    ]


def test_a_change_is_told_to_those_who_listen() -> None:
    events = EventLog()
    register_of(context(), events).take(1, Event.FAIL, "connection refused")
    (told,) = events.since(0)
    assert (told.kind, told.text) == ("backend", "backend web/b1 (127.0.0.1:9001) is unhealthy: connection refused")
    assert told.about == {
        "pool": "web",
        "name": "b1",
        "before": "unknown",
        "after": "unhealthy",
        "why": "connection refused",
    }


# --- another configuration ------------------------------------------------------------------------------

CHECKED = HealthCheck(enabled=True, unhealthy_threshold=2)


def test_who_stays_keeps_its_standing_and_the_run_that_speaks_against_it() -> None:
    place = context(health_check=CHECKED)
    register = register_of(place)
    register.take(1, Event.DRAIN, "an order")
    register.take(2, Event.PASS, "status 200")
    register.take(2, Event.FAIL, "status 500")
    register.renew(everybody(place))
    assert register.state(1) is State.DRAINING
    assert register.take(2, Event.FAIL, "status 500")  # the second of two


def test_who_is_new_stands_as_the_supervisor_says() -> None:
    place = context(2)
    register = register_of(place)
    register.take(2, Event.MAINTAIN, "an order")
    first, second = everybody(place)
    register.renew([first])
    place.board.set_state(2, State.UNKNOWN, 0.0)
    for wakeup in place.wakeups:
        wakeup.heard()
    register.renew([first, second])
    assert register.state(2) is place.board.state(2)[0] is State.UNKNOWN
    assert [wakeup.heard() for wakeup in place.wakeups] == [{Message.STATES}] * 2  # they may have looked already


@pytest.mark.parametrize(
    ("events", "check", "state"),
    [
        ([Event.FAIL], HealthCheck(), State.UNKNOWN),
        ([Event.FAIL], HealthCheck(enabled=True, kind="http"), State.UNHEALTHY),
        ([Event.FAIL], HealthCheck(passive=PassiveChecks(enabled=True)), State.UNKNOWN),
        ([Event.EJECT], HealthCheck(passive=PassiveChecks(enabled=False)), State.UNKNOWN),
        ([Event.EJECT], HealthCheck(enabled=True), State.EJECTED),
        ([Event.EJECT], HealthCheck(passive=PassiveChecks(enabled=True)), State.EJECTED),
        ([Event.EJECT, Event.TIME], HealthCheck(passive=PassiveChecks(enabled=False)), State.UNKNOWN),
        ([Event.DRAIN], HealthCheck(), State.DRAINING),
        ([Event.MAINTAIN], HealthCheck(), State.MAINTENANCE),
        ([Event.PASS], HealthCheck(), State.HEALTHY),
    ],
)
@pytest.mark.parametrize("is_successor", [False, True], ids=["reload", "upgrade"])
def test_a_verdict_that_nobody_would_ever_take_back_is_void(
    events: list[Event], check: HealthCheck, state: State, is_successor: bool
) -> None:
    place = context(health_check=HealthCheck(enabled=True, passive=PassiveChecks(enabled=True)))
    register = register_of(place)
    for event in events:
        register.take(1, event, "so it is")
    if is_successor:
        register = HealthRegistry(place, everybody(place, health_check=check))
    else:
        register.renew(everybody(place, health_check=check))
    assert register.state(1) is place.board.state(1)[0] is state
    assert (place.board.reason(1) == "") is (state is State.UNKNOWN)


def test_a_pool_that_is_gone_panics_no_more_and_its_namesake_is_not_said_to_have_recovered(
    caplog: pytest.LogCaptureFixture,
) -> None:
    panics = {"health_check": HealthCheck(enabled=True, panic_threshold=50)}
    place = context(1, **panics)
    register = register_of(place)
    register.take(1, Event.FAIL, "x")
    register.renew([])
    place.board.set_state(1, State.UNKNOWN, 0.0)
    register.renew(everybody(place, **panics))
    caplog.clear()
    with caplog.at_level(logging.INFO, LOGGER):
        register.take(1, Event.PASS, "x")
    assert [line for line in caplog.messages if line.startswith("pool")] == []


def test_the_reason_of_a_verdict_that_is_void_does_not_come_back_when_another_instance_is_gone() -> None:
    place = context(health_check=CHECKED)
    register = register_of(place)
    register.take(1, Event.FAIL, "connection refused")
    register.renew(everybody(place, health_check=HealthCheck()))
    place.board.set_state(1, State.HEALTHY, 7.0, "by another instance")
    register.reassert()
    assert (place.board.state(1)[0], place.board.reason(1)) == (State.UNKNOWN, "")


def test_where_nobody_is_ready_one_good_answer_is_enough_and_whoever_can_help_is_told() -> None:
    place, emptied = context(backends=2), []
    check = HealthCheck(enabled=True, healthy_threshold=3, unhealthy_threshold=1)
    register = HealthRegistry(place, everybody(place, health_check=check), None, emptied.append)
    for slot in (1, 2):
        register.take(slot, Event.FAIL, "no")
    assert (emptied, register.outage("web"), register.has_ready("web")) == (["web"], 2, False)
    assert register.take(1, Event.PASS, "yes") is not None
    assert (register.outage("web"), register.has_ready("web")) == (0, True)
    assert register.take(2, Event.PASS, "yes") is None  # there is one that is ready: it takes three
    register.take(1, Event.DRAIN, "ordered")
    assert emptied == ["web", "web"]


@pytest.mark.parametrize(("kind", "state"), [("tcp", State.EJECTED), ("http", State.HEALTHY), ("grpc", State.HEALTHY)])
def test_that_connections_are_accepted_ends_no_ejection(kind: str, state: State) -> None:
    place = context(backends=2)
    register = HealthRegistry(place, everybody(place, health_check=HealthCheck(enabled=True, kind=kind)))
    register.take(1, Event.EJECT, "so it is")
    for _ in range(5):
        register.take(1, Event.PASS, "yes")
    assert register.state(1) is state
