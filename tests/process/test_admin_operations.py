"""A running instance under the hands of its operator: what the commands say holds for the traffic, and outlives crashes."""

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from instance_process import Instance, Origin, until

pytestmark = [pytest.mark.drill, pytest.mark.timeout(120)]

Run = Callable[..., Instance]
Origins = Callable[..., Origin]


def answering(instance: Instance) -> set[str]:
    return {instance.get()[1] for _ in range(8)}


def started(run: Run, first: Origin) -> Instance:
    return run(workers=2, backends=[{"name": "b1", "address": first.address}]).ready()


@pytest.mark.long
def test_a_backend_that_is_added_serves_at_once_and_over_reloads_and_crashes(run: Run, origins: Origins) -> None:
    first, second = origins("b1"), origins("b2")
    instance = started(run, first)
    status, said = instance.command("add", "b2", second.address)
    assert (status, said) == (0, f"+ backend default/b2 ({second.address})\ngeneration 2: +1 backend\n")
    assert answering(instance) == {"b1", "b2"}
    assert instance.command("reload") == (0, "generation 2: nothing changed\n")

    for worker in [each["pid"] for each in instance.ask("/status")[1]["workers"]]:
        os.kill(worker, signal.SIGKILL)
    until(lambda: answering(instance) == {"b1", "b2"}, "the successors know the backend that was added")
    assert instance.command("remove", "b1") == (0, f"- backend default/b1 ({first.address})\ngeneration 3: -1 backend\n")
    assert answering(instance) == {"b2"}
    status, said = instance.command("reload", "--discard-changes")
    assert (status, said.splitlines()[-1]) == (0, "generation 4: +1 backend, -1 backend")
    assert answering(instance) == {"b1"}


def test_connections_that_a_killed_worker_held_are_counted_and_told(run: Run, origins: Origins) -> None:
    instance = started(run, origins("b1"))
    held = [socket.create_connection(("127.0.0.1", instance.port)) for _ in range(5)]
    until(lambda: instance.metric("balance_active_connections") == 5, "the board shows them")
    for worker in [each["pid"] for each in instance.ask("/status")[1]["workers"]]:
        os.kill(worker, signal.SIGKILL)
    until(lambda: instance.metric("balance_connections_lost_total") == 5, "they are counted")
    told = re.findall(r"was killed by SIGKILL, and (\d+) client connections? with it", instance.log)
    assert sum(map(int, told)) == 5
    for each in held:
        each.close()


@pytest.mark.long
def test_what_the_file_says_anew_wins_over_what_was_changed(run: Run, origins: Origins) -> None:
    first, second = origins("b1"), origins("b2")
    instance = started(run, first)
    assert instance.command("weight", "b1", "5")[0] == 0
    source = instance.ask("/config")[1]["source"]
    with open(source) as file:
        text = file.read()
    with open(source, "w") as file:
        file.write(text.replace(first.address, second.address))
    status, said = instance.command("reload")
    assert status == 0
    assert "! the change of backend default/b1 (weight 5) is dropped: the file says something new about it" in said
    assert answering(instance) == {"b2"}
    with open(source, "w") as file:
        file.write(text.replace("address", "adress"))
    status, said = instance.command("reload")
    assert status == 1
    assert "did you mean 'address'?" in said
    assert answering(instance) == {"b2"}

    def kinds() -> set[str]:
        return {line.split()[1] for line in instance.command("events", "--once")[1].splitlines()}

    until(lambda: {"order:", "reload:"} <= kinds(), "both are told")


@pytest.mark.long
def test_what_is_drained_stays_so_over_a_reload(run: Run, origins: Origins) -> None:
    first, second = origins("b1"), origins("b2")
    backends = [{"name": "b1", "address": first.address}, {"name": "b2", "address": second.address}]
    instance = run(workers=2, backends=backends).ready()
    assert instance.command("drain", "b1") == (0, "backend default/b1 is draining\n")
    until(lambda: answering(instance) == {"b2"}, "nothing new goes to b1")
    assert instance.command("weight", "b1", "3")[0] == 0
    assert instance.command("reload")[0] == 0
    assert answering(instance) == {"b2"}
    assert instance.command("enable", "b1")[0] == 0
    until(lambda: answering(instance) == {"b1", "b2"}, "b1 is used again")


def test_stop_ends_the_instance_in_order(run: Run, origins: Origins) -> None:
    instance = started(run, origins("b1"))
    assert instance.command("stop") == (0, "draining\n")
    assert instance.ended() == 0


@pytest.mark.long
def test_what_would_be_served_decides_whether_a_reload_changes_anything_and_not_the_text(
    run: Run, origins: Origins, tmp_path: Path
) -> None:
    page = tmp_path / "502.html"
    page.write_text("one")
    backends = [{"name": "b1", "address": origins("b1").address}]
    instance = run(mode="http", backends=backends, http={"error_pages": {502: str(page)}}).ready()
    workers = set(instance.children("balance-worker"))
    text = instance.config.read_text()
    instance.config.write_text(f"# why it is so\n\n{text}")
    assert instance.command("reload") == (0, "generation 1: nothing changed\n")
    assert instance.command("weight", "b1", "1") == (0, "generation 1: nothing changed\n")
    page.write_text("two")
    status, said = instance.command("reload")
    assert (status, said.splitlines()[-1].partition(":")[0]) == (0, "generation 2")
    instance.config.write_text("{")
    assert instance.command("reload")[0] == 1
    assert instance.metric("balance_config_last_reload_successful") == 0
    instance.config.write_text(text)
    assert instance.command("reload") == (0, "generation 2: nothing changed\n")
    assert instance.metric("balance_config_last_reload_successful") == 1
    assert set(instance.children("balance-worker")) == workers
    _, generations = instance.command("generations")
    assert [line.split()[:2] for line in generations.splitlines()[1:]] == [["1", "-"], ["2", "now"]]


def in_background(call: Callable[[], Any]) -> tuple[threading.Thread, list[Any]]:
    """Make a call that will take its time; what it returns is in the list at the end."""
    outcome: list[Any] = []

    def work() -> None:
        with contextlib.suppress(OSError, http.client.HTTPException):
            outcome.append(call())

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread, outcome


def in_flight(instance: Instance) -> int:
    active: int = instance.ask("/backends/b1")[1]["active"]
    return active


def test_a_drain_is_waited_for_until_nothing_is_under_way_in_any_worker(run: Run, origins: Origins) -> None:
    first, second = origins("b1"), origins("b2")
    instance = started(run, first)
    slow = in_background(lambda: instance.get("/slow"))
    until(lambda: in_flight(instance) == 1, "a request under way")
    assert instance.command("add", "b2", second.address)[0] == 0
    status, said = instance.command("drain", "b1", "--wait", "--timeout", "200ms")
    assert status == 1
    assert "not over within 0.2s: backend default/b1 has 1 in flight; nothing new goes there" in said
    words = [sys.executable, "-m", "balance", "drain", "b1", "--wait", "--admin", f"127.0.0.1:{instance.admin_port}"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as waiting:
        assert waiting.stdout is not None and waiting.stderr is not None
        assert waiting.stdout.readline() == "backend default/b1 is draining\n"  # and so it waits by now
        waiting.send_signal(signal.SIGINT)
        assert waiting.wait(20) == 130
        assert "not waiting any more; nothing new goes to default/b1 until" in waiting.stderr.read()
    assert answering(instance) == {"b2"}
    waited = in_background(lambda: instance.command("drain", "b1", "--wait"))
    first.released.set()
    slow[0].join(20)
    waited[0].join(20)
    ((status, said),) = waited[1]
    assert status == 0 and "backend default/b1 is drained: nothing is under way there" in said
    assert slow[1] == [(200, "b1")]


def test_a_stop_is_waited_for_and_says_what_was_cut(run: Run, origins: Origins) -> None:
    origin = origins("b1")
    instance = run(mode="http", backends=[{"name": "b1", "address": origin.address}], timeouts={"drain": "600ms"}).ready()
    slow = in_background(lambda: instance.get("/slow"))
    until(lambda: in_flight(instance) == 1, "a request under way")
    status, said = instance.command("stop", "--wait")
    assert status == 1 and re.search(r"it ended after [\d.]+s; 1 requests or connections were cut", said), said
    assert instance.exits_within(0)  # when the command returns, and not soon after
    slow[0].join(20)


@pytest.mark.long
def test_a_stop_that_cuts_nothing_ends_well_and_one_that_is_killed_does_not(run: Run, origins: Origins) -> None:
    origin = origins("b1")
    instance = started(run, origin)
    status, said = instance.command("stop", "--wait", "--json")
    assert (status, json.loads(said)["ended"], json.loads(said)["cut"]) == (0, True, 0)
    assert instance.exits_within(0)
    instance = started(run, origin)
    in_background(lambda: instance.get("/slow"))
    until(lambda: in_flight(instance) == 1, "a request under way")
    status, said = instance.command("stop", "--wait", "--timeout", "100ms")
    assert status == 1 and "it has not ended within 0.1s; it goes on to drain" in said
    waited = in_background(lambda: instance.command("stop", "--wait"))
    instance.saying("(?s)told to stop.*told to stop")
    instance.saying("draining: no new connections")
    os.kill(instance.process.pid, signal.SIGINT)  # the first signal after an order
    time.sleep(0.4)  # more than what is taken for an echo of it
    os.kill(instance.process.pid, signal.SIGINT)
    waited[0].join(20)
    ((status, said),) = waited[1]
    assert status == 1 and "before all that was under way was done" in said
