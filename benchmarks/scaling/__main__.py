"""`python3 benchmarks/scaling`: what grows with the number of workers and of backends, and by how much.

    board    what a worker reads of all others five times a second, where its algorithm wants that; the size of the board
    scrape   a scrape's CPU, in control, by workers
    spread   how evenly the kernel gives connections to sockets of one port (SO_REUSEPORT), beside a fair share
    memory   PSS of supervisor, control and 4 workers, by backends; and what control's health checks take

Each line is the least of several. CPU, not time; the figures of `docs/SCALING.md` are made of these.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from wire import procfs
from wire.child import free_port

from balance.admin.metrics.formats import Format
from balance.process.shared_memory.board import Board
from balance.process.worker.worker import OTHERS_INTERVAL_S, part_of_slots
from balance.runtime import counters

TRIES = 7
READY_S = 60.0
SETTLE_S = 3.0
CHECKED_S = 5.0  # for which the CPU of health checks is measured
REPLY = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def least_s(work: Callable[[], object]) -> float:
    """Seconds of CPU."""
    found = []
    for _ in range(TRIES):
        before = time.process_time()
        work()
        found.append(time.process_time() - before)
    return min(found)


def board() -> None:
    print("workers  backends  a look at all others  of each worker's core  the longest part  a row on the board")
    for workers in (8, 32, 64):
        for backends in (10, 200, 5000):
            shared = Board(workers, backends + 1)
            for row in range(workers):
                shared.use_row(row)
            shared.use_slots(backends + 1)
            parts, seen = [], shared.slots
            while not parts or seen < shared.slots:
                part, _ = part_of_slots(seen, shared.slots, workers)
                parts.append(least_s(lambda shared=shared, part=part: shared.active_elsewhere(0, part)))
                seen = part.stop
            size, share = 8 * counters.row_cells(backends + 1) / 1e6, sum(parts) / OTHERS_INTERVAL_S
            times = f"{sum(parts) * 1e6:17,.0f} us  {share:21.2%}  {max(parts) * 1e6:13,.0f} us"
            print(f"{workers:7}  {backends:8}  {times}  {size:15.2f} MB")


def scrape() -> None:
    module = runpy.run_path(str(ROOT / "benchmarks" / "scrape" / "__main__.py"), run_name="scrape")
    print("workers  backends  CPU of a scrape")
    for workers in (2, 8, 32, 64):
        for backends in (10, 200, 5000) if workers <= 8 else (10, 200):
            view = module["instance"](backends, "auto", workers)
            cpu = asyncio.run(module["measure"](view, Format.TEXT, is_compressed=False))[0]
            print(f"{workers:7}  {backends:8}  {cpu * 1e3:12,.0f} ms", flush=True)


def spread() -> None:
    print("workers  connections  the fullest worker has  the emptiest")
    for workers in (2, 8, 32, 64):
        for connections in (8 * workers, 64 * workers, 256 * workers):
            fullest, emptiest = [], []
            for _ in range(TRIES):
                counts = shares(workers, min(connections, 8000))
                mean = sum(counts) / workers
                fullest.append(max(counts) / mean)
                emptiest.append(min(counts) / mean)
            most, least = sorted(fullest)[TRIES // 2], sorted(emptiest)[TRIES // 2]
            print(f"{workers:7}  {min(connections, 8000):11,}  {most:14.2f} x a share  {least:7.2f} x")


def shares(workers: int, connections: int) -> list[int]:
    """Connections that each of so many sockets of one port is given."""
    with contextlib.ExitStack() as stack:
        listening: list[socket.socket] = []
        for _ in range(workers):
            sock = stack.enter_context(socket.socket())
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            sock.bind(listening[0].getsockname() if listening else ("127.0.0.1", 0))
            listening.append(sock)
        for sock in listening:
            sock.listen(4096)
            sock.setblocking(False)
        counts: Counter[int] = Counter()
        for _ in range(connections):
            client = socket.create_connection(listening[0].getsockname())
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # leaves no port behind
            client.close()
        for number, sock in enumerate(listening):
            with contextlib.suppress(BlockingIOError):
                while True:
                    sock.accept()[0].close()
                    counts[number] += 1
        return [counts[number] for number in range(workers)]


def memory() -> None:
    print("backends  checks  supervisor  control  a worker  all, with 4 workers  control's CPU  a check")
    for backends, checks in ((2, False), (200, False), (200, True), (5000, False)):
        with site(backends, checks) as child:
            time.sleep(SETTLE_S)
            pids = procfs.tree(child.pid)
            before = procfs.clocks(pids)
            time.sleep(CHECKED_S)
            names = {pid: Path(f"/proc/{pid}/comm").read_text().strip() for pid in pids}
            control = next(pid for pid, name in names.items() if name == "balance-control")
            spent = procfs.spent({control: before[control]}, procfs.clocks([control])).total_ns / 1e9
            pss = {pid: procfs.memory(pid).pss / 1e6 for pid in pids}
            workers = [pss[pid] for pid, name in names.items() if name == "balance-worker"]
            each = f"{spent / (backends * CHECKED_S) * 1e6:.0f} us" if checks else "-"
            print(
                f"{backends:8}  {'1 s' if checks else '-':>6}  {pss[child.pid]:7.1f} MB  {pss[control]:4.1f} MB  "
                f"{sum(workers) / len(workers):5.1f} MB  {sum(pss.values()):16.1f} MB  {spent / CHECKED_S:13.2%}  {each:>7}",
                flush=True,
            )


@contextlib.contextmanager
def site(backends: int, checks: bool) -> Iterator[subprocess.Popen[bytes]]:
    """An instance with 4 workers, once all of them are ready."""
    with tempfile.TemporaryDirectory(prefix="scaling-") as folder, answering() as port:
        admin = free_port()
        check = "{enabled: true, type: http, path: /, interval: 1s, timeout: 900ms}" if checks else "{enabled: false}"
        lines = [f'  - {{name: b{number}, address: "127.0.0.1:{port}"}}' for number in range(backends)]
        text = (
            f'mode: http\nlisten: "127.0.0.1:{free_port()}"\nworkers: 4\nhealth_check: {check}\nlogging: {{level: error}}\n'
            f'admin: {{listen: "127.0.0.1:{admin}"}}\nshutdown: {{delay: 0s}}\nbackends:\n' + "\n".join(lines)
        )
        file = Path(folder) / "balance.yaml"
        file.write_text(text)
        child = subprocess.Popen([sys.executable, "-m", "balance", "serve", "--config", str(file)], cwd=ROOT)
        try:
            wait_until_ready(admin, child)
            yield child
        finally:
            child.send_signal(signal.SIGINT)
            child.wait()


@contextlib.contextmanager
def answering() -> Iterator[int]:
    """A port where each request gets a 200."""
    ready, ports = threading.Event(), []
    loop = asyncio.new_event_loop()

    class Answer(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = transport

        def data_received(self, data: bytes) -> None:
            assert isinstance(self.transport, asyncio.Transport)
            self.transport.write(REPLY)

    async def serve() -> None:
        server = await loop.create_server(Answer, "127.0.0.1", 0, backlog=4096)
        ports.append(server.sockets[0].getsockname()[1])
        ready.set()

    def run() -> None:
        loop.run_until_complete(serve())
        loop.run_forever()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    ready.wait()
    yield ports[0]
    loop.call_soon_threadsafe(loop.stop)
    thread.join()


def wait_until_ready(admin: int, child: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline and child.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", admin), timeout=5) as client:
            client.sendall(b"GET /ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            if client.recv(100).startswith(b"HTTP/1.1 200"):
                return
        time.sleep(0.1)
    raise SystemExit(f"benchmarks/scaling: not ready after {READY_S:g} s")


PARTS: dict[str, Callable[[], None]] = {"board": board, "scrape": scrape, "spread": spread, "memory": memory}


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks/scaling", description=__doc__.partition("\n\n")[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)} (all)")
    given = parser.parse_args()
    for part in given.parts or PARTS:
        if part not in PARTS:
            parser.error(f"{part!r} is not one of {', '.join(PARTS)}")
        print(f"\n{part}, load average {os.getloadavg()[0]:.1f}", flush=True)
        PARTS[part]()


if __name__ == "__main__":
    main()
