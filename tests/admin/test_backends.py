"""Each backend as JSON: a board in, the document out."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from balance.admin.backends import backends, breaker_phase
from balance.admin.state_view import StateView
from balance.config.model import CircuitBreaker
from balance.health.circuit_breaker import CAUSE, SINCE_US, STATE, TOTAL_OPENINGS, UNTIL_US, BreakerState, Signal
from balance.health.states import State
from balance.process.shared_memory.board import Board, Ejection
from balance.runtime import counters
from balance.runtime.row import Row

NOW, NOW_US = 10_000.0, 500_000_000


@pytest.fixture
def broken(make_view: Callable[..., StateView], view: StateView) -> StateView:
    """The same with breakers in the first pool."""
    app, *others = view.config.pools
    return make_view(pools=(replace(app, breaker=CircuitBreaker(enabled=True)), *others))


def board_of(view: StateView) -> Board:
    assert isinstance(view.board, Board)
    return view.board


def document(view: StateView) -> dict[str, Any]:
    return {each["name"]: each for each in backends(view, NOW, NOW_US)["backends"]}


def test_a_backend_is_shown_with_what_was_written_next_to_it(make_view: Callable[..., StateView], view: StateView) -> None:
    app, *others = view.config.pools
    first, *rest = app.backends
    written = replace(first, metadata=(("rack", "7"),), region="eu")
    labelled = make_view(pools=(replace(app, backends=(written, *rest)), *others))
    assert document(labelled)[first.name]["metadata"] == {"rack": "7"}
    assert document(labelled)[first.name]["region"] == "eu"


def test_a_backend_says_how_it_stands_why_and_since_when(view: StateView) -> None:
    board = board_of(view)
    board.set_ejection(2, Ejection(times=1, until_us=0, total=3))
    for row in board.rows:
        row[counters.block(2) + counters.LEASES] = 4
        row[counters.block(2) + counters.COPIES] = 3
        row[counters.block(2) + counters.ACTIVE] = 1
        Row(row).observe_time(counters.block(2) + counters.UPSTREAM_TIME, 3000)
    shown = document(view)["a2"]
    assert shown == {
        "pool": "app",
        "name": "a2",
        "address": "127.0.0.1:9002",
        "weight": 2,
        "backup": False,
        "region": None,
        "max_connections": None,
        "waiting": 0,
        "metadata": {},
        "state": "unhealthy",
        "why": "it said no",
        "since": "1970-01-01T00:33:20.000+00:00",
        "last_check": {"ok": False, "reason": "connection refused", "seconds": 0.25},
        "ejections": 3,
        "breaker": None,
        "active": 2,
        "drained": None,
        "connections": 0,
        "requests": 8,
        "copies": 6,
        "failures": 0,
        "blamed": 0,
        "retries": 0,
        "mean_seconds": 0.003,
    }


def test_a_backend_that_nobody_asks_is_unchecked_until_something_is_decided(view: StateView) -> None:
    from balance.health.states import State

    assert document(view)["r1"]["state"] == "unchecked"
    board_of(view).set_state(3, State.EJECTED, 4000.0, "5 failures in a row")
    assert (document(view)["r1"]["state"], document(view)["r1"]["why"]) == ("ejected", "5 failures in a row")


def test_an_open_breaker_says_why_since_when_and_when_it_is_tried_again(broken: StateView) -> None:
    evidence = board_of(broken).evidence(1)
    evidence[STATE], evidence[CAUSE], evidence[TOTAL_OPENINGS] = BreakerState.OPEN, Signal.FAILURES, 2
    evidence[SINCE_US], evidence[UNTIL_US] = NOW_US - 20_000_000, NOW_US + 40_000_000
    assert document(broken)["a1"]["breaker"] == {
        "state": "open",
        "why": "too many failures in a row",
        "since": "1970-01-01T02:46:20.000+00:00",
        "opened": 2,
        "tried_again_in_seconds": 40.0,
    }
    assert document(broken)["a2"]["breaker"] == {"state": "closed", "why": None, "since": None, "opened": 0}


@pytest.mark.parametrize(("until_us", "phase"), [(NOW_US + 1, BreakerState.OPEN), (NOW_US, BreakerState.HALF_OPEN)])
def test_a_breaker_whose_time_is_over_is_half_open_for_the_next_request(
    broken: StateView, until_us: int, phase: BreakerState
) -> None:
    evidence = board_of(broken).evidence(1)
    evidence[STATE], evidence[UNTIL_US] = BreakerState.OPEN, until_us
    assert breaker_phase(next(broken.backends()), broken, NOW_US) is phase


def test_one_is_drained_when_every_worker_has_heard_of_it_and_holds_nothing_since(view: StateView) -> None:
    board = board_of(view)
    cell = counters.block(2) + counters.ACTIVE
    board.set_state(2, State.DRAINING, 2000.0, "ordered")
    ordered_us = board.states_changed_us

    def is_drained() -> object:
        return document(view)["a2"]["drained"]

    first, *others = board.rows
    for row in board.rows:
        row[counters.APPLIED_US] = ordered_us - 1  # may still have sent a request there that no gauge shows yet
    assert is_drained() is False
    for row in others:
        row[counters.APPLIED_US] = ordered_us
    assert is_drained() is False
    first[counters.APPLIED_US] = ordered_us
    assert is_drained() is True
    first[cell] = 1
    assert is_drained() is False
    first[cell], first[counters.APPLIED_US] = 0, 0
    assert is_drained() is False
    first[counters.PLACE] = 0  # nobody is there
    assert is_drained() is True
    board.set_state(2, State.HEALTHY, 2000.0)
    assert is_drained() is None


def test_two_states_are_never_written_at_the_same_moment(view: StateView) -> None:
    board = board_of(view)
    moments = []
    for _ in range(100):
        board.set_state(2, State.DRAINING, 2000.0)
        moments.append(board.states_changed_us)
    assert len(set(moments)) == 100


def test_what_nobody_checks_is_not_unknown(view: StateView) -> None:
    board = board_of(view)
    board.set_state(3, State.UNKNOWN, 2000.0, "ordered on the admin port")
    assert document(view)["r1"]["state"] == "unchecked"
    board.set_state(3, State.MAINTENANCE, 2000.0)
    assert document(view)["r1"]["state"] == "maintenance"
