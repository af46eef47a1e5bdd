"""Injects a fault into one of three backends under a steady load, and removes it.

    with FaultRun(FAULTS["kill"], directory) as run:
        report = run.run(before_s=1, during_s=3, after_s=2)

FaultReport.guarantees() judges the result; other numbers depend on the machine.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import json
import re
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from backend_processes import BackendProcess, BackendProcesses
from fault_report import FaultReport
from injected_faults import CONFIGURED, FAULTS, Fault
from instance_process import Instance
from steady_load import PATIENCE_S, Load

DETECTIONS = ("is unhealthy", "is ejected", "is open")
LOAD: dict[str, Any] = {"websockets": 0, "download_bytes": 0, "pause_s": 0.01}
FOR_A_SHARE = 300  # requests


class FaultRun:
    """An instance in front of three backend processes, and a load."""

    def __init__(self, fault: Fault, directory: Path, clients: int = 12, **keys: Any) -> None:
        """A third of the clients make a new connection for each request. `keys` replace those of CONFIGURED, in `retry` one
        by one."""
        self._fault = fault
        self._directory = directory
        self._clients = {"keeping": clients - clients // 3, "fresh": clients // 3}
        self._keys = keys
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> FaultRun:
        with self._stack as stack:
            self.backends = stack.enter_context(BackendProcesses(self._directory))
            self.load = stack.enter_context(Load(recorder=self.backends, **self._clients, **LOAD))
            backup = self._fault.backup
            addresses = self.load.addresses.items()
            backends = [{"name": name, "address": address, "backup": name == backup} for name, address in addresses]
            keys = CONFIGURED | self._keys
            keys["retry"] = CONFIGURED["retry"] | self._fault.retry | self._keys.get("retry", {})
            self.instance = Instance(self._directory, json.dumps(keys | {"backends": backends}))
            stack.callback(self.instance.destroy)
            self.instance.ready()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def run(self, before_s: float, during_s: float, after_s: float) -> FaultReport:
        """So long healthy, so long faulty (or until it is detected), and so long after traffic has come back."""
        faulty = [self.backends.by_name[name] for name in self._fault.faulty]
        self.load.begin(self.instance.port)
        began = time.monotonic()
        time.sleep(before_s)
        fault_began = time.monotonic()
        for backend in faulty:
            self._fault.begin(backend)
        time.sleep(during_s)
        self._await_detection(time.monotonic() + PATIENCE_S)
        self._await_requests(fault_began, time.monotonic() + PATIENCE_S)
        for backend in faulty:
            self._fault.end(backend)
        fault_ended = time.monotonic()
        self._await_recovery(faulty, fault_ended)
        time.sleep(after_s)
        ended = time.monotonic()
        report = self.load.end()
        own = {f"{story.method} {story.name}" for story in self.load.records}
        return FaultReport(
            fault=self._fault,
            began=began,
            fault_began=fault_began,
            fault_ended=fault_ended,
            ended=ended,
            records=self.load.records,
            at_faulty=[(seen.at, seen.name) for backend in faulty for seen in backend.seen()],
            at_backup=[(seen.at, seen.name) for seen in self.backends.by_name[self._fault.backup or "b3"].seen()],
            duplicated_posts=[what for what in report.twice if what.startswith("POST ")],
            unseen=report.unseen,
            other_failures=[each.kind for each in report.failures if " ".join(each.what.split(" ")[:2]) not in own],
            log_lines=list(self._fault_log_lines()),
            retries=self._retries(),
            log=self.instance.log,
        )

    def _await_detection(self, until: float) -> None:
        """On a machine that is busy with other work, trouble may be over before a check of it is."""
        while self._fault.is_failing and time.monotonic() < until:
            if any(order_result in line for _, line in self._fault_log_lines() for order_result in DETECTIONS):
                return
            time.sleep(0.05)

    def _await_requests(self, since: float, until: float) -> None:
        """A share of a few requests says little: on a busy machine the fault lasts until there were FOR_A_SHARE."""
        while not self._fault.is_failing and time.monotonic() < until:
            if sum(record.ended >= since for record in self.load.records) >= FOR_A_SHARE:
                return
            time.sleep(0.05)

    def _await_recovery(self, faulty: Sequence[BackendProcess], fault_ended: float) -> None:
        """Until one of them is given something that began since then, or patience ends."""
        while time.monotonic() < fault_ended + PATIENCE_S:
            fresh = {story.name for story in self.load.records if story.began >= fault_ended}
            if any(seen.at >= fault_ended and seen.name in fresh for backend in faulty for seen in backend.seen()):
                return
            time.sleep(0.05)

    def _fault_log_lines(self) -> Iterator[tuple[float, str]]:
        to_monotonic = time.monotonic() - time.time()
        for line in self.instance.lines:
            stamp, _, rest = line.partition(" ")
            if any(f"default/{name} " in rest for name in self._fault.faulty):
                yield datetime.fromisoformat(stamp.replace("Z", "+00:00")).timestamp() + to_monotonic, rest

    def _retries(self) -> dict[str, float]:
        found: collections.Counter[str] = collections.Counter()
        for line in self.instance.get("/metrics", self.instance.admin_port)[1].splitlines():
            name, _, value = line.rpartition(" ")
            if name.startswith("balance_backend_retries_total"):
                found["tries that were made again"] += int(float(value))
            elif match := re.match(r'balance_retries_skipped_total\{reason="(\w+)"\}', name):
                found[f"not made again: {match[1]}"] += int(float(value))
        return {word: count for word, count in found.items() if count}


def main(about: str, *names: str) -> int:
    """A script that runs these faults one after the other. Returns its exit status: 0 when every promise was kept."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--seconds", type=float, default=5.0 if len(names) == 1 else 2.0, help="of trouble (default: %(default)g)")
    add("--clients", type=int, default=12, help="a third of them makes a new connection each time (default: %(default)d)")
    add("--algorithm", default="least-connections", help="default: %(default)s")
    add("--budget", type=float, default=1.0, metavar="RATIO", help="retry.budget.ratio (default: %(default)g)")
    add("--log", action="store_true", help="print the whole log of Balance, too")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that whatever was started is ended
    say = sys.stdout.write
    are_kept = True
    for name in names:
        fault = FAULTS[name]
        keys = {"load_balancer": {"algorithm": given.algorithm}, "retry": {"budget": {"ratio": given.budget}}}
        with tempfile.TemporaryDirectory() as directory, FaultRun(fault, Path(directory), given.clients, **keys) as trouble:
            say(f"{name}: {' and '.join(fault.faulty)}: {fault.title}\n\n")
            sys.stdout.flush()
            findings = trouble.run(1.5, given.seconds, 1.5)
        say(f"{findings.table()}\n\n{findings.log if given.log else ''}")
        are_kept = are_kept and all(promise.holds for promise in findings.guarantees())
    return 0 if are_kept else 1
