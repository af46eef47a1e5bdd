"""A pool's row: sums of its backends, its retry budget, and why nothing of it is ready."""

from __future__ import annotations

from dataclasses import replace

import pytest
from traffic_of_a_view import Watched

from balance.admin.discovery import DiscoveryView
from balance.admin.state_view import StateView
from balance.discovery.endpoint_set import Standing
from balance.health.states import State
from balance.runtime import counters


def test_sums(view: StateView) -> None:
    watched = Watched(view)
    watched.serve(1, 6)
    watched.serve(2, 3, status=502, worker=1)
    view.board.rows[1][counters.block(1) + counters.WAITING] = 4
    pool = watched.next()["pools"]["app"]
    assert (pool["backends"], pool["ready"], pool["rate"], pool["errors_5xx"]) == (2, 1, 9.0, 3.0)
    assert (pool["requests_total"], pool["waiting"], pool["health_check"]) == (9, 4, "http")
    assert 0.001 < pool["p50_seconds"] < 0.005
    assert "reason" not in pool


def test_a_retry_budget_is_used_up_by_retries(view: StateView) -> None:
    watched = Watched(view)
    assert watched.document["pools"]["app"]["retry_budget"]["left_share"] == 1.0
    watched.serve(1, 500)  # a fifth of them, and ten a second anyway: 200 within ten seconds
    view.board.rows[0][counters.block(1) + counters.RETRIES] += 50
    assert 0.7 < watched.next()["pools"]["app"]["retry_budget"]["left_share"] < 0.76
    view.board.rows[0][counters.block(1) + counters.RETRIES] += 500
    assert watched.next()["pools"]["app"]["retry_budget"]["left_share"] == 0.0


def test_a_pool_without_a_ready_backend_says_so(view: StateView) -> None:
    view.board.set_state(1, State.DRAINING, 1.0)  # type: ignore[attr-defined]
    pool = Watched(view).document["pools"]["app"]
    assert (pool["ready"], pool["reason"]) == (0, "No backend takes its share: 1 draining, 1 unhealthy.")


def test_a_pool_with_discovery_says_how_that_stands(view: StateView) -> None:
    found = DiscoveryView("file", "/x", Standing.STALE, 1.0, 2, failure="no answer")
    view.discovery = lambda: {"app": found, "raw": DiscoveryView("dns", "app.example", Standing.STALE, 1.0, 2, is_held=True)}
    pools = Watched(view).next()["pools"]
    assert pools["app"]["discovery"] == {"kind": "file", "state": "stale", "source": "/x", "why": "no answer"}
    assert pools["raw"]["discovery"]["why"] == "the source says that there is nobody"


@pytest.mark.parametrize(
    ("mode", "url", "kept_in"),
    [
        ("cookie", "", "cookie"),
        ("cookie", "redis://127.0.0.1", "cookie"),
        ("redis", "redis://127.0.0.1", "redis"),
        ("header", "redis://127.0.0.1", "memory"),
        ("source-ip", "", "memory"),
    ],
)
def test_a_pool_says_where_its_sessions_are_kept(view: StateView, mode: str, url: str, kept_in: str) -> None:
    app, *rest = view.config.pools
    app = replace(app, affinity=replace(app.affinity, enabled=True, mode=mode))
    view.config = replace(view.config, pools=(app, *rest), redis=replace(view.config.redis, url=url))
    sessions = Watched(view).next()["pools"]["app"]["sessions"]
    assert (sessions["mode"], sessions["kept_in"]) == (mode, kept_in)
