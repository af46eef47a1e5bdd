"""A running instance under the hands of its operator: what the commands say holds for the traffic, and outlives crashes."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable

import pytest
from running import Instance, Origin, until

pytestmark = [pytest.mark.drill, pytest.mark.timeout(120)]

Run = Callable[..., Instance]
Origins = Callable[..., Origin]


def command(instance: Instance, *words: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "balance", *words, "--admin", f"127.0.0.1:{instance.admin_port}"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.returncode, done.stdout + done.stderr


def answering(instance: Instance) -> set[str]:
    return {instance.get()[1] for _ in range(8)}


def started(run: Run, first: Origin) -> Instance:
    return run(workers=2, backends=[{"name": "b1", "address": first.address}]).ready()


def test_a_backend_that_is_added_serves_at_once_and_over_reloads_and_crashes(run: Run, origins: Origins) -> None:
    first, second = origins("b1"), origins("b2")
    instance = started(run, first)
    status, said = command(instance, "add", "b2", second.address)
    assert (status, said) == (0, f"+ backend default/b2 ({second.address})\ngeneration 2: +1 backend\n")
    assert answering(instance) == {"b1", "b2"}
    assert command(instance, "reload") == (0, "generation 3: nothing changed\n")

    for worker in [each["pid"] for each in instance.ask("/status")[1]["workers"]]:
        os.kill(worker, signal.SIGKILL)
    until(lambda: answering(instance) == {"b1", "b2"}, "the successors know the backend that was added")
    assert command(instance, "remove", "b1") == (0, f"- backend default/b1 ({first.address})\ngeneration 4: -1 backend\n")
    assert answering(instance) == {"b2"}
    status, said = command(instance, "reload", "--discard-changes")
    assert (status, said.splitlines()[-1]) == (0, "generation 5: +1 backend, -1 backend")
    assert answering(instance) == {"b1"}


def test_what_the_file_says_anew_wins_over_what_was_changed(run: Run, origins: Origins) -> None:
    first, second = origins("b1"), origins("b2")
    instance = started(run, first)
    assert command(instance, "weight", "b1", "5")[0] == 0
    source = instance.ask("/config")[1]["source"]
    with open(source) as file:
        text = file.read()
    with open(source, "w") as file:
        file.write(text.replace(first.address, second.address))
    status, said = command(instance, "reload")
    assert status == 0
    assert "! the change of backend default/b1 (weight 5) is dropped: the file says something new about it" in said
    assert answering(instance) == {"b2"}
    with open(source, "w") as file:
        file.write(text.replace("address", "adress"))
    status, said = command(instance, "reload")
    assert status == 1
    assert "did you mean 'address'?" in said
    assert answering(instance) == {"b2"}

    def kinds() -> set[str]:
        return {line.split()[1] for line in command(instance, "events", "--once")[1].splitlines()}

    until(lambda: {"order:", "reload:"} <= kinds(), "both are told")


def test_what_is_drained_stays_so_over_a_reload(run: Run, origins: Origins) -> None:
    first, second = origins("b1"), origins("b2")
    backends = [{"name": "b1", "address": first.address}, {"name": "b2", "address": second.address}]
    instance = run(workers=2, backends=backends).ready()
    assert command(instance, "drain", "b1") == (0, "backend default/b1 is draining\n")
    until(lambda: answering(instance) == {"b2"}, "nothing new goes to b1")
    assert command(instance, "weight", "b1", "3")[0] == 0
    assert command(instance, "reload")[0] == 0
    assert answering(instance) == {"b2"}
    assert command(instance, "enable", "b1")[0] == 0
    until(lambda: answering(instance) == {"b1", "b2"}, "b1 is used again")


def test_stop_ends_the_instance_in_order(run: Run, origins: Origins) -> None:
    instance = started(run, origins("b1"))
    assert command(instance, "stop") == (0, "draining\n")
    assert instance.ended() == 0
