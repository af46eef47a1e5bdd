"""The admin port: every path, what it answers, and to whom."""

import json
import time
from collections.abc import Callable

import pytest
from asgi_client import ask

from balance.admin.application import HEALTH_PATHS, READY_PATHS, admin_app, metrics_app
from balance.admin.state_view import StateView
from balance.config.model import MetricsConfig
from balance.health.readiness import Stage
from balance.health.states import State
from balance.process.shared_memory.board import Board
from balance.runtime import counters
from balance.version import VERSION


def board_of(view: StateView) -> Board:
    assert isinstance(view.board, Board)
    return view.board


@pytest.mark.parametrize("path", HEALTH_PATHS)
def test_a_serving_instance_is_healthy_under_every_name(view: StateView, path: str) -> None:
    answer = ask(admin_app(view, is_local_only=True), path)
    assert (answer.status, answer.json) == (200, {"status": "healthy"})
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize("path", READY_PATHS)
def test_a_serving_instance_is_ready_under_every_name(view: StateView, path: str) -> None:
    answer = ask(admin_app(view, is_local_only=True), path)
    assert (answer.status, answer.json) == (200, {"status": "ready"})


def test_without_a_worker_the_instance_is_unhealthy(view: StateView) -> None:
    board = board_of(view)
    board.zero_gauges(0)
    board.zero_gauges(1)
    answer = ask(admin_app(view, is_local_only=True), "/healthz")
    assert (answer.status, answer.json) == (503, {"status": "unhealthy", "reasons": ["no worker is alive"]})


def all_down(board: Board) -> None:
    board.set_state(1, State.UNHEALTHY, 3000.0)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda board: board.set_stage(Stage.STARTING), "starting"),
        (lambda board: board.set_stage(Stage.DRAINING), "draining"),
        (all_down, "pool app: no backend is healthy"),
    ],
)
def test_an_instance_that_should_get_no_traffic_is_not_ready_but_healthy(
    view: StateView, change: Callable[[Board], None], reason: str
) -> None:
    change(board_of(view))
    ready = ask(admin_app(view, is_local_only=True), "/readyz")
    assert (ready.status, ready.json) == (503, {"status": "not ready", "reasons": [reason]})
    assert ask(admin_app(view, is_local_only=True), "/health").status == 200


def test_the_status_names_everything_at_a_glance(view: StateView) -> None:
    row = board_of(view).rows[0]
    row[counters.BEAT_US] = time.monotonic_ns() // 1000
    row[counters.CONNECTIONS_OPEN] = 3
    row[counters.block(1) + counters.LEASES] = 7
    document = ask(admin_app(view, is_local_only=True), "/status").json
    assert (document["status"], document["stage"], document["ready"]) == ("healthy", "serving", True)
    assert document["version"] == VERSION
    assert document["uptime_seconds"] > 0
    assert document["memory"]["resident_bytes"] > 0
    assert document["connections"]["active"] == 3
    assert [worker["state"] for worker in document["workers"]] == ["alive", "alive"]
    listener = {"name": "web", "mode": "http", "listen": ["127.0.0.1:8080"], "pool": "app", "routes": 0, "connections": 0}
    assert document["listeners"] == [listener | {"max_clients": None}]
    first, second = document["pools"][0]["backends"]
    assert (first["name"], first["state"], first["requests"]) == ("a1", "healthy", 7)
    assert (second["state"], second["last_check"]["reason"]) == ("unhealthy", "connection refused")
    assert document["pools"][1]["backends"][0]["state"] == "unchecked"


def test_the_status_stays_on_this_machine(public_view: StateView) -> None:
    answer = ask(admin_app(public_view, is_local_only=False), "/status")
    assert answer.status == 403
    assert "loopback" in answer.json["error"]


def test_the_backends_are_shown_on_this_machine_only(view: StateView, public_view: StateView) -> None:
    assert [each["name"] for each in ask(admin_app(view, is_local_only=True), "/backends").json["backends"]] == [
        "a1",
        "a2",
        "r1",
    ]
    assert ask(admin_app(public_view, is_local_only=False), "/backends").status == 403


LAST = ["backend app/a1 was the last of its pool that is ready: whatever is new there is refused now (no_healthy)"]


def test_an_order_is_obeyed_and_answered_with_what_holds(view: StateView) -> None:
    app = admin_app(view, is_local_only=True)
    for name, word, state, warnings in (
        ("a1", "drain", "draining", LAST),
        ("a1", "drain", "draining", []),
        ("app/a1", "enable", "unknown", []),
    ):
        answer = ask(app, f"/backends/{name}", "PATCH", json.dumps({"state": word}).encode())
        document = {"pool": "app", "name": "a1", "state": state, "warnings": warnings}
        assert (answer.status, answer.json) == (200, document)
    assert view.board.state(1)[0] is State.UNKNOWN


@pytest.mark.parametrize(
    ("path", "body", "host", "status"),
    [
        ("/backends/nobody", b'{"state": "drain"}', "127.0.0.1:9090", 404),
        ("/backends/a1", b"drain", "127.0.0.1:9090", 400),
        ("/backends/a1", b'{"state": "drain"}' + b" " * 100_000, "127.0.0.1:9090", 413),
        ("/backends/a1", b'{"state": "drain"}', "evil.example", 403),
    ],
)
def test_what_is_no_order_changes_nothing(view: StateView, path: str, body: bytes, host: str, status: int) -> None:
    assert ask(admin_app(view, is_local_only=True), path, "PATCH", body, Host=host).status == status
    assert view.board.state(1)[0] is State.HEALTHY


def test_no_order_is_taken_from_elsewhere(public_view: StateView) -> None:
    assert ask(admin_app(public_view, is_local_only=False), "/backends/a1", "PATCH", b'{"state": "drain"}').status == 403
    assert public_view.board.state(1)[0] is State.HEALTHY


@pytest.mark.parametrize("path", ["/health", "/ready", "/version", "/metrics"])
def test_what_carries_no_secret_answers_everywhere(public_view: StateView, path: str) -> None:
    assert ask(admin_app(public_view, is_local_only=False), path).status == 200


@pytest.mark.parametrize("path", ["/dashboard", "/nonsense", "/health/", "/metrics/x"])
def test_an_unknown_path_is_404_and_names_those_that_are(view: StateView, path: str) -> None:
    answer = ask(admin_app(view, is_local_only=True), path)
    assert answer.status == 404
    assert answer.json["error"].startswith(f"there is no {path}; there are /health, ")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_reading_is_all_that_is_allowed(view: StateView, method: str) -> None:
    answer = ask(admin_app(view, is_local_only=True), "/status", method)
    assert answer.status == 405
    assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD"}
    assert answer.json == {"error": f"{method} is not allowed on /status; GET and HEAD are"}


@pytest.mark.parametrize("path", ["/metrics", "/prometheus"])
@pytest.mark.parametrize(
    ("accept", "content_type"),
    [("", "text/plain"), ("application/openmetrics-text; version=1.0.0", "application/openmetrics-text")],
)
def test_metrics_come_in_the_format_that_is_asked_for(view: StateView, path: str, accept: str, content_type: str) -> None:
    answer = ask(admin_app(view, is_local_only=True), path, Accept=accept)
    assert answer.headers["content-type"].startswith(content_type)
    assert "balance_build_info{" in answer.text


def test_metrics_that_are_switched_off_are_not_there(make_view: Callable[..., StateView]) -> None:
    assert ask(admin_app(make_view(metrics=MetricsConfig(enabled=False)), is_local_only=True), "/metrics").status == 404


def test_the_metrics_own_listener_shows_metrics_and_answers_probes_and_nothing_else(
    make_view: Callable[..., StateView],
) -> None:
    app = metrics_app(make_view(metrics=MetricsConfig(path="/scrape")))
    assert [ask(app, path).status for path in ("/scrape", "/metrics", "/healthz")] == [200, 200, 200]
    assert ask(app, "/ready").json["status"] in ("ready", "not ready")
    assert [ask(app, path).status for path in ("/status", "/backends", "/version", "/openapi.json")] == [404] * 4
