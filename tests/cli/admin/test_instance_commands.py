"""Commands that operate the instance."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from balance.admin.supervisor_orders import Order, Reload, Restart, Stop, Upgrade

Say = Callable[..., tuple[int, str, str]]


def edit(instance: Any, old: str, new: str) -> str:
    source = instance.fake_instance.source
    instance.fake_instance.source = source.with_text(source.text.replace(old, new))
    return str(instance.fake_instance.source.text)


def test_a_reload_tells_what_changed(say: Say, instance: Any) -> None:
    edit(instance, "weight: 2", "weight: 5")
    assert say("reload", "--dry-run") == (0, "~ backend app/a2: weight 2 -> 5\nwould be: ~1 backend\n", "")
    assert say("reload") == (0, "~ backend app/a2: weight 2 -> 5\ngeneration 2: ~1 backend\n", "")
    assert say("reload") == (0, "generation 2: nothing changed\n", "")


def test_a_reload_that_is_refused_names_every_problem(say: Say, instance: Any) -> None:
    edit(instance, "weight: 2", "weight: -1, wieght: 1")
    status, out, err = say("reload")
    assert (status, out) == (1, "")
    lines = err.splitlines()
    assert [line.partition(": pools")[0] for line in lines] == ["balance: test.yaml:5:101", "balance: test.yaml:5:105"]
    document = json.loads(say("reload", "--json")[1])
    assert (document["done"], len(document["problems"])) == (False, 2)


def test_a_rollback_and_what_it_forgets_are_asked_for(say: Say, instance: Any) -> None:
    assert say("reload", "--rollback") == (1, "", "balance: there is no configuration before this one\n")
    edit(instance, "weight: 2", "weight: 5")
    assert say("reload", "--discard-changes")[0] == 0
    assert say("reload", "--to", "1")[0] == 0
    assert instance.fake_instance.asked == [Reload(rollback=True), Reload(discard_changes=True), Reload(rollback=True, to=1)]


def test_what_the_file_has_overtaken_is_told(say: Say, instance: Any) -> None:
    say("weight", "a2", "9")
    edit(instance, "weight: 2", "weight: 5")
    assert say("reload")[1] == (
        "~ backend app/a2: weight 9 -> 5\n"
        "! the change of backend app/a2 (weight 9) is dropped: the file says something new about it\n"
        "generation 3: ~1 backend\n"
    )


def test_a_file_is_compared_with_what_is_served(
    say: Say, instance: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "new.yaml"
    file.write_text(instance.fake_instance.source.text.replace("weight: 2", "weight: 5"))
    said = (0, "~ backend app/a2: weight 2 -> 5\nwould be: ~1 backend\n", "")
    assert say("diff", str(file)) == said
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(file.read_bytes())))
    assert say("diff", "-") == said
    file.write_text("nonsense\n")
    status, _, err = say("diff", str(file))
    assert (status, err.partition(":1:1: ")[0]) == (1, f"balance: {file}")
    assert say("diff", f"{file}x") == (1, "", f"balance: {file}x: can't be read: No such file or directory\n")
    assert instance.fake_instance.number == 1


@pytest.mark.parametrize(
    ("word", "order", "said"),
    [("restart", Restart(), "begun\n"), ("upgrade", Upgrade(), "begun\n"), ("stop", Stop(), "draining\n")],
)
def test_orders_reach_the_instance(say: Say, instance: Any, word: str, order: Order, said: str) -> None:
    assert say(word) == (0, said, "")
    assert instance.fake_instance.asked == [order]
    assert json.loads(say(word, "--json")[1])["done"] is True
