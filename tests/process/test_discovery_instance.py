"""Discovery in whole instances: real files, real backends, traffic, and everything that dies."""

import http.client
import json
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from instance_process import Instance, Origin, until
from steady_load import Load
from unprivileged import needs_root, reachable

pytestmark = [pytest.mark.drill, pytest.mark.long, pytest.mark.timeout(120)]

Run = Callable[..., Instance]
Origins = Callable[..., Origin]


def write(file: Path, *backends: Any) -> None:
    """Beside it, and renamed: as the documents say."""
    new = file.with_suffix(".new")
    new.write_text(json.dumps(list(backends)))
    new.rename(file)


def found(instance: Instance) -> dict[str, Any]:
    state: dict[str, Any] = instance.ask("/status")[1]["pools"][0]["discovery"]
    return state


def names(instance: Instance) -> list[str]:
    return [backend["name"] for backend in instance.ask("/status")[1]["pools"][0]["backends"]]


def weights_of(instance: Instance) -> list[int]:
    return [backend["weight"] for backend in instance.ask("/status")[1]["pools"][0]["backends"]]


def serves(instance: Instance, *backends: str) -> None:
    until(lambda: names(instance) == sorted(backends), lambda: f"{backends}, not {names(instance)}\n{instance.log}")


def test_a_pool_is_what_its_file_says(run: Run, origins: Origins, tmp_path: Path) -> None:
    """S7: a file that is missing, empty or half-written is no list without anybody; a pool that may scale to zero says so."""
    file = tmp_path / "b.json"
    first, second = origins("first"), origins("second")
    discovery = {"file": {"path": file.name}, "on_empty": "empty", "debounce": "20ms"}
    instance = run(discovery=discovery, workers=2).ready()
    assert instance.ask("/ready") == (503, {"status": "not ready", "reasons": ["pool default: discovery has found nobody yet"]})
    status, text = instance.get()
    assert (status, json.loads(text)["why"]) == (503, "no_healthy")
    assert json.loads(text)["detail"] == "the pool is empty: nobody has been found or started yet"
    until(lambda: found(instance)["state"] == "failing", "a file that is missing")
    write(file, first.address)
    until(lambda: instance.get() == (200, "first"), "the first backend")
    assert instance.ask("/ready")[0] == 200
    write(file, first.address, {"address": second.address, "name": "second"})
    until(lambda: {instance.get()[1] for _ in range(4)} == {"first", "second"}, "both")
    for broken in ("", '["127.0.0.1:1", "127.0', "- {address: x}"):
        file.write_text(broken)
        until(lambda: found(instance)["state"] == "stale", "what is wrong is seen")
        assert {instance.get()[1] for _ in range(4)} == {"first", "second"}
        file.write_text(json.dumps([first.address, {"address": second.address, "name": "second"}]))
        until(lambda: found(instance)["state"] == "fresh", "it is mended")
    file.unlink()
    until(lambda: "No such file" in (found(instance)["last_failure"] or {}).get("words", ""), "it is gone")
    assert instance.get()[0] == 200
    file.write_text("[]")
    until(lambda: instance.get()[0] == 503, "the pool is empty")
    assert instance.ask("/ready")[0] == 200  # it may be
    assert len(instance.ask("/config")[1]["generations"]) == 1  # what is found makes no entry of its own
    assert instance.log.count("is served (") == 0


def test_bursts_of_changes_lose_no_request(run: Run, tmp_path: Path) -> None:
    """S16: 200 changes in a second are a few."""
    file = tmp_path / "b.json"
    with Load(keeping=6, fresh=3, websockets=4, pause_s=0.01, download_bytes=300_000) as load:
        addresses = list(load.addresses.values())
        write(file, *addresses)
        instance = run(
            pools={"app": {"discovery": {"file": {"path": file.name}}, "load_balancer": {"algorithm": "maglev"}}}, workers=2
        ).ready()
        until(lambda: len(names(instance)) == 3, "three backends")
        load.begin(instance.port)
        before = instance.ask("/status")[1]["generation"]
        for burst in range(2):
            began = time.monotonic()
            for number in range(200):
                some = [address for index, address in enumerate(addresses) if (number + burst) % 3 != index]
                write(file, *some, {"address": addresses[number % 3], "weight": number % 7 + 1, "name": f"n{number}"})
                time.sleep(max(0.0, began + number / 200 - time.monotonic()))
        write(file, *({"address": each, "weight": 9} for each in addresses))  # what it began with would be no change at all
        until(lambda: found(instance)["endpoints"] == 3 and len(names(instance)) == 3, "the end of the bursts")
        until(lambda: sorted(names(instance)) == sorted(addresses), "the last list")
        until(lambda: weights_of(instance) == [9, 9, 9], "its weights")
        report = load.end()
        after = instance.ask("/status")[1]["generation"]
    assert not report.failures, report.failures[:9]
    assert 1 <= after - before <= 20, after - before
    assert len(instance.ask("/config")[1]["generations"]) == 1
    assert instance.log.count(" discovered backends: ") <= 4, instance.log


def test_what_is_found_outlives_control_workers_reloads_and_the_instance(run: Run, origins: Origins, tmp_path: Path) -> None:
    """The supervisor keeps the last set: the source is gone meanwhile, and nobody notices."""
    file = tmp_path / "b.json"
    write(file, origins("first").address, {"address": origins("second").address, "name": "second"})
    instance = run(discovery={"file": {"path": file.name}}, workers=2).ready()
    until(lambda: len(names(instance)) == 2, "two backends")
    assert instance.command("weight", "second", "5")[0] == 0
    file.unlink()

    def all_is_as_it_was() -> None:
        until(lambda: weights_of(instance) == [1, 5], "both, as they were")
        assert {instance.get()[1] for _ in range(8)} == {"first", "second"}

    all_is_as_it_was()
    (control,) = instance.children("balance-control")
    os.kill(control, signal.SIGKILL)
    until(lambda: instance.ask("/status")[1]["control"]["restarts"] == 1, "another control")
    until(lambda: found(instance)["state"] == "stale", "its source fails")
    all_is_as_it_was()
    os.kill(instance.ask("/status")[1]["workers"][0]["pid"], signal.SIGKILL)
    until(lambda: instance.ask("/status")[1]["worker_restarts"] == 1, "another worker")
    all_is_as_it_was()
    text = json.loads(instance.config.read_text())
    instance.config.write_text(json.dumps(text | {"timeouts": {"read": "55s"}}))
    assert instance.command("reload")[0] == 0
    all_is_as_it_was()
    before = instance.ask("/status")[1]["supervisor"]["pid"]
    os.kill(before, signal.SIGUSR2)
    until(lambda: instance.ask("/status")[1]["supervisor"]["pid"] != before, "the next instance")
    until(lambda: instance.ask("/status")[1]["stage"] == "serving", "its service")
    all_is_as_it_was()
    assert found(instance)["endpoints"] == 2
    write(file, origins("third").address)
    until(lambda: instance.get() == (200, "third"), "what is found now")


def test_what_operators_say_of_a_discovered_backend_survives_refreshes(run: Run, origins: Origins, tmp_path: Path) -> None:
    """S17: a drained backend stays so over refreshes, and when it is lost for a moment; so do its counters."""
    file = tmp_path / "b.json"
    first = {"address": origins("first").address, "name": "first"}
    second = {"address": origins("second").address, "name": "second"}
    write(file, first, second)
    instance = run(discovery={"file": {"path": file.name}, "debounce": "10ms"}).ready()
    serves(instance, "first", "second")
    assert {instance.get()[1] for _ in range(4)} == {"first", "second"}
    assert instance.command("drain", "first")[0] == 0

    def state() -> tuple[str, int]:
        backend = next(each for each in instance.ask("/status")[1]["pools"][0]["backends"] if each["name"] == "first")
        return backend["state"], backend["requests"]

    until(lambda: state()[0] == "draining", "the drain")
    requests = state()[1]
    assert requests
    write(file, first | {"weight": 3}, second, origins("third").address)
    until(lambda: len(names(instance)) == 3, "a refresh")
    assert state() == ("draining", requests)
    write(file, second)
    serves(instance, "second")
    write(file, second, first)
    serves(instance, "first", "second")
    assert state() == ("draining", requests)
    assert {instance.get()[1] for _ in range(4)} == {"second"}
    assert instance.command("enable", "first")[0] == 0
    until(lambda: instance.get()[1] == "first", "it is back")


def test_what_vanishes_is_drained_and_a_request_under_way_ends_by_itself(run: Run, origins: Origins, tmp_path: Path) -> None:
    file = tmp_path / "b.json"
    slow, other = origins("slow"), origins("other")
    write(file, {"address": slow.address, "name": "slow"})
    instance = run(discovery={"file": {"path": file.name}, "debounce": "10ms"}).ready()
    serves(instance, "slow")
    port, answers = instance.port, []

    def ask() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        connection.request("GET", "/slow")
        answers.append(connection.getresponse().read())

    asking = threading.Thread(target=ask)
    asking.start()
    assert slow.waiting.wait(20)
    write(file, {"address": other.address, "name": "other"})
    serves(instance, "other")
    assert [instance.get()[1] for _ in range(4)] == ["other"] * 4
    slow.released.set()
    asking.join(20)
    assert answers == [b"slow"]


@needs_root
def test_a_file_that_only_the_supervisor_may_read_is_read(run: Run, origins: Origins, tmp_path: Path) -> None:
    folder = tmp_path / "secret"
    folder.mkdir(mode=0o700)
    file = folder / "b.json"
    write(file, {"address": origins("first").address, "name": "first"})
    file.chmod(0o600)
    instance = run(reachable(), user="nobody", discovery={"file": {"path": str(file)}, "debounce": "10ms"}).ready()
    serves(instance, "first")
    write(file, {"address": origins("second").address, "name": "second"})
    serves(instance, "second")
    (control,) = instance.children("balance-control")
    os.kill(control, signal.SIGKILL)
    until(lambda: found(instance)["state"] == "fresh", "its successor is told what files have")
    assert instance.get() == (200, "second")
