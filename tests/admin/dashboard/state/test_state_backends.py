"""A backend's row: state and reason, shares against what is due, rates, percentiles, and what an order depends on."""

from __future__ import annotations

from dataclasses import replace

import pytest
from traffic_of_a_view import EPOCH, MakeView, Watched

from balance.admin.dashboard.state.backends import MOVED_ROWS, TURNS, version
from balance.admin.metrics.totals import Totals
from balance.admin.state_view import StateView
from balance.config.model import BackendConfig, HealthCheck, PoolConfig
from balance.health.circuit_breaker import STATE, TOTAL_OPENINGS, UNTIL_US, BreakerState
from balance.health.states import State
from balance.model import Address, Why
from balance.runtime import counters


def test_a_row_says_why_a_backend_is_out(view: StateView) -> None:
    row = Watched(view).document["backends"]["app/a2"]
    assert (row["state"], row["out"], row["why"]) == ("unhealthy", True, "it said no")
    assert row["reason"] == "Its health checks fail (it said no); it is back after 2 good checks in a row."
    assert row["check"] == {"ok": False, "text": "connection refused", "seconds": 0.25}
    assert Watched(view).document["backends"]["app/a1"]["out"] is False


def test_rates_shares_and_percentiles(view: StateView) -> None:
    view.board.set_state(2, State.HEALTHY, 3000.0)  # type: ignore[attr-defined]
    watched = Watched(view)
    watched.serve(1, 30, us=2000)
    watched.serve(2, 10, us=40_000, worker=1)
    watched.serve(2, 10, status=503, us=40_000)
    rows = watched.next()["backends"]
    assert (rows["app/a1"]["rate"], rows["app/a2"]["rate"]) == (30.0, 20.0)
    assert (rows["app/a1"]["share"], rows["app/a2"]["share"]) == (0.6, 0.4)
    assert (rows["app/a1"]["due_share"], rows["app/a2"]["due_share"]) == (0.5, 0.5)  # round-robin goes by no weight
    assert (rows["app/a1"]["errors"], rows["app/a2"]["errors"]) == (0.0, 10.0)
    assert 0.001 <= rows["app/a1"]["p50_seconds"] <= 0.0025
    assert 0.025 <= rows["app/a2"]["p99_seconds"] <= 0.05
    assert rows["app/a1"]["last_hit_at"] == EPOCH + 2


def test_what_is_quiet_is_the_same_row(view: StateView) -> None:
    watched = Watched(view)
    watched.serve(1, 3)
    for _ in range(15):
        watched.next()
    before = watched.document["backends"]
    after = watched.next()["backends"]
    assert all(after[name] is before[name] for name in before)
    assert after["app/a1"]["rate"] == 0.0


@pytest.mark.parametrize(
    ("algorithm", "states", "threshold", "expected"),
    [
        ("weighted-round-robin", [State.HEALTHY] * 3, 0, [0.25, 0.75, 0.0]),
        ("round-robin", [State.HEALTHY] * 3, 0, [0.5, 0.5, 0.0]),
        ("least-connections", [State.HEALTHY, State.DRAINING, State.HEALTHY], 0, [1.0, 0.0, 0.0]),
        ("maglev", [State.UNHEALTHY, State.UNHEALTHY, State.HEALTHY], 0, [0.0, 0.0, 1.0]),  # the backup
        ("maglev", [State.UNHEALTHY, State.UNHEALTHY, State.UNHEALTHY], 50, [0.25, 0.75, 0.0]),  # a panic
        ("maglev", [State.UNHEALTHY, State.MAINTENANCE, State.UNHEALTHY], 0, [None, None, None]),
    ],
)
def test_due_shares(
    make_view: MakeView, algorithm: str, states: list[State], threshold: int, expected: list[float | None]
) -> None:
    addresses = [Address("127.0.0.1", port) for port in (9001, 9002, 9003)]
    backends = (
        BackendConfig("a", addresses[0]),
        BackendConfig("b", addresses[1], weight=3),
        BackendConfig("c", addresses[2], backup=True),
    )
    check = HealthCheck(enabled=True, panic_threshold=threshold)
    pool = PoolConfig("app", backends, algorithm=algorithm, health_check=check)
    view = make_view(pools=(pool,))
    for backend, state in zip(backends, states, strict=True):
        view.board.set_state(view.slots["app", backend.name], state, 1.0)  # type: ignore[attr-defined]
    rows = Watched(view).document["backends"]
    assert [rows[f"app/{name}"].get("due_share") for name in "abc"] == expected


def test_an_open_breaker_has_an_end(make_view: MakeView) -> None:
    view = make_view()
    (app, raw) = view.config.pools
    view.config = replace(view.config, pools=(replace(app, breaker=replace(app.breaker, enabled=True)), raw))
    evidence = view.board.evidence(1)
    evidence[STATE], evidence[TOTAL_OPENINGS], evidence[UNTIL_US] = BreakerState.OPEN, 3, int(1031e6)
    row = Watched(view).document["backends"]["app/a1"]
    assert (row["out"], row["back_at"], row["breaker"]["state"]) == (True, EPOCH + 31, "open")
    assert row["breaker"] == {"state": "open", "opened_total": 3, "failures_total": 0, "back_at": EPOCH + 31}


def test_a_version_differs_when_settings_or_an_operator_changed_and_not_with_health() -> None:
    backend = BackendConfig("a", Address("127.0.0.1", 9001))
    same = {version(backend, state) for state in (State.UNKNOWN, State.HEALTHY, State.UNHEALTHY, State.EJECTED)}
    assert len(same) == 1
    others = {version(replace(backend, weight=2), State.HEALTHY), version(backend, State.DRAINING), *same}
    assert len(others) == 3


def test_failed_tries_are_told_by_their_why_and_are_no_requests(view: StateView) -> None:
    watched = Watched(view)
    for worker in (0, 1):
        watched.rows[worker].count_request(counters.series_key(1, counters.FAILED_TRIES, Why.CONNECT_REFUSED))
    watched.rows[0].count_request(counters.series_key(1, counters.FAILED_TRIES, Why.RESET_BEFORE_RESPONSE))
    document = watched.next()
    assert document["backends"]["app/a1"]["errors_by_why"] == {"connect_refused": 2, "reset_before_response": 1}
    assert "errors_by_why" not in document["backends"]["app/a2"]
    assert document["totals"]["requests_total"] == 0 == sum(Totals(view.board.rows).series().values())


def test_a_counter_that_goes_down_is_no_negative_rate(view: StateView) -> None:
    watched = Watched(view)
    watched.serve(1, 100)
    watched.next()
    view.board.rows[0][counters.block(1) + counters.LEASES] = 3
    row = watched.next()["backends"]["app/a1"]
    assert row["rate"] == 1.5 and row.get("share", 0.0) >= 0  # three in the two seconds of the window


def busy_pool(make_view: MakeView, backends: int) -> StateView:
    members = tuple(BackendConfig(f"b{number}", Address("10.0.0.1", 1000 + number)) for number in range(backends))
    view = make_view(pools=(PoolConfig("app", members),))
    for slot in view.slots.values():
        view.board.set_state(slot, State.HEALTHY, 1000.0)  # type: ignore[attr-defined]
    return view


def serve_all(watched: Watched) -> None:
    for slot in watched.view.slots.values():
        watched.serve(slot)


def test_of_very_many_busy_rows_a_quarter_is_made_anew_each_time(make_view: MakeView) -> None:
    watched = Watched(busy_pool(make_view, 900))
    serve_all(watched)
    before = watched.next()["backends"]
    seen = set()
    for _ in range(TURNS):
        serve_all(watched)
        rows = watched.next(in_turns=True)["backends"]
        made = {name for name in rows if rows[name] is not before[name]}
        assert len(made) == 900 / TURNS
        assert not made & seen
        seen |= made
        before = rows
    watched.view.board.set_state(7, State.DRAINING, 2000.0, "an operator")  # type: ignore[attr-defined]
    rows = watched.next(in_turns=True)["backends"]
    assert [row["name"] for row in rows.values() if row["out"]] == ["b6"]
    serve_all(watched)
    rows = watched.next()["backends"]
    assert all(rows[name] is not before[name] for name in rows)  # who asks once is told all


def test_a_hundred_busy_rows_are_all_made_anew(make_view: MakeView) -> None:
    watched = Watched(busy_pool(make_view, MOVED_ROWS))
    serve_all(watched)
    before = watched.next()["backends"]
    serve_all(watched)
    rows = watched.next(in_turns=True)["backends"]
    assert all(rows[name] is not before[name] for name in rows)
