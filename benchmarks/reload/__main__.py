"""`python3 benchmarks/reload`: how long a reload of 10,000 backends takes, and for how long it keeps requests waiting.

Two workers serve a small steady load meanwhile, which comes on a connection to each. What is asked: the whole reload, from the
order to its answer; the lag of the workers' loops, as their status says it (the worst of a second); and the slowest request,
which has no part in reloads but the waiting. Everything shares the machine: also the load, the backend, and whoever reads
the configuration. Standard library only.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # the checkout's own package, whatever is installed

from balance.process.os_calls import is_alive
from balance.process.shared_memory.board import Board
from balance.process.supervisor.shared_state import MIN_SLOTS, MIN_WORKERS, SPARE_ROWS
from balance.proxy.net.timer_wheel import TICK_S
from balance.runtime import counters

ROOT = Path(__file__).resolve().parents[2]
REPLY = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
PAUSE_S = 0.002
SHAPES = {"1,000 pools of 10": (1000, 10), "one pool of 10,000": (1, 10_000), "one pool of 10": (1, 10)}
CHANGES = ("every weight", "one backend of each pool")


def configuration(pools: int, backends: int, port: int, algorithm: str, turn: int, change: str) -> dict[str, Any]:
    """`turn` makes the difference."""
    weight = 1 + turn % 2 if change == "every weight" else 1

    def members(pool: int) -> list[dict[str, Any]]:
        numbers = [pool * backends + each for each in range(backends)]
        found: list[dict[str, Any]] = [
            {"name": f"b{number}", "address": f"127.1.{number // 250}.{number % 250}:{port}", "weight": weight}
            for number in numbers
        ]
        found[-1]["weight"] = 1 + turn % 7
        return found

    return {
        "listeners": [{"name": "main", "listen": "127.0.0.1:0", "mode": "http", "pool": "p0"}],
        "pools": {f"p{pool}": {"backends": members(pool)} for pool in range(pools)},
        "load_balancer": {"algorithm": algorithm},
        "admin": {"listen": "127.0.0.1:0"},
        "shutdown": {"delay": "0s"},
        "workers": 2,
    }


class Answering(asyncio.Protocol):
    """The backend behind all of them."""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(REPLY)


class Load:
    """A backend and four clients on a loop in a thread."""

    def __init__(self) -> None:
        self.took: list[float] = []  # seconds
        self.failed = 0
        self._clients: list[Future[None]] = []  # a task that nobody holds may be collected
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        server = asyncio.run_coroutine_threadsafe(
            self._loop.create_server(Answering, "0.0.0.0", 0, backlog=1024), self._loop
        ).result(10)
        self.port: int = server.sockets[0].getsockname()[1]

    def begin(self, port: int, clients: int) -> None:
        for _ in range(clients):
            self._clients.append(asyncio.run_coroutine_threadsafe(self._ask(port), self._loop))

    def end(self) -> None:
        for client in self._clients:
            client.cancel()

    async def _ask(self, port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while True:
            began = time.perf_counter()
            try:
                writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                await reader.readuntil(b"ok")
            except (OSError, asyncio.IncompleteReadError):
                self.failed += 1
                return
            self.took.append(time.perf_counter() - began)
            await asyncio.sleep(PAUSE_S)


class Instance:
    """`balance serve` of this checkout."""

    def __init__(self, directory: Path, document: dict[str, Any]) -> None:
        self.file = directory / "balance.yaml"
        self.write(document)
        self.log = ""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "balance", "serve", "--config", str(self.file)],
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            start_new_session=True,
        )
        self.pid = self._process.pid
        threading.Thread(target=self._read, daemon=True).start()
        deadline = time.monotonic() + 120
        while "supervisor: ready\n" not in self.log:
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"balance did not start:\n{self.log}")
            time.sleep(0.05)
        self.port = int(re.search(r"listener main: http on \S*:(\d+) ", self.log, re.DOTALL)[1])  # type: ignore[index]
        self.admin_port = int(re.search(r"admin: http://\S*:(\d+)/", self.log)[1])  # type: ignore[index]

    def _read(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self.log += line

    def write(self, document: dict[str, Any]) -> None:
        self.file.write_text(json.dumps(document))

    def ask(self, method: str, path: str) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self.admin_port, timeout=120)
        try:
            connection.request(method, path)
            response = connection.getresponse()
            page = response.read()
            if response.status != 200:
                raise SystemExit(f"{method} {path}: {response.status} {page[:500]!r}")
            return page
        finally:
            connection.close()

    def stop(self) -> None:
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


class LagWatch:
    """Reads the lag from the board itself, at every tick: a status page of 10,000 backends would be a load of its own."""

    def __init__(self, supervisor: int, backends: int) -> None:
        fds = Path(f"/proc/{supervisor}/fd")
        name = next(fd.name for fd in fds.iterdir() if "balance-board" in os.readlink(fd))
        fd = os.open(fds / name, os.O_RDWR)
        max_rows, max_slots = 2 * MIN_WORKERS + SPARE_ROWS, max(MIN_SLOTS, 2 * backends + 1)  # as the instance lays it out
        self._board = Board(0, 1, max_rows=max_rows, max_slots=max_slots, inherited_fd=fd)
        if not all(row[counters.PID] and is_alive(row[counters.PID]) for row in self._board.rows):
            raise SystemExit("the board is laid out otherwise: the lag can't be read from it")
        self._worst_us = 0
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while True:
            self._worst_us = max(self._worst_us, *(row[counters.LAG_US] for row in self._board.rows))
            time.sleep(TICK_S / 2)

    def worst_s(self) -> float:
        """Since it was last asked."""
        worst_us, self._worst_us = self._worst_us, 0
        return worst_us / 1e6


def measure(shape: str, algorithm: str, change: str, times: int) -> Iterator[tuple[float, float, float, float]]:
    """(seconds of the reload, worst lag, slowest request, median request) for each of so many reloads."""
    pools, backends = SHAPES[shape]
    load = Load()
    with tempfile.TemporaryDirectory() as directory:
        instance = Instance(Path(directory), configuration(pools, backends, load.port, algorithm, 0, change))
        try:
            load.begin(instance.port, 4)
            watch = LagWatch(instance.pid, pools * backends)
            time.sleep(1.0)
            for turn in range(1, times + 1):
                instance.write(configuration(pools, backends, load.port, algorithm, turn, change))
                time.sleep(1.0)  # what writing the file cost is over
                watch.worst_s()
                load.took.clear()
                began = time.perf_counter()
                instance.ask("POST", "/reload")
                seconds = time.perf_counter() - began
                time.sleep(0.3)
                took = sorted(load.took)
                if load.failed or not took:
                    raise SystemExit(f"{load.failed} of the clients' connections broke:\n{instance.log[-3000:]}")
                yield seconds, watch.worst_s(), took[-1], statistics.median(took)
        finally:
            load.end()
            instance.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=5, help="reloads of each kind (default: 5)")
    parser.add_argument("--algorithm", default="round-robin")
    parser.add_argument("--shape", choices=SHAPES, action="append")
    given = parser.parse_args()
    print(f"{given.algorithm}; {os.cpu_count()} cores; load average {os.getloadavg()[0]:.1f} at the start\n")
    print("| configuration | what changes | reload s | loop lag ms | slowest request ms | median request ms |")
    print("| --- | --- | ---: | ---: | ---: | ---: |")
    for shape in given.shape or SHAPES:
        for change in CHANGES:
            rows = list(measure(shape, given.algorithm, change, given.times))
            columns = list(zip(*rows, strict=True))
            counters = [f"{min(columns[0]):.2f}–{max(columns[0]):.2f}"]
            counters += [f"{min(column) * 1000:.1f}–{max(column) * 1000:.1f}" for column in columns[1:4]]
            print("|", " | ".join([shape, change, *counters]), "|", flush=True)


if __name__ == "__main__":
    main()
