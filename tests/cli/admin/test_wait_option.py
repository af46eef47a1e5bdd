"""`balance drain --wait`."""

import json
import re
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from balance.cli.admin.wait_option import WaitProgress
from balance.health.states import State
from balance.runtime import counters

Say = Callable[..., tuple[int, str, str]]


def ticking(instance: Any, active: int = 0) -> None:
    """As its workers would have written it by now."""
    for row in instance.fake_instance.board.rows:
        row[counters.APPLIED_US] = instance.fake_instance.board.states_changed_us
    instance.fake_instance.board.rows[0][counters.block(1) + counters.ACTIVE] = active


def test_a_drain_is_waited_for(say: Say, instance: Any) -> None:
    instance.fake_instance.board.set_state(1, State.DRAINING, 1.0)
    ticking(instance, active=2)
    threading.Timer(0.3, lambda: ticking(instance)).start()
    for verb in ("drain", "maintenance", "disable"):
        ordered = threading.Timer(0.15, lambda: ticking(instance))  # of the order itself
        ordered.start()
        status, out, err = say(verb, "a1", "--wait")
        ordered.join()
        assert (status, err) == (0, "")
        assert re.fullmatch(
            r"backend app/a1 is \w+( \w+)?\nbackend app/a1 is drained: nothing is under way there \(\d\.\ds\)\n", out
        )
    threading.Timer(0.15, lambda: ticking(instance)).start()
    document = json.loads(say("drain", "a1", "--wait", "--json")[1])
    assert (document["name"], document["drained"], document["active"]) == ("a1", True, 0)


def test_a_drain_that_is_not_over_in_time_says_what_is_left(say: Say, instance: Any) -> None:
    ticking(instance, active=2)
    status, out, err = say("drain", "a1", "--wait", "--timeout", "100ms")
    assert (status, out) == (1, "backend app/a1 is draining\n")
    assert err == "balance: not over within 0.1s: backend app/a1 has 2 in flight; nothing new goes there\n"
    status, out, err = say("drain", "a1", "--wait", "--timeout", "0", "--json")
    assert (status, err) == (1, "")
    assert json.loads(out)["backends"][0]["active"] == 2
    assert say("drain", "a1", "--timeout", "1s")[0] == 2
    assert say("drain", "a1", "--wait", "--timeout", "soon")[0] == 2
    assert say("enable", "a1", "--wait")[0] == 2


@pytest.mark.parametrize("then", ["enabled", "removed"])
def test_a_drain_that_somebody_else_ends_is_not_waited_for(say: Say, instance: Any, then: str) -> None:
    def end() -> None:
        fake_instance = instance.fake_instance
        if then == "enabled":
            fake_instance.board.set_state(1, State.UNKNOWN, 1.0)
        else:
            app, raw = fake_instance.view.config.pools
            fake_instance.view.config = replace(fake_instance.view.config, pools=(replace(app, backends=app.backends[1:]), raw))

    ticking(instance, active=1)
    threading.Timer(0.2, end).start()
    status, _, err = say("drain", "a1", "--wait")
    assert status == 1
    assert ("was put back meanwhile: it is unchecked" if then == "enabled" else "there is no backend 'a1'") in err


@pytest.mark.parametrize(
    ("is_terminal", "term", "is_shown"),
    [(True, "xterm", True), (True, "dumb", False), (True, None, False), (False, "xterm", False)],
)
def test_what_is_waited_for_is_shown_on_a_terminal_alone(
    is_terminal: bool, term: str | None, is_shown: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: is_terminal)
    monkeypatch.delenv("TERM", raising=False)
    if term is not None:
        monkeypatch.setenv("TERM", term)
    with WaitProgress(None) as patience:
        patience.show("waiting")
    assert capsys.readouterr().err == ("\r\x1b[Kwaiting (0s)\r\x1b[K" if is_shown else "")


def test_pauses_grow_and_end_with_the_time() -> None:
    patience = WaitProgress(None)
    pauses = [patience.next_poll_s() for _ in range(8)]
    assert pauses == sorted(pauses) and (pauses[0], pauses[-1]) == (0.1, 1.0)
    assert WaitProgress(0.0).next_poll_s() == 0.0
