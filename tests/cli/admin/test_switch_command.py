"""`balance switch`."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from balance.admin.supervisor_orders import ChangeBackends
from balance.config.overrides.route_switch import RouteSwitch
from balance.health.states import State

Say = Callable[..., tuple[int, str, str]]

TEXT = """\
listeners: [{name: web, listen: "127.0.0.1:8080"}]
http: {routes: [{name: shop, policy: {blue_green: {blue: v1, green: v2}}}]}
pools:
  v1: {backends: [{name: a, address: "127.0.0.1:9001"}]}
  v2: {backends: [{name: b, address: "127.0.0.1:9002"}]}
"""
LINE = "~ policy.blue_green of route web/shop: active blue -> green\n"


@pytest.fixture
def asked(say: Say, instance: Any) -> list[Any]:
    """What the supervisor is asked, once the file with the route is served."""
    fake = instance.fake_instance
    fake.source = fake.source.with_text(TEXT)
    assert say("reload")[0] == 0
    fake.asked.clear()
    return fake.asked  # type: ignore[no-any-return]


def test_it_switches_to_the_other_side_or_the_one_that_is_named(say: Say, asked: list[Any]) -> None:
    status, out, err = say("switch", "shop")
    assert (status, out.startswith(f"{LINE}generation 3: "), err) == (0, True, "")
    assert say("switch", "shop", "blue")[0] == 0
    assert json.loads(say("switch", "shop", "green", "--json")[1])["active"] == "green"
    assert [order.changes for order in asked] == [(RouteSwitch("web", "shop", side),) for side in ("green", "blue", "green")]


def test_a_dry_run_says_what_would_be(say: Say, asked: list[Any]) -> None:
    status, out, _ = say("switch", "shop", "--dry-run")
    assert (status, out.startswith(f"{LINE}would be: ")) == (0, True)
    assert asked == [ChangeBackends((RouteSwitch("web", "shop", "green"),), dry_run=True)]


def test_options_reach_the_order(say: Say, asked: list[Any], instance: Any) -> None:
    fake = instance.fake_instance
    slot = next(each.slot for each in fake.view.backends() if each.backend.name == "b")
    fake.board.set_state(slot, State.MAINTENANCE, 1.0, "")
    status, out, err = say("switch", "shop", "green")
    assert (status, out) == (1, "")
    assert (
        err == "balance: pool v2 has no backend that is ready, so route shop is not switched to green; "
        'to do it all the same: balance switch --force, or "force": true\n'
    )
    assert say("switch", "shop", "green", "--force", "--listener", "web")[0] == 0
    assert say("switch", "shop", "--listener", "x")[0] == 1


@pytest.mark.parametrize("words", [["switch"], ["switch", "shop", "red"]])
def test_a_command_that_says_nothing_that_could_be_done_is_refused(say: Say, words: list[str]) -> None:
    assert say(*words)[0] == 2


def test_a_route_that_does_not_exist_is_named(say: Say, asked: list[Any]) -> None:
    assert say("switch", "a b?c")[2] == "balance: there is no route 'a b?c'; those with policy.blue_green are shop\n"
