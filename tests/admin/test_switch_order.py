"""Switching a blue-green route over the admin port."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from asgi_client import Answer, ask
from fake_instance import FakeInstance

from balance.admin.application import admin_app
from balance.admin.supervisor_orders import ChangeBackends
from balance.config.overrides.route_switch import RouteSwitch
from balance.health.states import State

ROUTE = "{name: %s, path_prefix: /%s, policy: {blue_green: {blue: v1, green: v2}}}"
POOLS = """\
pools:
  v1: {backends: [{name: a, address: "127.0.0.1:9001"}]}
  v2: {backends: [{name: b, address: "127.0.0.1:9002"}, {name: c, address: "127.0.0.1:9003", weight: 0}]}
"""
SHARED = f"""\
listeners: [{{name: web, listen: "127.0.0.1:8080"}}, {{name: tls, listen: "127.0.0.1:8443"}}]
http: {{routes: [{ROUTE % ("shop", "shop")}, {{name: rest, pool: v1}}]}}
{POOLS}"""
OWN = f"""\
listeners:
- {{name: web, listen: "127.0.0.1:8080", http: {{routes: [{ROUTE % ("shop", "shop")}]}}}}
- {{name: tls, listen: "127.0.0.1:8443", http: {{routes: [{ROUTE % ("shop", "shop")}]}}}}
{POOLS}"""


@pytest.fixture
def instance() -> FakeInstance:
    return serving(SHARED)


def serving(text: str) -> FakeInstance:
    made = FakeInstance()
    made.source = made.source.with_text(text)
    assert say(made, "/reload").status == 200
    made.asked.clear()
    return made


def say(instance: FakeInstance, path: str, body: Any = None) -> Answer:
    data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    return ask(admin_app(instance.view, is_local_only=True), path, "POST", data)


def active(instance: FakeInstance) -> dict[str, str]:
    sides = {}
    for listener in instance.view.config.listeners:
        policy = listener.http.routes[0].policy.blue_green
        assert policy is not None
        sides[listener.name] = policy.active
    return sides


def test_it_switches_to_the_other_side_and_back(instance: FakeInstance, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "balance.admin"):
        answer = say(instance, "/policy/shop/switch")
        assert (answer.status, answer.json["active"], answer.json["pool"], answer.json["done"]) == (200, "green", "v2", True)
        assert answer.json["changes"][0] == "~ policy.blue_green of route web/shop: active blue -> green"
        assert active(instance) == {"web": "green", "tls": "green"}
        assert say(instance, "/policy/shop/switch", {"to": "green"}).json["changes"] == []
        assert say(instance, "/policy/shop/switch", {}).json["active"] == "blue"
    assert active(instance) == {"web": "blue", "tls": "blue"}
    assert instance.changes == ()
    assert instance.asked[0] == ChangeBackends((RouteSwitch("", "shop", "green"),))
    lines = [record.getMessage() for record in caplog.records]
    assert lines[0].startswith("ordered by unauthenticated at 127.0.0.1:5555: switch route shop to green: done, ")
    assert [line for line in lines if not line.startswith("ordered")] == [
        "route shop is switched to green (pool v2)", "route shop is switched to blue (pool v1)"
    ]  # fmt: skip
    switches = [event for event in instance.view.events.since(0) if event.kind == "switch"]
    assert [event.text for event in switches] == ["route shop switched to green", "route shop switched to blue"]


def test_a_dry_run_switches_nothing(instance: FakeInstance) -> None:
    answer = say(instance, "/policy/shop/switch?dry_run=true", {"to": "green"})
    assert (answer.status, len(answer.json["changes"])) == (200, 2)
    assert active(instance)["web"] == "blue"
    assert not [event for event in instance.view.events.since(0) if event.kind == "switch"]


@pytest.mark.parametrize(
    ("state", "is_refused"),
    [
        (State.DRAINING, True),
        (State.MAINTENANCE, True),
        (State.UNHEALTHY, True),
        (State.HEALTHY, False),
        (State.UNKNOWN, False),
    ],
)
def test_a_side_without_a_ready_backend_is_refused_unless_forced(
    instance: FakeInstance, state: State, is_refused: bool
) -> None:
    slot = next(each.slot for each in instance.view.backends() if each.backend.name == "b")
    instance.board.set_state(slot, state, 1.0, "")  # that of weight 0 does not count
    answer = say(instance, "/policy/shop/switch", {"to": "green"})
    assert (answer.status == 409) is is_refused
    if is_refused:
        assert answer.json["error"] == (
            "pool v2 has no backend that is ready, so route shop is not switched to green; "
            'to do it all the same: balance switch --force, or "force": true'
        )
        assert "\n" not in answer.json["error"]
        assert instance.asked == []
        assert active(instance)["web"] == "blue"
        assert say(instance, "/policy/shop/switch", {"to": "green", "force": True}).status == 200
    assert active(instance)["web"] == "green"


def test_of_several_listeners_the_one_that_is_named() -> None:
    instance = serving(OWN)
    answer = say(instance, "/policy/shop/switch", {"to": "green"})
    assert (answer.status, answer.json["error"]) == (
        409, "admin API: several listeners have a route 'shop'; say which: web, tls"
    )  # fmt: skip
    assert say(instance, "/policy/shop/switch", {"listener": "tls"}).status == 200
    assert active(instance) == {"web": "blue", "tls": "green"}
    assert say(instance, "/policy/shop/switch", {}).status == 409
    assert say(instance, "/policy/shop/switch", {"listener": "tls"}).json["active"] == "blue"


@pytest.mark.parametrize(
    ("path", "body", "status", "said"),
    [
        ("/policy/other/switch", None, 404, "there is no route 'other'; those with policy.blue_green are shop"),
        ("/policy/shop/switch", {"listener": "x"}, 404, "there is no route 'shop' in listener 'x'"),
        ("/policy/rest/switch", None, 409, "route 'rest' has no policy.blue_green"),
        ("/policy/shop/switch", {"to": "red"}, 400, "the body is no order"),
        ("/policy/shop/switch", {"to": None}, 400, "the body is no order"),
        ("/policy/shop/switch", {"force": 1}, 400, "the body is no order"),
        ("/policy/shop/switch", {"side": "green"}, 400, "the body is no order"),
        ("/policy/shop/switch", b"{", 400, "the body is not JSON"),
        ("/policy/shop/switch", [], 400, "the body is no order"),
        ("/policy/shop/switch?dry_run=maybe", None, 400, "dry_run"),
    ],
)
def test_what_is_no_such_order(instance: FakeInstance, path: str, body: Any, status: int, said: str) -> None:
    answer = say(instance, path, body)
    assert answer.status == status
    assert said in answer.json["error"]
    assert instance.asked == []


def test_a_switch_outlives_a_reload_and_ends_with_discard_changes(instance: FakeInstance) -> None:
    say(instance, "/policy/shop/switch")
    assert say(instance, "/reload").json["dropped"] == []
    assert active(instance)["web"] == "green"
    say(instance, "/reload", {"discard_changes": True})
    assert active(instance)["web"] == "blue"
