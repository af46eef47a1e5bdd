"""The instance and its processes."""

from __future__ import annotations

import os

from traffic_of_a_view import Watched

from balance.admin.state_view import StateView
from balance.runtime import counters


def test_what_runs_here(view: StateView) -> None:
    watched = Watched(view)
    first = watched.document["instance"]
    assert (first["stage"], first["healthy"], first["config_file"], first["pid"]) == ("serving", True, "test.yaml", os.getpid())
    assert first == watched.next()["instance"]  # nothing of it moves by itself
    other = Watched(view).document["instance"]
    assert other["id"] == first["id"] and other["control_id"] != first["control_id"]  # another control of the same instance
    view.started_at += 1
    assert Watched(view).document["instance"]["id"] != first["id"]


def test_workers_leaving_gone_and_alive(view: StateView) -> None:
    view.board.rows[1][counters.LEAVING] = 1
    watched = Watched(view)
    workers = watched.document["workers"]
    assert workers["0"]["state"] == "alive" and workers["0"]["memory_bytes"] > 0
    assert workers["1"] == {"state": "gone"}
    assert workers[f"1 leaving {os.getpid()}"]["state"] == "leaving"
    assert watched.next(10)["workers"]["0"]["cpu_share"] >= 0
    assert watched.document["control"]["streams"] == 0
