"""Control's word: what is said about a backend becomes a line, a state on the board and a ring to every worker, once."""

import logging
from dataclasses import replace
from typing import Any

import pytest
from child_contexts import context

from balance.admin.events.history import EventLog
from balance.admin.state_view import BackendView
from balance.config.model import HealthCheck, PassiveChecks
from balance.health.states import Event, State
from balance.process.children.child_context import ChildContext
from balance.process.control.health_registry import HealthRegistry
from balance.process.ipc.wakeup import WakeupReason

LOGGER = "balance.control"


def backends(child_context: ChildContext, **changes: Any) -> list[BackendView]:
    """The backends of the one pool, of which something else is configured now."""
    pool = replace(child_context.config.pools[0], **changes)
    return [
        BackendView(pool, backend, slot, *child_context.board.state(slot))
        for slot, backend in enumerate(pool.backends, start=1)
    ]


def registry_of(child_context: ChildContext, events: EventLog | None = None) -> HealthRegistry:
    return HealthRegistry(child_context, backends(child_context), events)


def test_a_change_is_written_wakes_workers_and_is_logged_with_its_reason(caplog: pytest.LogCaptureFixture) -> None:
    child_context = context()
    with caplog.at_level(logging.INFO, LOGGER):
        assert registry_of(child_context).apply_event(1, Event.FAIL, "connection refused")
    assert child_context.board.state(1)[0] is State.UNHEALTHY
    assert child_context.board.reason(1) == "connection refused"
    assert [wakeup.received_by_worker() for wakeup in child_context.wakeups] == [{WakeupReason.BACKEND_STATES}] * 2
    assert caplog.messages == ["backend web/b1 (127.0.0.1:9001) is unhealthy: connection refused"]


def test_an_event_without_a_change_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    child_context = context()
    health_registry = registry_of(child_context)
    health_registry.apply_event(1, Event.DRAIN, "an order")
    caplog.clear()
    for wakeup in child_context.wakeups:
        wakeup.received_by_worker()
    with caplog.at_level(logging.INFO, LOGGER):
        for event in (Event.PASS, Event.FAIL, Event.EJECT, Event.TIME, Event.DRAIN):
            assert health_registry.apply_event(1, event, "") is None
    assert caplog.messages == []
    assert [wakeup.received_by_worker() for wakeup in child_context.wakeups] == [set(), set()]
    assert child_context.board.state(1)[0] is State.DRAINING


def test_a_streak_is_part_of_the_reason() -> None:
    child_context = context()
    health_registry = registry_of(child_context)
    health_registry.apply_event(1, Event.PASS, "status 200")
    for _ in range(3):
        health_registry.apply_event(1, Event.FAIL, "status 500, expected 200")
    assert child_context.board.reason(1) == "status 500, expected 200 (3 times in a row)"


def test_a_restarted_control_goes_on_from_shared_memory() -> None:
    child_context = context()
    registry_of(child_context).apply_event(2, Event.MAINTAIN, "an order")
    successor = registry_of(child_context)
    assert successor.state(2) is State.MAINTENANCE
    assert successor.apply_event(2, Event.PASS, "") is None


def test_what_another_instance_has_written_does_not_hold_once_it_is_gone() -> None:
    child_context = context(3)
    health_registry = registry_of(child_context)
    health_registry.apply_event(1, Event.FAIL, "connection refused")
    health_registry.apply_event(2, Event.MAINTAIN, "an order")
    before = [(child_context.board.state(slot), child_context.board.reason(slot)) for slot in (1, 2, 3)]
    for wakeup in child_context.wakeups:
        wakeup.received_by_worker()
    other = registry_of(child_context)
    other.apply_event(1, Event.PASS, "status 200")
    other.apply_event(2, Event.ENABLE, "an order")
    other.apply_event(3, Event.FAIL, "timeout")
    for wakeup in child_context.wakeups:
        wakeup.received_by_worker()
    health_registry.rewrite_states()
    assert [(child_context.board.state(slot), child_context.board.reason(slot)) for slot in (1, 2, 3)] == before
    assert [wakeup.received_by_worker() for wakeup in child_context.wakeups] == [{WakeupReason.BACKEND_STATES}] * 2


def test_a_successor_knows_the_reasons_too() -> None:
    child_context = context()
    registry_of(child_context).apply_event(1, Event.MAINTAIN, "a new disk")
    successor = registry_of(child_context)
    child_context.board.set_state(1, State.HEALTHY, 7.0, "by another instance")
    successor.rewrite_states()
    assert (child_context.board.state(1)[0], child_context.board.reason(1)) == (State.MAINTENANCE, "a new disk")


def test_panic_is_told_when_it_begins_and_when_it_ends(caplog: pytest.LogCaptureFixture) -> None:
    health_registry = registry_of(context(3, health_check=HealthCheck(enabled=True, panic_threshold=50, healthy_threshold=1)))
    with caplog.at_level(logging.INFO, LOGGER):
        for slot, event in ((1, Event.FAIL), (2, Event.FAIL), (3, Event.FAIL), (1, Event.PASS), (2, Event.PASS)):
            health_registry.apply_event(slot, event, "x")
    assert [line for line in caplog.messages if line.startswith("pool")] == [
        "pool web: so few backends are ready that all are used",
        "pool web: enough backends are ready again",
    ]


def test_a_change_is_published_as_an_event() -> None:
    events = EventLog()
    registry_of(context(), events).apply_event(1, Event.FAIL, "connection refused")
    (told,) = events.since(0)
    assert (told.kind, told.text) == ("backend", "backend web/b1 (127.0.0.1:9001) is unhealthy: connection refused")
    assert told.fields == {
        "pool": "web",
        "name": "b1",
        "before": "unknown",
        "after": "unhealthy",
        "why": "connection refused",
    }


# --- another configuration ------------------------------------------------------------------------------

CHECKED = HealthCheck(enabled=True, unhealthy_threshold=2)


def test_who_stays_keeps_its_standing_and_the_run_that_speaks_against_it() -> None:
    child_context = context(health_check=CHECKED)
    health_registry = registry_of(child_context)
    health_registry.apply_event(1, Event.DRAIN, "an order")
    health_registry.apply_event(2, Event.PASS, "status 200")
    health_registry.apply_event(2, Event.FAIL, "status 500")
    health_registry.update(backends(child_context))
    assert health_registry.state(1) is State.DRAINING
    assert health_registry.apply_event(2, Event.FAIL, "status 500")  # the second of two


def test_who_is_new_stands_as_the_supervisor_says() -> None:
    child_context = context(2)
    health_registry = registry_of(child_context)
    health_registry.apply_event(2, Event.MAINTAIN, "an order")
    first, second = backends(child_context)
    health_registry.update([first])
    child_context.board.set_state(2, State.UNKNOWN, 0.0)
    for wakeup in child_context.wakeups:
        wakeup.received_by_worker()
    health_registry.update([first, second])
    assert health_registry.state(2) is child_context.board.state(2)[0] is State.UNKNOWN
    assert [wakeup.received_by_worker() for wakeup in child_context.wakeups] == [
        {WakeupReason.BACKEND_STATES}
    ] * 2  # they may have looked already


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
def test_a_state_that_no_check_would_ever_change_is_reset(
    events: list[Event], check: HealthCheck, state: State, is_successor: bool
) -> None:
    child_context = context(health_check=HealthCheck(enabled=True, passive=PassiveChecks(enabled=True)))
    health_registry = registry_of(child_context)
    for event in events:
        health_registry.apply_event(1, event, "so it is")
    if is_successor:
        health_registry = HealthRegistry(child_context, backends(child_context, health_check=check))
    else:
        health_registry.update(backends(child_context, health_check=check))
    assert health_registry.state(1) is child_context.board.state(1)[0] is state
    assert (child_context.board.reason(1) == "") is (state is State.UNKNOWN)


def test_a_pool_that_is_gone_panics_no_more_and_its_namesake_is_not_said_to_have_recovered(
    caplog: pytest.LogCaptureFixture,
) -> None:
    panics = {"health_check": HealthCheck(enabled=True, panic_threshold=50)}
    child_context = context(1, **panics)
    health_registry = registry_of(child_context)
    health_registry.apply_event(1, Event.FAIL, "x")
    health_registry.update([])
    child_context.board.set_state(1, State.UNKNOWN, 0.0)
    health_registry.update(backends(child_context, **panics))
    caplog.clear()
    with caplog.at_level(logging.INFO, LOGGER):
        health_registry.apply_event(1, Event.PASS, "x")
    assert [line for line in caplog.messages if line.startswith("pool")] == []


def test_the_reason_of_a_verdict_that_is_void_does_not_come_back_when_another_instance_is_gone() -> None:
    child_context = context(health_check=CHECKED)
    health_registry = registry_of(child_context)
    health_registry.apply_event(1, Event.FAIL, "connection refused")
    health_registry.update(backends(child_context, health_check=HealthCheck()))
    child_context.board.set_state(1, State.HEALTHY, 7.0, "by another instance")
    health_registry.rewrite_states()
    assert (child_context.board.state(1)[0], child_context.board.reason(1)) == (State.UNKNOWN, "")


def test_where_nobody_is_ready_one_good_answer_is_enough_and_whoever_can_help_is_told() -> None:
    child_context, on_pool_down = context(backends=2), []
    check = HealthCheck(enabled=True, healthy_threshold=3, unhealthy_threshold=1)
    health_registry = HealthRegistry(child_context, backends(child_context, health_check=check), None, on_pool_down.append)
    for slot in (1, 2):
        health_registry.apply_event(slot, Event.FAIL, "no")
    assert (on_pool_down, health_registry.outage("web"), health_registry.has_ready("web")) == (["web"], 2, False)
    assert health_registry.apply_event(1, Event.PASS, "yes") is not None
    assert (health_registry.outage("web"), health_registry.has_ready("web")) == (0, True)
    assert health_registry.apply_event(2, Event.PASS, "yes") is None  # there is one that is ready: it takes three
    health_registry.apply_event(1, Event.DRAIN, "ordered")
    assert on_pool_down == ["web", "web"]


@pytest.mark.parametrize(("kind", "state"), [("tcp", State.EJECTED), ("http", State.HEALTHY), ("grpc", State.HEALTHY)])
def test_a_tcp_check_ends_no_ejection(kind: str, state: State) -> None:
    child_context = context(backends=2)
    health_registry = HealthRegistry(child_context, backends(child_context, health_check=HealthCheck(enabled=True, kind=kind)))
    health_registry.apply_event(1, Event.EJECT, "so it is")
    for _ in range(5):
        health_registry.apply_event(1, Event.PASS, "yes")
    assert health_registry.state(1) is state
