"""What an order will do is said before it is given."""

from __future__ import annotations

import json
from typing import Any

import pytest
from asgi_client import ask
from fake_instance import FakeInstance

from balance.admin.application import admin_app
from balance.health.states import State
from balance.runtime import counters


@pytest.mark.parametrize(
    ("name", "order", "sentence"),
    [
        (
            "app/a1",
            {"state": "drain"},
            "Nothing new goes to app/a1; 12 under way there are let finish. "
            "1 of 2 backends of pool app stay and take its requests.",
        ),
        (
            "raw/r1",
            {"state": "maintenance"},
            "Nothing goes to raw/r1 any more, where nothing is under way; its sessions move on. "
            "No other backend of pool raw is ready: its new requests are refused.",
        ),
        ("app/a1", {"state": "enable"}, "app/a1 gets its share again at once."),
        ("app/a2", {"weight": 5}, "round-robin goes by no weight, so that the shares stay as they are."),
        ("raw/r1", {"weight": 0}, "Nothing new but its sessions goes to raw/r1, "),
    ],
)
def test_orders_for_backends(name: str, order: dict[str, Any], sentence: str) -> None:
    fake_instance = FakeInstance()
    view = fake_instance.view
    view.board.rows[1][counters.block(view.slots["app", "a1"]) + counters.ACTIVE] = 12
    app = admin_app(view, is_local_only=True)
    answer = ask(app, f"/backends/{name}?dry_run=true", "PATCH", json.dumps(order).encode())
    assert answer.status == 200
    assert answer.json["preview"].startswith(sentence)
    assert fake_instance.board.state(1)[0] is State.UNKNOWN and fake_instance.number == 1
    assert "preview" not in ask(app, f"/backends/{name}", "PATCH", json.dumps(order).encode()).json


def test_a_removal_and_a_reload() -> None:
    fake_instance = FakeInstance()
    app = admin_app(fake_instance.view, is_local_only=True)
    removal = ask(app, "/backends/a1?dry_run", "DELETE").json["preview"]
    assert removal.startswith("Nothing new goes to app/a1,") and removal.endswith("gone until it is added again.")
    same = ask(app, "/reload?dry_run", "POST").json["preview"]
    assert same == "The file says what is served already; nothing changes."
    fake_instance.source = fake_instance.source.with_text(fake_instance.source.text.replace("weight: 2", "weight: 3"))
    preview = ask(app, "/reload?dry_run", "POST").json["preview"]
    assert preview.startswith("1 thing will change: ~1 backend. ")
