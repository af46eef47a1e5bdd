"""`balance stop --wait`. With real processes: tests/process/test_admin_operations.py."""

import json
import re
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from balance.admin.supervisor_orders import Stop
from balance.runtime import counters

Say = Callable[..., tuple[int, str, str]]


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """The instance is on another machine: what its pid means here is not known, and its admin port is all there is."""
    monkeypatch.setattr("balance.cli.admin.stop_wait.pid_namespace", lambda: "another machine")


def ends(instance: Any, cut: int | None) -> threading.Thread:
    """A moment after it was asked to, with or without a final event."""

    def end() -> None:
        until = time.monotonic() + 20.0
        while instance.fake_instance.asked != [Stop()] and time.monotonic() < until:
            time.sleep(0.01)
        time.sleep(0.3)  # the command follows the events meanwhile
        if cut is not None:
            instance.do(
                lambda: instance.fake_instance.view.events.publish("stage", "the instance ends", stage="ended", cut=cut)
            )
        instance.stop()

    thread = threading.Thread(target=end)
    thread.start()
    return thread


def test_an_instance_that_has_not_ended_in_time_is_said_to_go_on(say: Say, instance: Any) -> None:
    status, out, err = say("stop", "--wait", "--timeout", "200ms")  # its process is this one
    assert (status, out, err) == (1, "", "balance: it has not ended within 0.2s; it goes on to drain\n")
    assert instance.fake_instance.asked == [Stop()]
    assert json.loads(say("stop", "--wait", "--timeout", "0", "--json")[1])["ended"] is False
    assert say("stop", "--timeout", "1s")[0] == 2


@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize(
    ("cut", "status", "said"),
    [
        (5, 0, r"it ended after \d\.\ds, nothing was cut\n"),
        (8, 1, r"balance: it ended after \d\.\ds; 3 requests or connections were cut\n"),
        (None, 1, r"balance: it was ended after \d\.\ds, before all that was under way was done; its log says more\n"),
    ],
)
def test_how_it_ended_is_said(say: Say, instance: Any, cut: int | None, status: int, said: str) -> None:
    instance.fake_instance.board.rows[0][counters.CUT] = 5  # by restarts before
    timer = ends(instance, cut)
    answer = say("stop", "--wait")
    timer.join()
    assert answer[0] == status
    assert re.fullmatch(said, answer[1] + answer[2])


@pytest.mark.usefixtures("elsewhere")
def test_without_its_events_it_is_said_where_to_look(say: Say, instance: Any) -> None:
    readers = [instance.fake_instance.view.events.subscribe(None) for _ in range(32)]
    assert None not in readers
    timer = ends(instance, 8)
    status, out, _ = say("stop", "--wait")
    timer.join()
    assert status == 0 and out.endswith("; whether anything was cut is in its log\n")


@pytest.mark.parametrize("instance", [False], indirect=True)
def test_a_refusal_is_an_error(say: Say, instance: Any) -> None:
    assert say("stop", "--wait")[0] == 1
    assert instance.fake_instance.asked == []
