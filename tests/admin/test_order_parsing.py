"""What an operator may say, and what is no order."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from starlette.exceptions import HTTPException
from starlette.requests import Request

from balance.admin.order_parsing import (
    describe_order,
    find_backend,
    read_body,
    read_object,
    read_reload,
    read_state,
)
from balance.admin.state_view import StateView
from balance.admin.supervisor_orders import ChangeBackends, Reload, Restart, Stop, Upgrade
from balance.config.overrides.runtime_overrides import BackendChange, Verb
from balance.health.states import Event
from balance.runtime.snapshot import backend_slots

ALLOWED = 'write {"state": "drain"}'


@pytest.mark.parametrize(
    ("word", "event"),
    [
        ("drain", Event.DRAIN),
        ("Draining", Event.DRAIN),
        ("maintenance", Event.MAINTAIN),
        ("enable", Event.ENABLE),
        ("enabled", Event.ENABLE),
    ],
)
def test_an_order_is_a_state_in_json(word: str, event: Event) -> None:
    order = {"state": word, "weight": 3}
    assert read_state(order, "") is event
    assert order == {"weight": 3}


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b"", 400, "the body is not JSON"),
        (b"drain", 400, "the body is not JSON"),
        (b"\xff", 400, "the body is not JSON"),
        (b"[]", 400, "the body is no order"),
        (b"[" * 4000, 400, "the body is not JSON"),
        (b'{"state": ' + b"[" * 20 + b"]" * 20 + b"}", 400, "the body is no order"),
        (b'{"state": "healthy"}', 400, "state 'healthy' cannot be ordered"),
        (b'{"state": 5}', 400, "state 5 cannot be ordered"),
    ],
)
def test_what_is_no_order_is_refused_with_what_is(body: bytes, status: int, said: str) -> None:
    with pytest.raises(HTTPException) as caught:
        read_state(read_object(body, ALLOWED), ALLOWED)
    assert caught.value.status_code == status
    assert caught.value.detail.startswith(said)
    assert '{"state": "drain"}' in caught.value.detail


@pytest.mark.parametrize("name", ["a2", "app/a2"])
def test_a_backend_is_found_by_its_name_or_with_its_pool(view: StateView, name: str) -> None:
    assert find_backend(view, name).slot == 2


def test_an_unknown_backend_is_404_and_those_that_are_are_named(view: StateView) -> None:
    with pytest.raises(HTTPException, match="there is no backend 'a3'; there are a1, a2, r1") as caught:
        find_backend(view, "a3")
    assert caught.value.status_code == 404


def test_a_name_that_two_pools_have_is_nobody_s_and_both_are_named(view: StateView) -> None:
    app, raw = view.config.pools
    namesakes = (replace(raw.backends[0], name="a1"),)
    view.config = replace(view.config, pools=(app, replace(raw, backends=namesakes)))
    view.slots = backend_slots(view.config)
    with pytest.raises(HTTPException, match="several pools have a backend 'a1'; say app/a1 or raw/a1") as caught:
        find_backend(view, "a1")
    assert caught.value.status_code == 409
    assert find_backend(view, "raw/a1").pool.name == "raw"


def read(*pieces: dict[str, Any]) -> bytes:
    """A body that comes in these pieces, and then nothing more."""
    left = list(pieces)

    async def receive() -> dict[str, Any]:
        if not left:
            await asyncio.Event().wait()
        return left.pop(0)

    return asyncio.run(read_body(Request({"type": "http", "method": "POST", "headers": []}, receive)))


PIECE = {"type": "http.request", "body": b'{"rollback"', "more_body": True}


def test_a_body_that_breaks_off_is_not_obeyed() -> None:
    with pytest.raises(HTTPException, match="broke off") as caught:
        read(PIECE, {"type": "http.disconnect"})
    assert caught.value.status_code == 400


def test_a_body_that_does_not_come_is_not_waited_for_and_not_obeyed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("balance.admin.order_parsing.BODY_TIMEOUT_S", 0.01)
    with pytest.raises(HTTPException, match="has not come within") as caught:
        read(PIECE)
    assert (caught.value.status_code, caught.value.headers) == (408, {"Connection": "close"})


def test_an_order_without_a_state_has_none() -> None:
    assert read_state({"weight": 3}, "") is None


@pytest.mark.parametrize(
    ("body", "order"),
    [
        (b"", Reload()),
        (b" ", Reload()),
        (b"{}", Reload()),
        (b'{"rollback": false, "discard_changes": true}', Reload(discard_changes=True)),
        (b'{"rollback": true}', Reload(rollback=True)),
        (b'{"rollback": 1}', Reload(rollback=True, to=1)),
        (b'{"rollback": 3.0}', Reload(rollback=True, to=3)),
        (b'{"rollback": 0}', Reload()),
    ],
)
def test_a_reload_says_where_from(body: bytes, order: Reload) -> None:
    assert read_reload(body, is_dry_run=False) == order


@pytest.mark.parametrize(
    "body", [b"[]", b"{", b'{"rollback": -1}', b'{"rollback": 1.5}', b'{"rollback": NaN}', b'{"rollback": null}',
             b'{"other": true}', b'{"discard_changes": 1}']
)  # fmt: skip
def test_another_reload_is_refused_with_what_there_is(body: bytes) -> None:
    with pytest.raises(HTTPException, match=r'write {"rollback": true, "discard_changes": true}, some of it or nothing'):
        read_reload(body, is_dry_run=False)


def test_every_order_has_words_for_the_log() -> None:
    changes = (
        BackendChange(Verb.SET, "app", "a", '{"weight": 3}'),
        BackendChange(Verb.REMOVE, "app", "b"),
        BackendChange(Verb.ADD, "", "c", '{"address": "h:1"}'),
    )
    orders = Reload(), Reload(rollback=True, discard_changes=True), ChangeBackends(changes), Restart(), Upgrade(), Stop()
    assert list(map(describe_order, orders)) == [
        "reload",
        "go back to the configuration before without what was changed at run time",
        'set backend app/a (weight 3); remove backend app/b; add backend c (address "h:1")',
        "restart the workers",
        "upgrade the program",
        "drain and end",
    ]
