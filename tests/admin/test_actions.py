"""Orders over the admin port: what the supervisor is asked, what comes back, and what the log keeps of it."""

import json
import logging
from typing import Any

import pytest
from asgi_client import Answer, ask
from fake_instance import TEXT, FakeInstance

from balance.admin.application import admin_app
from balance.admin.supervisor_orders import ChangeBackends, Order, OrderResult, Reload, Restart, Stop, Upgrade
from balance.errors import StartError
from balance.health.readiness import Stage
from balance.health.states import Event, State


def say(fake_instance: FakeInstance, method: str, path: str, body: Any = None, **headers: str) -> Answer:
    data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    return ask(admin_app(fake_instance.view, is_local_only=True), path, method, data, **headers)


def weights(fake_instance: FakeInstance) -> dict[str, int]:
    return {seen.backend.name: seen.backend.weight for seen in fake_instance.view.backends()}


def test_a_reload_is_done_and_tells_what_changed() -> None:
    fake_instance = FakeInstance()
    fake_instance.source = fake_instance.source.with_text(TEXT.replace("weight: 2", "weight: 5"))
    answer = say(fake_instance, "POST", "/reload")
    assert answer.status == 200
    assert answer.json == {
        "done": True,
        "generation": 2,
        "summary": "~1 backend",
        "changes": ["~ backend app/a2: weight 2 -> 5"],
        "dropped": [],
        "problems": [],
    }
    assert fake_instance.asked == [Reload()]


def test_a_reload_that_is_refused_changes_nothing_and_says_why() -> None:
    fake_instance = FakeInstance()
    fake_instance.source = fake_instance.source.with_text(TEXT.replace("weight: 2", "weight: -1"))
    answer = say(fake_instance, "POST", "/reload")
    assert answer.status == 409
    assert answer.json["done"] is False
    assert answer.json["generation"] == 1
    assert answer.json["problems"] == [answer.json["error"]]
    assert "pools.app.backends[1].weight: -1 is not in 0..65535" in answer.json["error"]
    assert weights(fake_instance)["a2"] == 2


def test_a_dry_run_changes_nothing() -> None:
    fake_instance = FakeInstance()
    fake_instance.source = fake_instance.source.with_text(TEXT.replace("weight: 2", "weight: 5"))
    answer = say(fake_instance, "POST", "/reload?dry_run=true")
    assert (answer.status, answer.json["generation"], answer.json["summary"]) == (200, 1, "~1 backend")
    assert weights(fake_instance)["a2"] == 2


def test_a_rollback_serves_what_was_served_before() -> None:
    fake_instance = FakeInstance()
    assert say(fake_instance, "POST", "/reload", {"rollback": True}).status == 409
    fake_instance.source = fake_instance.source.with_text(TEXT.replace("weight: 2", "weight: 5"))
    say(fake_instance, "POST", "/reload")
    assert say(fake_instance, "POST", "/reload", {"rollback": True}).status == 200
    assert weights(fake_instance)["a2"] == 2
    assert fake_instance.asked[-1] == Reload(rollback=True)
    assert say(fake_instance, "POST", "/reload", {"rollback": 2}).status == 200
    assert weights(fake_instance)["a2"] == 5
    assert fake_instance.asked[-1] == Reload(rollback=True, to=2)


def test_a_difference_is_told_without_a_change() -> None:
    fake_instance = FakeInstance()
    answer = say(fake_instance, "POST", "/diff", TEXT.replace("weight: 2", "weight: 5").encode())
    assert (answer.status, answer.json["changes"]) == (200, ["~ backend app/a2: weight 2 -> 5"])
    wrong = say(fake_instance, "POST", "/diff", b"listen: 5\n")
    assert wrong.status == 409
    assert wrong.json["problems"][0].startswith("test.yaml:1:1: backends: is missing")
    assert fake_instance.number == 1


@pytest.mark.parametrize("body", [b"", b" \n", b"\xff"])
def test_a_difference_needs_a_text(body: bytes) -> None:
    assert say(FakeInstance(), "POST", "/diff", body).status == 400


def test_backends_come_change_and_go() -> None:
    fake_instance = FakeInstance()
    new = {"pool": "app", "name": "a3", "address": "127.0.0.1:9004", "weight": 7}
    added = say(fake_instance, "POST", "/backends", new)
    assert (added.status, added.json["changes"]) == (200, ["+ backend app/a3 (127.0.0.1:9004, weight 7)"])
    changed = say(fake_instance, "PATCH", "/backends/a3", {"weight": 2})
    assert (changed.status, changed.json["changes"], changed.json["state"]) == (
        200,
        ["~ backend app/a3: weight 7 -> 2"],
        "unchecked",
    )
    assert weights(fake_instance) == {"a1": 1, "a2": 2, "a3": 2, "r1": 1}
    removed = say(fake_instance, "DELETE", "/backends/app/a1")
    assert (removed.status, removed.json["summary"]) == (200, "-1 backend")
    assert list(weights(fake_instance)) == ["a2", "a3", "r1"]
    assert say(fake_instance, "DELETE", "/backends/a1").status == 404


def test_what_was_changed_holds_over_a_reload_until_it_is_discarded() -> None:
    fake_instance = FakeInstance()
    say(fake_instance, "PATCH", "/backends/a2", {"weight": 9})
    say(fake_instance, "POST", "/reload")
    assert weights(fake_instance)["a2"] == 9
    say(fake_instance, "POST", "/reload", {"discard_changes": True})
    assert weights(fake_instance)["a2"] == 2


def test_a_change_that_the_file_overtakes_is_said_to_be_dropped() -> None:
    fake_instance = FakeInstance()
    say(fake_instance, "PATCH", "/backends/a2", {"weight": 9})
    fake_instance.source = fake_instance.source.with_text(TEXT.replace("weight: 2", "weight: 5"))
    answer = say(fake_instance, "POST", "/reload")
    assert answer.json["dropped"] == [
        "the change of backend app/a2 (weight 9) is dropped: the file says something new about it"
    ]


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "said"),
    [
        ("POST", "/backends", {"pool": "app", "name": "a1", "address": "h:1"}, 409, "pool app has a backend 'a1' already"),
        ("POST", "/backends", {"name": "x", "address": "h:1"}, 409, "say which pool is meant: app, raw"),
        ("POST", "/backends", {"pool": "app", "name": "x"}, 409, "'address' is missing"),
        ("POST", "/backends", {"pool": "app", "weight": 1}, 400, "has no name"),
        ("POST", "/backends", b"{", 400, "is not JSON"),
        ("POST", "/backends", b"x" * 5000, 413, "larger than 4096 bytes"),
        ("PATCH", "/backends/a1", {"weight": -1}, 409, "-1 is not in 0..65535"),
        ("PATCH", "/backends/a1", {"state": "drain", "for": "1h"}, 409, "unknown key"),
        ("PATCH", "/backends/a1", {"state": "gone", "weight": 3}, 400, "cannot be ordered"),
        ("PATCH", "/backends/a1", {"name": "b"}, 409, "can't be given another name"),
        ("PATCH", "/backends/a1", {}, 400, "is no order"),
        ("PATCH", "/backends/a1", {"metadata": {"k": "\ud800"}}, 409, "has half of a character"),
        ("PATCH", "/backends/a1", {"metadata": {"\ud800": "v"}}, 409, "has half of a character"),
        ("PATCH", "/backends/a1", {"\ud800": 1}, 409, "unable to parse"),
        ("POST", "/backends", {"name": "\ud800", "pool": "app", "address": "h:1"}, 409, "has half of a character"),
        ("POST", "/backends", {"name": "x", "pool": "\ud800", "address": "h:1"}, 409, "there is no pool"),
        ("PATCH", "/backends/zz", {"weight": 1}, 404, "there is no backend 'zz'; there are a1, a2, r1"),
        ("DELETE", "/backends/r1", None, 409, "is empty; write at least one backend"),
        ("POST", "/reload", {"rolback": True}, 400, "is no order"),
        ("POST", "/reload?dry_run=maybe", None, 400, "dry_run is true or false"),
    ],
)
def test_what_cannot_be_done_changes_nothing(method: str, path: str, body: Any, status: int, said: str) -> None:
    fake_instance = FakeInstance()
    answer = say(fake_instance, method, path, body)
    assert answer.status == status
    assert said in answer.json["error"]
    assert (fake_instance.number, weights(fake_instance)) == (1, {"a1": 1, "a2": 2, "r1": 1})


@pytest.mark.parametrize(
    ("path", "order"), [("/restart", Restart()), ("/upgrade", Upgrade()), ("/drain", Stop()), ("/reload", Reload())]
)
def test_orders_reach_the_supervisor(path: str, order: Order) -> None:
    fake_instance = FakeInstance()
    assert say(fake_instance, "POST", path).status == 200
    assert fake_instance.asked == [order]
    assert (fake_instance.board.stage is Stage.DRAINING) is (path == "/drain")


ORDERS = [
    ("POST", "/reload"),
    ("POST", "/diff"),
    ("POST", "/backends"),
    ("PATCH", "/backends/a1"),
    ("DELETE", "/backends/a1"),
    ("POST", "/drain"),
    ("POST", "/restart"),
    ("POST", "/upgrade"),
]


@pytest.mark.parametrize(("method", "path"), ORDERS)
def test_no_order_is_taken_from_elsewhere_or_from_a_page_of_others(method: str, path: str) -> None:
    fake_instance = FakeInstance()
    assert say(fake_instance, method, path, {"weight": 3}, Host="evil.example").status == 403
    assert say(fake_instance, method, path, {"weight": 3}, Host="127.0.0.1:9090", Origin="http://evil.example").status == 403
    public_view = admin_app(fake_instance.view, is_local_only=False)
    assert ask(public_view, path, method, b'{"weight": 3}', Host="127.0.0.1:9090").status == 403
    assert fake_instance.asked == []


def test_each_order_is_logged_once_with_who_gave_it(caplog: pytest.LogCaptureFixture) -> None:
    fake_instance = FakeInstance()
    with caplog.at_level(logging.INFO, "balance.admin"):
        say(fake_instance, "PATCH", "/backends/a1", {"weight": 3})
        say(fake_instance, "PATCH", "/backends/a1", {"weight": -1})
        say(fake_instance, "PATCH", "/backends/a1", {"state": "drain"})
        say(fake_instance, "POST", "/reload?dry_run=1")
        say(fake_instance, "GET", "/config")
    lines = [record.getMessage() for record in caplog.records if record.name == "balance.admin"]
    assert lines == [
        "ordered by unauthenticated at 127.0.0.1:5555: set backend app/a1 (weight 3): done, ~1 backend",
        "ordered by unauthenticated at 127.0.0.1:5555: set backend app/a1 (weight -1): refused: admin API: "
        "pools.app.backends[0].weight: -1 is not in 0..65535",
        "ordered by unauthenticated at 127.0.0.1:5555: drain backend app/a1: done",
        "ordered by unauthenticated at 127.0.0.1:5555: reload: would be done, nothing changed",
    ]
    assert [event.kind for event in fake_instance.view.events.since(0)] == ["order"] * 4


@pytest.mark.parametrize("error", [TimeoutError(), BrokenPipeError("gone"), StartError("gone")])
def test_a_supervisor_that_does_not_answer_is_503(error: Exception) -> None:
    async def silent(order: Order) -> OrderResult:
        raise error

    fake_instance = FakeInstance()
    fake_instance.view.submit_order = silent
    answer = say(fake_instance, "POST", "/reload")
    assert answer.status == 503
    assert answer.json["error"].startswith("the supervisor does not answer: ")


def test_both_a_weight_and_a_state_can_be_ordered() -> None:
    fake_instance = FakeInstance()
    answer = say(fake_instance, "PATCH", "/backends/a1", {"weight": 4, "state": "drain"})
    assert (answer.status, answer.json["name"], answer.json["done"]) == (200, "a1", True)
    assert weights(fake_instance)["a1"] == 4
    assert isinstance(fake_instance.asked[0], ChangeBackends)


def test_a_dry_run_drains_nobody_either() -> None:
    fake_instance = FakeInstance()
    ordered: list[Event] = []

    def order(slot: int, event: Event, reason: str) -> State:
        ordered.append(event)
        fake_instance.board.set_state(slot, State.DRAINING, 1000.0)
        return State.DRAINING

    fake_instance.view.apply_admin_event = order
    for query, state in (("?dry_run=1", "unchecked"), ("", "draining")):
        answer = say(fake_instance, "PATCH", f"/backends/a1{query}", {"state": "drain"})
        assert (answer.status, answer.json["state"]) == (200, state)
    assert ordered == [Event.DRAIN]


def test_a_backend_with_another_address_is_shown_as_it_stands_and_not_as_the_one_before() -> None:
    fake_instance = FakeInstance()
    fake_instance.board.set_state(1, State.DRAINING, 1000.0)

    async def moved(order: Order) -> OrderResult:
        order_result = await fake_instance.submit_order(order)
        fake_instance.view.slots = {**fake_instance.view.slots, ("app", "a1"): 4}  # as the book of slots has it
        return order_result

    fake_instance.view.submit_order = moved
    assert say(fake_instance, "PATCH", "/backends/a1", {"address": "127.0.0.1:9009"}).json["state"] == "unchecked"
    assert say(fake_instance, "PATCH", "/backends/a1?dry_run=1", {"weight": 2, "state": "drain"}).json["state"] == "unchecked"
