"""The status page's document: the workers as they stand, and spans of time as people say them."""

import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from balance.admin.state_view import StateView
from balance.admin.status import duration, pools, status
from balance.config.model import BackendConfig, PoolConfig
from balance.model import Address
from balance.process.shared_memory.board import Board
from balance.runtime import counters

NOW_US = 60_000_000


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0s"), (59.9, "59s"), (60, "1m0s"), (185, "3m5s"), (7205, "2h0m5s"), (94_000, "1d2h6m")],
)
def test_durations_are_written_as_people_say_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def document(view: StateView) -> dict[str, Any]:
    return status(view, now=600.0, now_us=NOW_US)


def test_every_worker_is_shown_with_how_it_stands_and_what_it_serves(view: StateView) -> None:
    board = view.board
    assert isinstance(board, Board)
    for row, beat_us, leaving in zip(board.rows, (NOW_US, 1), (0, 0), strict=True):
        row[counters.BEAT_US], row[counters.LEAVING], row[counters.GENERATION] = beat_us, leaving, 7
    board.rows[0][counters.CONNECTIONS_OPEN] = 3
    board.rows[0][counters.EXCHANGES_OPEN] = 2
    board.rows[0][counters.LAG_MAX_US] = 1500
    first, second = document(view)["workers"]
    shown = {"worker": 0, "pid": os.getpid(), "state": "alive", "generation": 7, "connections": 3, "requests": 2}
    assert first.items() >= (shown | {"loop_lag_seconds": 0.0015}).items()
    assert first["memory_bytes"] > 0
    assert second["state"] == "stuck"
    board.rows[0][counters.LEAVING] = 1
    assert [worker["state"] for worker in document(view)["workers"]] == ["gone", "stuck", "leaving"]


def test_whoever_is_shown_is_shown_with_the_same_keys(view: StateView) -> None:
    board = view.board
    assert isinstance(board, Board)
    board.zero_gauges(1)
    alive, gone = document(view)["workers"]
    assert set(alive) == set(gone)
    assert (gone["worker"], gone["pid"], gone["state"]) == (1, None, "gone")


def test_the_configuration_that_is_served_is_named(view: StateView) -> None:
    board = view.board
    assert isinstance(board, Board)
    board.set_generation(12)
    shown = document(view)
    assert (shown["generation"], shown["config"], shown["uptime_seconds"]) == (12, "test.yaml", 100.0)


def test_many_pools_cost_no_more_than_their_backends(make_view: Callable[..., StateView]) -> None:
    view = make_view(pools=tuple(PoolConfig(f"p{n}", (BackendConfig("b", Address("h", n)),)) for n in range(1, 51)))
    seen = list(view.backends())
    looks = []

    class Counted:
        def __getattr__(self, name: str) -> object:
            looks.append(name)
            return getattr(view.board, name)

    shown = pools(replace(view, board=Counted()), now=600.0, now_us=NOW_US)  # type: ignore[arg-type]
    assert [pool["backends"][0]["address"] for pool in shown] == [str(each.backend.address) for each in seen]
    assert looks.count("state") == len(seen)
