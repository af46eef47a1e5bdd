"""A worker takes its place: its own socket, and all that its predecessor was told."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from instance_process import Instance, Origin

from balance.process.worker.worker import OTHERS_AT_ONCE, OTHERS_INTERVAL_S, part_of_slots

pytestmark = [pytest.mark.drill, pytest.mark.timeout(120)]

Run = Callable[..., Instance]
Origins = Callable[..., Origin]

HTTP = {"mode": "http", "workers": 2}
CHECKS = {"enabled": True, "type": "tcp", "interval": "200ms", "timeout": "1s", "unhealthy_threshold": 2}


@pytest.mark.parametrize(("slots", "workers"), [(1, 1), (11, 2), (5001, 4), (5001, 64), (20_001, 64), (300, 20_000)])
def test_all_backends_are_looked_at_each_round_and_few_numbers_at_once(slots: int, workers: int) -> None:
    """As read from other workers' rows: a part is short, so that no request waits for it."""
    for _ in range(2):
        seen, waited_s, looked_at = slots, 0.0, []
        while len(looked_at) < slots:
            part, wait_s = part_of_slots(seen, slots, workers)
            assert 0 < len(part) <= max(OTHERS_AT_ONCE // workers, 1)
            looked_at += part
            seen = part.stop
            waited_s += wait_s
        assert looked_at == list(range(slots))
        assert waited_s == pytest.approx(OTHERS_INTERVAL_S)


def test_after_a_reload_with_fewer_backends_the_round_begins_anew() -> None:
    part, _ = part_of_slots(4000, 10, 64)
    assert part == range(10)


def test_a_worker_born_later_knows_which_backends_are_ill(run: Run, origins: Origins) -> None:
    gone = origins("gone")
    backends = [{"address": origins("good").address}, {"address": gone.address}]
    instance = run(backends=backends, health_check=CHECKS, mode="http", workers=1).ready()
    gone.stop()
    instance.saying("is unhealthy")
    (worker,) = instance.children("balance-worker")
    os.kill(worker, signal.SIGKILL)
    instance.saying(r"worker 0 \(pid \d+\) is ready")
    for _ in range(4):
        assert instance.get() == (200, "good")
    assert instance.metric("balance_backend_connect_failures_total") == 0


def test_each_worker_holds_its_own_listening_socket_and_control_none(run: Run, origins: Origins) -> None:
    instance = run(backends=[{"address": origins().address}], **HTTP).ready()
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    inodes = {row[9] for row in rows if row[1].endswith(f":{instance.port:04X}") and row[3] == "0A"}

    def held(pid: int) -> set[str]:
        links = (os.readlink(fd) for fd in Path(f"/proc/{pid}/fd").iterdir())
        return {link[8:-1] for link in links if link.startswith("socket:[")} & inodes

    first, second = map(held, instance.children("balance-worker"))
    (control,) = map(held, instance.children("balance-control"))
    assert (len(inodes), len(first), len(second), control) == (2, 1, 1, set())
    assert first.isdisjoint(second)
