"""An instance under a steady load, and the operations and accidents of a drill: reloads, restarts, upgrades, kills."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import random
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from instance_process import Instance, until
from steady_load import NAMES, Load

SCRAPE_S = 0.1
FEW_FDS = 8  # of clients and parked at backends, which come and go; what each reload left would be a lot more
MOST_GROWTH_KB = 2048  # of a process's own memory, over any number of reloads
COUNTERS = (
    "balance_http_requests_total",
    "balance_connections_total",
    "balance_bytes_total",
    "balance_requests_ended_total",
    "balance_http_request_size_bytes_count",
    "balance_http_response_size_bytes_sum",
    "balance_worker_restarts_total",
    "balance_control_restarts_total",
    "balance_config_reloads_total",
)


def document(addresses: dict[str, str], **keys: Any) -> dict[str, Any]:
    """A configuration with a long drain time."""
    return {
        "mode": "http",
        "listen": "127.0.0.1:0",
        "workers": 2,
        "admin": {"listen": "127.0.0.1:0"},
        "shutdown": {"delay": "0s", "restart_drain": "10m"},
        "backends": [{"name": name, "address": address} for name, address in addresses.items()],
    } | keys


def variants(addresses: dict[str, str], numbers: Iterator[int]) -> Iterator[dict[str, Any]]:
    """One configuration after the other, each different from the one before in something that a reload must cope with."""
    while True:
        for keys in (
            {"weights": (3, 2, 1)},
            {"left_out": "b2"},
            {"load_balancer": {"algorithm": "weighted-round-robin"}, "weights": (1, 1, 5)},
            {"circuit_breaker": {"enabled": True}},
            {"left_out": "b1", "circuit_breaker": {"enabled": True}, "weights": (2, 2, 2)},
            {"load_balancer": {"algorithm": "least-connections"}},
            {"left_out": "b3", "load_balancer": {"algorithm": "consistent-hash"}},
            {"health_check": {"enabled": True, "type": "tcp", "interval": "200ms"}, "weights": (4, 5, 6)},
            {"retry": {"enabled": True}, "http": {"via": True}},
        ):
            wanted: dict[str, Any] = dict(keys)
            weights = dict(zip(NAMES, wanted.pop("weights", (1, 1, 1)), strict=True))
            left_out = wanted.pop("left_out", "")
            yield wanted | {
                "backends": [
                    {"name": name, "address": address, "weight": weights[name], "metadata": {"turn": str(next(numbers))}}
                    for name, address in addresses.items()
                    if name != left_out
                ]
            }


@dataclass
class Usage:
    """What one process has."""

    rss_kb: int
    pss_kb: int
    fds: int


@dataclass
class OperationCounts:
    """What was done."""

    done: dict[str, int] = field(default_factory=dict)
    ports_of_killed_workers: set[int] = field(default_factory=set)  # ports of clients whose worker was killed

    def count(self, what: str) -> None:
        self.done[what] = self.done.get(what, 0) + 1


class Drill:
    """Operations on `instance` while `load` runs. Each waits for its effect and fails without it."""

    def __init__(self, instance: Instance, load: Load, seed: int = 1) -> None:
        self.instance = instance
        self.load = load
        self.counts_done = OperationCounts()
        self.rand = random.Random(seed)
        self.document = json.loads(instance.config.read_text())
        self._variants = variants(load.addresses, iter(range(1, 1_000_000)))

    # --- what there is -------------------------------------------------------------------------------------

    @property
    def supervisor(self) -> int:
        """The process that serves now; an upgrade makes it another one."""
        pid: int = self.ask("/status")[1]["supervisor"]["pid"]
        return pid

    def ask(self, path: str, method: str = "GET", body: object = None) -> tuple[int, Any]:
        """a page of the admin port. Asked again where the answer is lost, for nobody promises otherwise of these."""

        def once() -> tuple[int, Any]:
            connection = http.client.HTTPConnection("127.0.0.1", self.instance.admin_port, timeout=20)
            with contextlib.closing(connection):
                connection.request(method, path, None if body is None else json.dumps(body))
                response = connection.getresponse()
                return response.status, json.loads(response.read())

        found: tuple[int, Any] = until(once, f"{method} {path}")
        return found

    def workers(self) -> dict[int, int]:
        """The pids of those at their posts."""
        rows = self.ask("/status")[1]["workers"]
        return {row["worker"]: row["pid"] for row in rows if row["state"] == "alive" and row["pid"]}

    def pids_by_name(self) -> dict[str, int]:
        """Every process that serves, by what it is called."""
        page = self.ask("/status")[1]
        named = {f"worker {row['worker']}": row["pid"] for row in page["workers"] if row["state"] == "alive"}
        return {"supervisor": page["supervisor"]["pid"], "control": page["control"]["pid"]} | named

    def usages(self) -> dict[str, Usage]:
        return {name: usage(pid) for name, pid in self.pids_by_name().items()}

    # --- what is done --------------------------------------------------------------------------------------

    def write(self, keys: dict[str, Any]) -> None:
        """Change the file, whole at once as careful tools do."""
        beside = self.instance.config.with_suffix(".new")
        beside.write_text(json.dumps(self.document | keys))
        beside.rename(self.instance.config)

    def reload(self, keys: dict[str, Any] | None = None) -> None:
        """Change backends and weights, by SIGHUP or by order."""
        self.write(next(self._variants) if keys is None else keys)
        before = self.generation
        if self.rand.random() < 0.5:
            os.kill(self.supervisor, signal.SIGHUP)
            until(lambda: self.generation > before, lambda: f"a generation after {before} in\n{self.instance.log[-3000:]}")
        else:
            status, page = self.ask("/reload", "POST")
            assert status == 200, page
        self.counts_done.count("reloads")

    @property
    def generation(self) -> int:
        number: int = self.ask("/status")[1]["generation"]
        return number

    def reload_broken(self) -> None:
        """A file that is wrong, and then the old one is back."""
        text = self.instance.config.read_text()
        before = self.generation
        wrong = self.rand.choice(("{", '{"mode": "ftp"}', text.replace('"workers": 2', '"workers": -1'), '{"lissen": ":1"}'))
        self.instance.config.write_text(wrong)
        status, page = self.ask("/reload", "POST")
        assert status >= 400, (status, page)
        assert self.generation == before
        self.instance.config.write_text(text)
        self.counts_done.count("reloads of a broken file")

    def restart(self) -> None:
        """Replace the workers one by one."""
        before = set(self.workers().values())
        os.kill(self.supervisor, signal.SIGUSR1)
        until(lambda: len(now := self.workers()) == 2 and before.isdisjoint(now.values()), "other workers")
        self.counts_done.count("rolling restarts")

    def upgrade(self) -> None:
        """Have another instance take over."""
        before = self.pids_by_name()
        os.kill(before["supervisor"], signal.SIGUSR2)
        until(lambda: self.supervisor != before["supervisor"], lambda: f"another supervisor in\n{self.instance.log[-3000:]}")
        until(lambda: not is_running(before["control"]), "the end of the admin server before")
        until(lambda: self.ask("/status")[1]["stage"] == "serving", "service")
        self.counts_done.count("upgrades")

    def kill_worker(self) -> None:
        """kill -9 of one at its post; what it held is noted."""
        slot, pid = self.rand.choice(sorted(self.workers().items()))
        self.counts_done.ports_of_killed_workers |= kill_worker_holding(pid, self.instance.port)
        until(lambda: self.workers().get(slot, pid) != pid, f"a successor of worker {slot}")
        self.counts_done.count("workers killed")

    def kill_control(self) -> None:
        pid = self.ask("/status")[1]["control"]["pid"]
        os.kill(pid, signal.SIGKILL)
        until(lambda: self.ask("/status")[1]["control"]["pid"] != pid, "another control process")
        self.counts_done.count("control processes killed")

    def growth(self, reloads: int, warm_up: int = 20) -> dict[str, tuple[Usage, Usage]]:
        """What each process has before and after so many reloads; the first few fill what is kept for good."""
        for _ in range(warm_up):
            self.reload()
        before = self.settled()
        for _ in range(reloads):
            self.reload()
        after = self.settled()
        return {name: (before[name], after[name]) for name in before}

    def settled(self) -> dict[str, Usage]:
        """With as few descriptors as there ever are: connections to backends and to the admin server come and go."""
        self.write({})
        assert self.ask("/reload", "POST")[0] == 200
        found = self.usages()
        for _ in range(40):
            time.sleep(0.05)
            for name, usage in self.usages().items():
                found[name].fds = min(found[name].fds, usage.fds)
        return found

    def run(self, **times: int) -> None:
        """Each of these so many times, in an order that the seed decides."""
        acts: dict[str, Callable[[], None]] = {
            "reloads": self.reload,
            "broken": self.reload_broken,
            "restarts": self.restart,
            "upgrades": self.upgrade,
            "kills": self.kill_worker,
        }
        order = [acts[name] for name, count in times.items() for _ in range(count)]
        self.rand.shuffle(order)
        for act in order:
            act()
            self.load.flow(20)


def kill_worker_holding(pid: int, port: int) -> set[int]:
    """Stop a worker, see which clients' connections to `port` it has accepted, kill it. Returns the clients' own ports.

    What still waits in its listening socket's queue is not its own, and its successor's.
    """
    os.kill(pid, signal.SIGSTOP)
    until(lambda: re.search(r"^State:\s+T", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE), "a stopped process")
    inodes = set()
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            link = os.readlink(fd)
            if link.startswith("socket:["):
                inodes.add(link[8:-1])
    ports_of_killed_workers = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        row = line.split()
        if row[9] in inodes and row[3] != "0A" and int(row[1].rpartition(":")[2], 16) == port:
            ports_of_killed_workers.add(int(row[2].rpartition(":")[2], 16))
    os.kill(pid, signal.SIGKILL)
    return ports_of_killed_workers


def children_of(pid: int, name: str) -> list[int]:
    """The pids of the living children of a process that go by that name."""
    found = subprocess.run(["ps", "-o", "pid=,comm=", "--ppid", str(pid)], capture_output=True, text=True, check=False)
    return [int(line.split()[0]) for line in found.stdout.splitlines() if line.split()[1:] == [name]]


def is_running(pid: int) -> bool:
    """Not so one that is dead and that nobody has asked about."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][:1] != "Z"
    return False


def usage(pid: int) -> Usage:
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    found = {name: int(size) for name, size in re.findall(r"^(Rss|Pss):\s+(\d+) kB", text, re.MULTILINE)}
    return Usage(found["Rss"], found["Pss"], len(os.listdir(f"/proc/{pid}/fd")))


class Scraper:
    """Reads /metrics all the time, as Prometheus does, and notes which counters ever went back."""

    def __init__(self, instance: Instance) -> None:
        self.steps_back: list[str] = []
        self.doubles: list[str] = []
        self.scrapes = self.missed = 0
        self._port = instance.admin_port
        self._is_over = threading.Event()
        self._last: dict[str, float] = {}
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Scraper:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join(20)

    def _run(self) -> None:
        while not self._is_over.wait(SCRAPE_S):
            connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=20)
            try:
                connection.request("GET", "/metrics")
                text = connection.getresponse().read().decode()
            except (OSError, http.client.HTTPException):
                self.missed += 1
                continue
            finally:
                connection.close()
            self.scrapes += 1
            self._look(text)

    def _look(self, text: str) -> None:
        sums: dict[str, float] = dict.fromkeys(COUNTERS, 0.0)
        names: set[str] = set()
        for line in text.splitlines():
            if line.startswith("#"):
                continue
            name, _, value = line.rpartition(" ")
            if name in names:
                self.doubles.append(name)
            names.add(name)
            family = name.partition("{")[0]
            if family in sums:
                sums[family] += float(value)
        for family, total in sums.items():
            if total < self._last.get(family, 0.0):
                self.steps_back.append(f"{family}: {self._last[family]:g} -> {total:g}")
        self._last = sums


def wait_while(condition: Callable[[], object], seconds: float) -> bool:
    """Whether it still holds after that time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not condition():
            return False
        time.sleep(0.02)
    return True
