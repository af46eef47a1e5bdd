"""Commands that change one backend."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from balance.admin.supervisor_orders import ChangeBackends
from balance.config.overrides.runtime_overrides import BackendChange, Verb

Say = Callable[..., tuple[int, str, str]]


def backend(instance: Any, name: str) -> Any:
    return {seen.backend.name: seen.backend for seen in instance.fake_instance.view.backends()}.get(name)


@pytest.mark.parametrize(
    ("verb", "said"),
    [("drain", "draining"), ("maintenance", "in maintenance"), ("disable", "in maintenance"), ("enable", "enabled")],
)
def test_a_state_is_ordered_and_what_holds_is_told(say: Say, verb: str, said: str) -> None:
    assert say(verb, "app/a1") == (0, f"backend app/a1 is {said}\n", "")
    assert json.loads(say(verb, "a1", "--json")[1])["pool"] == "app"


def test_only_where_there_is_a_check_one_is_promised(say: Say, instance: Any) -> None:
    inside = instance.fake_instance.view
    app, raw = inside.config.pools
    checked = replace(app, health_check=replace(app.health_check, enabled=True))
    inside.config = replace(inside.config, pools=(checked, raw))
    assert say("enable", "a1")[1] == "backend app/a1 is enabled: the next check decides\n"
    assert say("enable", "r1")[1] == "backend raw/r1 is enabled\n"
    assert json.loads(say("enable", "r1", "--json")[1])["state"] == "unchecked"


def test_several_are_ordered_together_or_none(say: Say, instance: Any) -> None:
    def states() -> list[str]:
        return [seen.state.word for seen in instance.fake_instance.view.backends()]

    assert say("drain", "a1", "zz", "a2")[:2] == (1, "")
    assert states() == ["unknown"] * 3
    said = "backend app/a1 is draining\nbackend app/a2 is draining\n"
    last = (
        "balance: warning: backend app/a2 was the last of its pool that is ready: "
        "whatever is new there is refused now (no_healthy)\n"
    )
    assert say("drain", "a1", "app/a2", "a1") == (0, said, last)
    assert states() == ["draining", "draining", "unknown"]
    shown = json.loads(say("enable", "a1", "a2", "--json")[1])["backends"]
    assert [each["name"] for each in shown] == ["a1", "a2"]


@pytest.mark.parametrize(
    ("verb", "said"),
    [
        ("drain", "would be: Nothing new goes to app/a1, where nothing is under way. 1 of 2 backends of pool app stay"),
        ("maintenance", "would be: Nothing goes to app/a1 any more, where nothing is under way; its sessions move on."),
        ("disable", "would be: Nothing goes to app/a1 any more"),
        ("enable", "would be: app/a1 gets its share again at once.\n"),
    ],
)
def test_a_state_that_is_tried_is_told_and_not_ordered(say: Say, instance: Any, verb: str, said: str) -> None:
    status, out, err = say(verb, "a1", "--dry-run")
    assert (status, out.startswith(said), err) == (0, True, "")
    assert {seen.state.word for seen in instance.fake_instance.view.backends()} == {"unknown"}
    assert json.loads(say(verb, "a1", "--dry-run", "--json")[1])["preview"] in said + out


def test_nothing_is_waited_for_where_nothing_is_ordered(say: Say) -> None:
    status, out, err = say("drain", "a1", "--dry-run", "--wait")
    assert (status, out) == (2, "")
    assert "nothing to --wait for" in err


def test_a_weight_that_changes_no_share_is_warned_of(say: Say, instance: Any) -> None:
    status, _, err = say("weight", "a1", "7")
    assert (status, err) == (
        0,
        "balance: warning: round-robin looks at no weight but 0: the shares stay as they are; "
        "weighted-round-robin goes by weights\n",
    )
    assert say("weight", "a1", "2")[2] == ""  # as all others
    inside = instance.fake_instance.view
    weighted = replace(inside.config.pools[0], algorithm="weighted-round-robin")
    inside.config = replace(inside.config, pools=(weighted, *inside.config.pools[1:]))
    assert say("weight", "a1", "7", "--dry-run")[2] == ""


@pytest.mark.parametrize("verb", ["drain", "maintenance", "disable", "enable"])
def test_a_state_without_a_backend_is_refused_with_what_it_takes(say: Say, verb: str) -> None:
    status, out, err = say(verb)
    assert (status, out) == (2, "")
    assert f"say which backend: balance {verb} NAME ('balance backends' lists them)" in err
    assert ("balance stop" in err) is (verb == "drain")


def test_a_backend_is_added_weighed_and_removed(say: Say, instance: Any) -> None:
    added = say("add", "a3", "127.0.0.1:9004", "--pool", "app", "--weight", "2", "--set", 'metadata={"rack": "r1"}')
    assert added == (0, "+ backend app/a3 (127.0.0.1:9004, weight 2)\ngeneration 2: +1 backend\n", "")
    assert backend(instance, "a3").metadata == (("rack", "r1"),)
    assert say("weight", "a3", "5")[:2] == (0, "~ backend app/a3: weight 2 -> 5\ngeneration 3: ~1 backend\n")
    assert backend(instance, "a3").weight == 5
    assert say("remove", "a3") == (0, "- backend app/a3 (127.0.0.1:9004)\ngeneration 4: -1 backend\n", "")
    assert backend(instance, "a3") is None


def test_a_dry_run_says_what_would_be(say: Say, instance: Any) -> None:
    assert say("weight", "a1", "5", "--dry-run")[:2] == (0, "~ backend app/a1: weight 1 -> 5\nwould be: ~1 backend\n")
    assert say("remove", "a1", "--dry-run")[1].endswith("would be: -1 backend\n")
    assert say("add", "x", "h:1", "--pool", "app", "--dry-run")[1].endswith("would be: +1 backend\n")
    assert instance.fake_instance.number == 1
    assert instance.fake_instance.asked[0] == ChangeBackends(
        (BackendChange(Verb.SET, "app", "a1", '{"weight": 5}'),), dry_run=True
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["weight", "zz", "5"], "balance: there is no backend 'zz'; there are a1, a2, r1\n"),
        (["remove", "r1"], "balance: admin API: pools.raw.backends: is empty; write at least one backend\n"),
        (["add", "x", "h:1"], "balance: admin API: say which pool is meant: app, raw\n"),
        (["drain", "zz"], "balance: there is no backend 'zz'; there are a1, a2, r1\n"),
    ],
)
def test_what_cannot_be_done_is_said_and_exits_with_1(say: Say, words: list[str], said: str) -> None:
    assert say(*words) == (1, "", said)


def test_a_refusal_is_json_for_programs(say: Say) -> None:
    status, out, err = say("weight", "zz", "5", "--json")
    assert (status, err) == (1, "")
    assert "no backend 'zz'" in json.loads(out)["error"]


@pytest.mark.parametrize(
    "words", [["weight", "a1"], ["weight", "a1", "-1"], ["weight", "a1", "x"], ["add", "a"], ["add", "a", "h:1", "--set", "x"]]
)
def test_wrong_words_are_refused_before_anybody_is_asked(say: Say, instance: Any, words: list[str]) -> None:
    assert say(*words)[0] == 2
    assert instance.fake_instance.asked == []
