"""Each backend as JSON: a board in, the document out."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from balance.config.model import CircuitBreaker
from balance.health.breaker import CAUSE, OPENED, PHASE, SINCE_US, UNTIL_US, Phase, Signal
from balance.health.states import State
from balance.process.board import Board, Ejection
from balance.runtime import cells
from balance.side.backends import backends, phase_of
from balance.side.inside import Inside

NOW, NOW_US = 10_000.0, 500_000_000


@pytest.fixture
def broken(make_inside: Callable[..., Inside], inside: Inside) -> Inside:
    """The same with breakers in the first pool."""
    app, *others = inside.config.pools
    return make_inside(pools=(replace(app, breaker=CircuitBreaker(enabled=True)), *others))


def board_of(inside: Inside) -> Board:
    assert isinstance(inside.board, Board)
    return inside.board


def document(inside: Inside) -> dict[str, Any]:
    return {each["name"]: each for each in backends(inside, NOW, NOW_US)["backends"]}


def test_a_backend_is_shown_with_what_was_written_next_to_it(make_inside: Callable[..., Inside], inside: Inside) -> None:
    app, *others = inside.config.pools
    first, *rest = app.backends
    labelled = make_inside(pools=(replace(app, backends=(replace(first, metadata=(("rack", "7"),)), *rest)), *others))
    assert document(labelled)[first.name]["metadata"] == {"rack": "7"}


def test_a_backend_says_how_it_stands_why_and_since_when(inside: Inside) -> None:
    board = board_of(inside)
    board.set_ejection(2, Ejection(times=1, until_us=0, total=3))
    for row in board.rows:
        row[cells.block(2) + cells.LEASES] = 4
        row[cells.block(2) + cells.ACTIVE] = 1
        cells.Row(row).observe_time(cells.block(2) + cells.UPSTREAM_TIME, 3000)
    shown = document(inside)["a2"]
    assert shown == {
        "pool": "app",
        "name": "a2",
        "address": "127.0.0.1:9002",
        "weight": 2,
        "backup": False,
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
        "failures": 0,
        "blamed": 0,
        "retries": 0,
        "mean_seconds": 0.003,
    }


def test_a_backend_that_nobody_asks_is_unchecked_until_something_is_decided(inside: Inside) -> None:
    from balance.health.states import State

    assert document(inside)["r1"]["state"] == "unchecked"
    board_of(inside).set_state(3, State.EJECTED, 4000.0, "5 failures in a row")
    assert (document(inside)["r1"]["state"], document(inside)["r1"]["why"]) == ("ejected", "5 failures in a row")


def test_an_open_breaker_says_why_since_when_and_when_it_is_tried_again(broken: Inside) -> None:
    evidence = board_of(broken).evidence(1)
    evidence[PHASE], evidence[CAUSE], evidence[OPENED] = Phase.OPEN, Signal.FAILURES, 2
    evidence[SINCE_US], evidence[UNTIL_US] = NOW_US - 20_000_000, NOW_US + 40_000_000
    assert document(broken)["a1"]["breaker"] == {
        "state": "open",
        "why": "too many failures in a row",
        "since": "1970-01-01T02:46:20.000+00:00",
        "opened": 2,
        "tried_again_in_seconds": 40.0,
    }
    assert document(broken)["a2"]["breaker"] == {"state": "closed", "why": None, "since": None, "opened": 0}


@pytest.mark.parametrize(("until_us", "phase"), [(NOW_US + 1, Phase.OPEN), (NOW_US, Phase.HALF_OPEN)])
def test_a_breaker_whose_time_is_over_is_half_open_for_the_next_request(broken: Inside, until_us: int, phase: Phase) -> None:
    evidence = board_of(broken).evidence(1)
    evidence[PHASE], evidence[UNTIL_US] = Phase.OPEN, until_us
    assert phase_of(next(broken.backends()), broken, NOW_US) is phase


def test_one_is_drained_when_every_worker_has_heard_of_it_and_holds_nothing_since(inside: Inside) -> None:
    board = board_of(inside)
    cell = cells.block(2) + cells.ACTIVE
    board.set_state(2, State.DRAINING, 2000.0, "ordered")
    ordered_us = board.states_us

    def is_drained() -> object:
        return document(inside)["a2"]["drained"]

    first, *others = board.rows
    for row in board.rows:
        row[cells.APPLIED_US] = ordered_us - 1  # may still have sent a request there that no gauge shows yet
    assert is_drained() is False
    for row in others:
        row[cells.APPLIED_US] = ordered_us
    assert is_drained() is False
    first[cells.APPLIED_US] = ordered_us
    assert is_drained() is True
    first[cell] = 1
    assert is_drained() is False
    first[cell], first[cells.APPLIED_US] = 0, 0
    assert is_drained() is False
    first[cells.PLACE] = 0  # nobody is there
    assert is_drained() is True
    board.set_state(2, State.HEALTHY, 2000.0)
    assert is_drained() is None


def test_two_states_are_never_written_at_the_same_moment(inside: Inside) -> None:
    board = board_of(inside)
    moments = []
    for _ in range(100):
        board.set_state(2, State.DRAINING, 2000.0)
        moments.append(board.states_us)
    assert len(set(moments)) == 100


def test_what_nobody_checks_is_not_unknown(inside: Inside) -> None:
    board = board_of(inside)
    board.set_state(3, State.UNKNOWN, 2000.0, "ordered on the admin port")
    assert document(inside)["r1"]["state"] == "unchecked"
    board.set_state(3, State.MAINTENANCE, 2000.0)
    assert document(inside)["r1"]["state"] == "maintenance"
