"""Killed workers: replaced at once, and nothing that was counted is lost."""

import os
import re
import signal
import time
from collections.abc import Callable

import pytest
from instance_process import Instance, Origin, until

pytestmark = [pytest.mark.drill, pytest.mark.timeout(120)]

Run = Callable[..., Instance]
Origins = Callable[..., Origin]

HTTP = {"mode": "http", "workers": 2}


def test_a_killed_worker_is_replaced_and_no_counter_goes_back(run: Run, origins: Origins) -> None:
    instance = run(backends=[{"address": origins().address}], **HTTP).ready()
    for _ in range(20):
        instance.get()
    names = ("balance_http_requests_total", "balance_connections_total", "balance_bytes_total", "process_cpu_seconds_total")
    instance.counts("balance_http_requests_total", 20)
    before = {name: instance.metric(name) for name in names}
    for worker in instance.children("balance-worker"):
        os.kill(worker, signal.SIGKILL)
    assert instance.get() == (200, "b1")  # nobody accepts for a moment, and nobody is refused: the queue waits
    until(lambda: len(re.findall(r"worker \d \(pid \d+\) is ready", instance.log)) == 2, "two successors")
    for _ in range(20):
        assert instance.get() == (200, "b1")
    instance.counts("balance_http_requests_total", 41)
    after = {name: instance.metric(name) for name in names}
    assert [name for name in names if after[name] < before[name]] == []
    assert instance.metric("balance_worker_restarts_total") == 2
    assert len(re.findall(r"worker \d \(pid \d+\) was killed by SIGKILL; its successor starts now", instance.log)) == 2


def test_a_worker_that_hangs_is_killed_and_replaced(run: Run, origins: Origins) -> None:
    sooner = "from balance.process.children import stall_detector; stall_detector.CHECK_INTERVAL_S = 0.1"
    instance = run(sooner, backends=[{"address": origins().address}], mode="http", workers=1).ready()
    (worker,) = instance.children("balance-worker")
    os.kill(worker, signal.SIGSTOP)
    assert instance.get() == (200, "b1")  # waits in the queue until the successor takes it
    assert f"worker 0 (pid {worker}) does not turn any more: killing it" in instance.log
    assert instance.metric("balance_worker_restarts_total") == 1


@pytest.mark.long
def test_an_instance_that_was_stopped_as_a_whole_goes_on_with_the_same_workers(run: Run, origins: Origins) -> None:
    sooner = "from balance.process.children import stall_detector; stall_detector.CHECK_INTERVAL_S = 0.1"
    instance = run(sooner, backends=[{"address": origins().address}], **HTTP).ready()
    workers = instance.children("balance-worker")
    os.killpg(instance.process.pid, signal.SIGSTOP)
    time.sleep(1.5)  # longer than a worker may be silent; there is nothing to wait for, since everybody stands still
    os.killpg(instance.process.pid, signal.SIGCONT)
    assert instance.get() == (200, "b1")
    assert instance.children("balance-worker") == workers
    assert "killing" not in instance.log
