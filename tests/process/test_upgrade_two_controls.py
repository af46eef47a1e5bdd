"""While one instance takes over from another there are two control processes: what either was told, or found out, holds."""

import http.client
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from instance_process import Instance, Origin, until

pytestmark = [pytest.mark.drill, pytest.mark.long, pytest.mark.timeout(120)]

Run = Callable[..., Instance]
Origins = Callable[..., Origin]

HTTP = {"mode": "http", "workers": 2}
CHECKS = {
    "enabled": True,
    "type": "tcp",
    "interval": "200ms",
    "timeout": "1s",
    "unhealthy_threshold": 1,
    "healthy_threshold": 1,
}


def held_back(flag: Path) -> str:
    """A prelude: the workers of an instance that takes over wait, while the file `flag` is there; its control does not."""
    return f"""
import os, time
if "BALANCE_HANDOVER" in os.environ:
    from balance.process.worker import worker
    begin = worker.run
    def run(*arguments):
        while os.path.exists({str(flag)!r}):
            time.sleep(0.01)
        return begin(*arguments)
    worker.run = run
"""


FIRST_PROBE_LATE = """
if "BALANCE_HANDOVER" in os.environ:
    from balance.process.control import health_checks
    health_checks.first_delay_s = lambda *arguments: 3.0  # when the control process before is gone
"""


def said_by(instance: Instance, wanted: int | None, method: str, path: str, body: object = None) -> tuple[int, int, Any]:
    """Ask whichever control process takes the connection, or that one alone: (its pid, status, document)."""

    def attempt() -> tuple[int, int, Any] | None:
        connection = http.client.HTTPConnection("127.0.0.1", instance.admin_port, timeout=5)
        try:
            connection.request("GET", "/status")
            pid = json.loads(connection.getresponse().read())["control"]["pid"]
            if wanted not in (None, pid):
                return None
            connection.request(method, path, json.dumps(body) if body is not None else None)
            response = connection.getresponse()
            return pid, response.status, json.loads(response.read())
        finally:
            connection.close()

    found: tuple[int, int, Any] = until(attempt, f"an answer of {wanted or 'anybody'}")
    return found


def heir_of(instance: Instance, old: int) -> int:
    """The control process of the instance that takes over, once it answers."""

    def attempt() -> int | None:
        pid = said_by(instance, None, "GET", "/version")[0]
        return pid if pid != old else None

    pid: int = until(attempt, "the other control process")
    return pid


def state(instance: Instance, name: str = "b1") -> str:
    return {each["name"]: str(each["state"]) for each in instance.ask("/backends")[1]["backends"]}[name]


def started(run: Run, prelude: str, first: Origin, second: Origin) -> Instance:
    backends = [{"name": "b1", "address": first.address}, {"name": "b2", "address": second.address}]
    instance = run(prelude, backends=backends, health_check=CHECKS, **HTTP).ready()
    until(lambda: state(instance) == "healthy", "its health")
    return instance


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()[1])


@pytest.mark.parametrize(
    ("told", "is_taken_over"),
    [
        pytest.param("old", True, id="old-taken over"),
        pytest.param("old", False, id="old-broken off", marks=pytest.mark.long),
        pytest.param("new", True, id="new-taken over", marks=pytest.mark.long),
        pytest.param("new", False, id="new-broken off", marks=pytest.mark.long),
    ],
)
def test_what_an_operator_tells_either_holds(
    run: Run, origins: Origins, tmp_path: Path, told: str, is_taken_over: bool
) -> None:
    flag = tmp_path / "hold"
    flag.touch()
    instance = started(run, held_back(flag), origins("b1"), origins("b2"))
    (old,) = instance.children("balance-control")
    os.kill(instance.process.pid, signal.SIGUSR2)
    new = heir_of(instance, old)
    _, status, document = said_by(instance, old if told == "old" else new, "PATCH", "/backends/b1", {"state": "drain"})
    assert (status, document["state"]) == (200, "draining")
    if is_taken_over:
        flag.unlink()
        instance.saying("has taken over")
        until(lambda: not instance.children("balance-control"), "the end of the old control process")
    else:
        os.kill(parent_of(new), signal.SIGKILL)
        instance.saying("the upgrade is broken off")
        flag.unlink()
    serving = new if is_taken_over else old
    assert state(instance) == "draining"
    assert said_by(instance, serving, "PATCH", "/backends/b1", {"state": "enable"})[1] == 200
    until(lambda: state(instance) == "healthy", "its return")


@pytest.mark.long
def test_a_backend_that_fails_meanwhile_comes_back(run: Run, origins: Origins, tmp_path: Path) -> None:
    flag = tmp_path / "hold"
    flag.touch()
    first = origins("b1")
    port = first.server_address[1]
    instance = started(run, held_back(flag) + FIRST_PROBE_LATE, first, origins("b2"))
    (old,) = instance.children("balance-control")
    os.kill(instance.process.pid, signal.SIGUSR2)
    heir_of(instance, old)
    first.stop()
    instance.saying("b1 .* is unhealthy")
    os.kill(old, signal.SIGSTOP)  # it sees nothing more
    origins("b1", port)
    flag.unlink()
    instance.saying("has taken over")
    until(lambda: state(instance) == "healthy", "its return")
