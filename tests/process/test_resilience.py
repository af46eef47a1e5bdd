"""Breakers and ejection in whole instances of four workers, under load that reaches all of them."""

import json
import os
import re
import signal
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime

import pytest
from failing_backend import Clients, FailingBackend, wait_for
from instance_process import Instance, Origin, until

pytestmark = [pytest.mark.drill, pytest.mark.long, pytest.mark.timeout(120)]

Run = Callable[..., Instance]
Origins = Callable[..., Origin]

HTTP = {"mode": "http", "workers": 4}
BREAKERS_ALONE = {"health_check": {"passive_checks": {"enabled": False}}, "retry": {"enabled": False}} | HTTP
OPEN_WITHIN_S = 0.1


@pytest.fixture
def moody() -> Iterator[FailingBackend]:
    backend = FailingBackend()
    yield backend
    backend.stop()


def with_good(origins: Origins, moody: FailingBackend) -> list[dict[str, str]]:
    return [{"name": "good", "address": origins("good").address}, {"name": "bad", "address": moody.address}]


def said_at(instance: Instance, pattern: str) -> float:
    """When the log said so, on the wall clock."""
    line = instance.saying(rf"^.*{pattern}.*$")[0]
    return datetime.fromisoformat(line.split(" ", 1)[0].replace("Z", "+00:00")).timestamp()


def lateness(run: Run, backends: list[dict[str, str]], moody: FailingBackend, control: str) -> float:
    """How long after the decision to open the last connection came, in seconds."""
    breaker = {"enabled": True, "failure_threshold": 5, "timeout": "60s"}
    moody.is_failing = False
    moody.released.set()
    instance = run(backends=backends, circuit_breaker=breaker, **BREAKERS_ALONE).ready()
    if control == "stopped":
        (pid,) = instance.children("balance-control")
        os.kill(pid, signal.SIGSTOP)
    with Clients(instance.port, 16) as crowd:
        wait_for(lambda: len(crowd.statuses) > 100)
        moody.is_failing = True
        decided = said_at(instance, "circuit breaker of backend default/bad .* is open")
        count = len(crowd.statuses)
        wait_for(lambda: len(crowd.statuses) > count + 200)
    assert len(re.findall("is open: too many failures in a row; it is tried again in 60s", instance.log)) == 1
    assert set(crowd.statuses[-100:]) == {200}
    if control == "stopped":
        os.kill(pid, signal.SIGCONT)
    assert instance.metric('balance_circuit_breaker_state{backend="bad",pool="default",state="open"}') == 1
    return max(moody.accepted_at) - decided


@pytest.mark.parametrize("control", ["alive", "stopped"])
def test_a_breaker_opens_in_all_workers_within_100_ms_of_the_deciding_failure(
    run: Run, origins: Origins, moody: FailingBackend, control: str
) -> None:
    backends = [{"name": "good", "address": origins("good").address}, {"name": "bad", "address": moody.address}]
    for _ in range(3):  # a busy machine may keep a process from running for longer than that, but hardly three times
        late_s = lateness(run, backends, moody, control)
        sys.stdout.write(f"the last connection came {late_s * 1000:.1f} ms after the decision, control {control}\n")
        if late_s < OPEN_WITHIN_S:
            return
    pytest.fail(f"open within {OPEN_WITHIN_S:g}s in none of three instances")


def test_half_open_admits_exactly_its_allowance_over_four_workers(run: Run, origins: Origins, moody: FailingBackend) -> None:
    breaker = {"enabled": True, "failure_threshold": 3, "success_threshold": 2, "timeout": "1s", "half_open_requests": 2}
    instance = run(backends=with_good(origins, moody), circuit_breaker=breaker, **BREAKERS_ALONE).ready()
    with Clients(instance.port, 24) as crowd:
        instance.saying("is open: too many failures in a row; it is tried again in 1s")
        wait_for(moody.is_left_alone)
        moody.is_failing = False
        wait_for(lambda: moody.at_once == 2)
        count = len(crowd.statuses)
        wait_for(lambda: len(crowd.statuses) > count + 200)  # all the others go elsewhere meanwhile
        assert set(crowd.statuses[count:]) == {200}
        assert (moody.at_once, moody.most_at_once) == (2, 2)
        moody.released.set()
        instance.saying("is closed: the requests that tried it went well")
        wait_for(lambda: crowd.statuses[-20:] == [200] * 20)


@pytest.mark.long
def test_a_backend_that_answers_503_is_left_alone_and_one_that_answers_404_or_500_is_not(
    run: Run, origins: Origins, moody: FailingBackend
) -> None:
    moody.is_failing, moody.status = False, b"404 Not Found"
    moody.released.set()
    breaker = {"enabled": True, "failure_threshold": 5, "timeout": "60s"}
    instance = run(backends=with_good(origins, moody), circuit_breaker=breaker, **BREAKERS_ALONE).ready()
    for status in (404, 500):
        moody.status = b"%d No" % status
        assert Counter(instance.get()[0] for _ in range(40))[status] >= 10
    moody.status = b"503 Service Unavailable"
    statuses = [instance.get()[0] for _ in range(100)]
    # A reply goes out before it is counted: the last 500, counted by another worker, may end the first run of failures.
    assert 5 <= statuses.count(503) < 20, statuses
    assert set(statuses[-40:]) == {200}
    instance.saying("the circuit breaker of backend default/bad .* is open: too many failures in a row")


def test_a_worker_that_dies_in_the_middle_of_a_trial_gives_it_back(run: Run, origins: Origins, moody: FailingBackend) -> None:
    breaker = {"enabled": True, "failure_threshold": 3, "success_threshold": 1, "timeout": "1s"}
    instance = run(backends=with_good(origins, moody), circuit_breaker=breaker, **BREAKERS_ALONE).ready()
    with Clients(instance.port, 8):
        instance.saying("is open")
        wait_for(moody.is_left_alone)
        moody.is_failing = False
        wait_for(lambda: moody.at_once == 1)
        slot = instance.saying(r"worker (\d): the circuit breaker of .* is half-open")[1]
        pid = instance.ask("/status")[1]["workers"][int(slot)]["pid"]
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: moody.at_once == 2)  # the dead one's request, which nobody waits for, and the next trial
        moody.released.set()
        instance.saying("is closed")


def test_a_backend_that_fails_is_ejected_tried_and_taken_back(run: Run, origins: Origins, moody: FailingBackend) -> None:
    backends = [{"name": "good", "address": origins("good").address}, {"name": "bad", "address": moody.address}]
    checks = {"passive_checks": {"enabled": True, "consecutive_failures": 3, "ejection_time": "500ms"}}
    instance = run(backends=backends, health_check=checks, **HTTP).ready()
    with Clients(instance.port, 8):
        instance.saying(r"backend default/bad .* is ejected: \d+ failures in a row; it is left alone for 0.5s")
        moody.is_failing = False
        moody.released.set()
        instance.saying("backend default/bad .* is healthy: the request that tried it went well")
    assert instance.metric('balance_backend_ejections_total{backend="bad",pool="default"}') >= 1
    assert "backend default/good" not in instance.log


@pytest.mark.long
def test_a_url_that_always_answers_500_ejects_nobody_and_is_asked_once(run: Run, moody: FailingBackend) -> None:
    moody.is_failing, moody.status = False, b"500 Internal Server Error"
    moody.released.set()
    backends = [{"name": name, "address": moody.address} for name in ("b1", "b2")]
    instance = run(backends=backends, **HTTP).ready()
    assert [instance.get()[0] for _ in range(60)] == [500] * 60
    assert "is ejected" not in instance.log
    assert instance.metric("balance_backend_ejections_total") == 0
    instance.counts("balance_backend_requests_total", 60)


def test_nothing_but_backends_a_dead_one_costs_nobody_a_request_and_is_ejected(
    run: Run, origins: Origins, moody: FailingBackend
) -> None:
    instance = run(backends=with_good(origins, moody), **HTTP).ready()
    moody.stop()  # connections are refused, or broken
    assert [instance.get()[0] for _ in range(60)] == [200] * 60
    instance.saying(r"backend default/bad .* is ejected: \d+ failures in a row; it is left alone for 10s")


def test_ejections_and_breakers_alone_leave_nobody_without_an_answer(run: Run, moody: FailingBackend) -> None:
    checks = {"interval": "200ms", "timeout": "100ms", "enabled": True}
    backends = [{"name": name, "address": moody.address} for name in ("b1", "b2")]
    breaker = {"enabled": True, "failure_threshold": 2, "timeout": "60s"}
    instance = run(backends=backends, health_check=checks, circuit_breaker=breaker, **HTTP).ready()
    with Clients(instance.port, 4) as crowd:
        instance.saying("b1 .* is open")
        instance.saying("b2 .* is open")
        moody.released.set()
        moody.is_failing = False
        count, since = len(crowd.statuses), time.monotonic()
        wait_for(lambda: 200 in crowd.statuses[count:])
        assert time.monotonic() - since < 3.0  # at once; not after a minute
        instance.saying("b[12] .* is closed")  # then there is one that is ready, and the other waits for its time
        wait_for(lambda: crowd.statuses[-40:] == [200] * 40)
    assert instance.metric('balance_requests_ended_total{why="breaker_open"}') == 0


@pytest.mark.long
def test_after_an_outage_of_all_the_first_200_comes_with_the_first_check_that_passes(run: Run, origins: Origins) -> None:
    origin = origins("b1")
    port = int(origin.address.rpartition(":")[2])
    check = {"enabled": True, "interval": "500ms", "timeout": "300ms"}
    breaker = {"enabled": True, "failure_threshold": 3}
    instance = run(
        backends=[{"name": "b1", "address": origin.address}], health_check=check, circuit_breaker=breaker, **HTTP
    ).ready()
    until(lambda: instance.get()[0] == 200, "the first 200")
    origin.stop()
    with Clients(instance.port, 4):
        instance.saying("default/b1 .* is unhealthy")
        time.sleep(0.5)
        again = origins("b1", port=port)
        back = time.monotonic()
        until(lambda: instance.get()[0] == 200, "a 200")
        assert time.monotonic() - back < 2.0, instance.log  # some 0.3 s on a machine with nothing else to do
    again.stop()


def order(instance: Instance, name: str, state: str) -> str:
    url = f"http://127.0.0.1:{instance.admin_port}/backends/{name}"
    request = urllib.request.Request(url, json.dumps({"state": state}).encode(), method="PATCH")
    with urllib.request.urlopen(request, timeout=20) as response:
        word: str = json.load(response)["state"]
        return word


def test_a_drain_is_not_undone_by_good_probes_and_ends_by_order(run: Run, origins: Origins) -> None:
    backends = [{"name": name, "address": origins(name).address} for name in ("b1", "b2")]
    check = {"enabled": True, "type": "http", "path": "/", "interval": "50ms", "timeout": "5s"}
    instance = run(backends=backends, health_check=check, **HTTP).ready()
    until(lambda: instance.ask("/ready")[0] == 200, "readiness")
    assert order(instance, "b1", "drain") == "draining"

    def last_check(name: str) -> object:
        return next(each["last_check"] for each in instance.ask("/backends")[1]["backends"] if each["name"] == name)

    before = last_check("b1")
    until(lambda: last_check("b1") != before, "another probe")
    assert {instance.get()[1] for _ in range(8)} == {"b2"}
    (worker, *_) = instance.children("balance-worker")
    os.kill(worker, signal.SIGKILL)
    instance.saying(r"worker \d \(pid \d+\) is ready")
    assert {instance.get()[1] for _ in range(8)} == {"b2"}
    order(instance, "b1", "enable")
    instance.saying("backend default/b1 .* is healthy: status 200")
    until(lambda: {instance.get()[1] for _ in range(8)} == {"b1", "b2"}, "both")
