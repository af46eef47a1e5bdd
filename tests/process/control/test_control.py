"""The control process: what it sees reaches the traffic, and its own death does not."""

import os
import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from instance_process import Instance, Origin, until

pytestmark = [pytest.mark.drill, pytest.mark.timeout(120)]

Run = Callable[..., Instance]
Origins = Callable[..., Origin]

HTTP = {"mode": "http", "workers": 2}
CHECKS = {"enabled": True, "type": "tcp", "interval": "200ms", "timeout": "1s", "unhealthy_threshold": 2}


def test_without_control_traffic_flows_and_its_successor_knows_what_it_knew(run: Run, origins: Origins) -> None:
    gone = origins("gone")
    backends = [{"name": "good", "address": origins("good").address}, {"name": "gone", "address": gone.address}]
    instance = run(backends=backends, health_check=CHECKS, **HTTP).ready()
    gone.stop()
    instance.saying("backend default/gone .* is unhealthy")
    (control,) = instance.children("balance-control")
    os.kill(control, signal.SIGSTOP)
    assert [instance.get() for _ in range(4)] == [(200, "good")] * 4
    os.kill(control, signal.SIGKILL)
    instance.saying(r"control \(pid \d+\) is ready")
    status = instance.ask("/status")[1]
    assert status["control"]["restarts"] == 1
    assert [backend["state"] for backend in status["pools"][0]["backends"]] == ["healthy", "unhealthy"]
    assert len(re.findall("is unhealthy", instance.log)) == 1  # what was known is not news


def test_readiness_follows_the_backends(run: Run, origins: Origins) -> None:
    origin = origins()
    port = origin.server_address[1]
    instance = run(backends=[{"address": origin.address}], health_check=CHECKS, **HTTP).ready()
    until(lambda: instance.ask("/ready")[0] == 200, "readiness")
    origin.stop()
    until(lambda: instance.ask("/ready") == (503, {"status": "not ready", "reasons": ["pool default: no backend is healthy"]}),
          "the reason")  # fmt: skip
    assert instance.ask("/health")[0] == 200
    assert instance.get()[0] == 503
    origins(port=port)
    until(lambda: instance.ask("/ready")[0] == 200, "readiness again")
    until(lambda: instance.get() == (200, "b1"), "an answer again")


def test_a_command_of_the_users_decides_in_a_whole_instance(run: Run, origins: Origins, tmp_path: Path) -> None:
    well = tmp_path / "well"
    well.touch()
    check = {
        "enabled": True,
        "interval": "100ms",
        "timeout": "2s",
        "unhealthy_threshold": 2,
        "command": ["test", "-e", str(well)],
    }
    instance = run(backends=[{"address": origins().address}], health_check=check, **HTTP).ready()
    instance.saying("is healthy: exit status 0")
    well.unlink()
    instance.saying(r"is unhealthy: exit status 1 \(2 times in a row\)")
    until(lambda: instance.get()[0] == 503, "a refusal")
    well.touch()
    until(lambda: instance.get() == (200, "b1"), "an answer again")
    (control,) = instance.children("balance-control")
    zombies = [path for path in Path("/proc").glob("[0-9]*/stat") if _is_zombie_of(path, control)]
    assert len(zombies) <= 1  # the one that is being waited for


def _is_zombie_of(stat: Path, parent: int) -> bool:
    try:
        state, ppid = stat.read_text().rpartition(")")[2].split()[:2]
    except OSError:
        return False
    return state == "Z" and int(ppid) == parent
