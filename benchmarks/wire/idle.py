"""Memory of a worker: idle, after load, and per idle keep-alive connection."""

import ssl
import sys
import time
from dataclasses import asdict, dataclass
from functools import partial
from socket import socket

from wire import procfs
from wire.child import connected
from wire.http2 import connection, generator
from wire.running_peers import RunningPeer, Stage
from wire.scenarios import Scenario, request_head

CONNECTIONS = 5000
TLS_CONNECTIONS = 1000  # a client of TLS weighs more itself
OPEN_TIMEOUT_S = 10.0
SETTLE_S = 3.0
POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class Process:
    """One process of a peer's tree, in bytes."""

    pid: int
    title: str
    is_worker: bool
    started_pss: int
    loaded_rss: int
    loaded_pss: int
    crowded_rss: int
    crowded_pss: int


@dataclass(frozen=True, slots=True)
class Weight:
    """One peer. `idle_bytes`: growth of the whole tree's PSS per idle connection, without the kernel's own."""

    scenario: str
    peer: str
    connections: int
    idle_bytes: float
    processes: tuple[Process, ...]
    problems: tuple[str, ...]

    @property
    def worker(self) -> Process:
        return next(process for process in self.processes if process.is_worker)

    def as_json(self) -> dict[str, object]:
        return asdict(self)


class IdleCrowd:
    """Connections that have each done one whole request and now stay silent."""

    def __init__(self) -> None:
        self.clients: list[socket] = []

    def open(self, row: Scenario, port: int, count: int) -> None:
        request = request_head(row).encode()
        for number in range(count):
            if row.http2:
                opened = connection.connected(port, OPEN_TIMEOUT_S, tls=row.tls)
                self.clients.append(opened)
                if (
                    size := connection.Connection(opened).ask(partial(connection.request, row, client=number + 1))
                ) != row.body_bytes:
                    raise ConnectionError(f"{size} bytes, not {row.body_bytes}")
                continue
            client = connected(port, OPEN_TIMEOUT_S, tls=row.tls)
            self.clients.append(client)
            client.sendall(request)
            read_reply(client, row.body_bytes)

    def dropped(self) -> int:
        """How many the proxy has closed meanwhile: they would make it look lean."""
        gone = 0
        for client in self.clients:
            client.setblocking(False)
            try:
                gone += client.recv(1) == b""
            except (BlockingIOError, ssl.SSLWantReadError):
                continue
            except OSError:
                gone += 1
        return gone

    def close(self) -> None:
        for client in self.clients:
            client.close()


def read_reply(client: socket, body_bytes: int) -> None:
    said = b""
    while b"\r\n\r\n" not in said or len(said.partition(b"\r\n\r\n")[2]) < body_bytes:
        chunk = client.recv(65536)
        if not chunk:
            raise ConnectionError(f"closed after {len(said)} bytes of a reply")
        said += chunk
    if not said.startswith(b"HTTP/1.1 200 "):
        raise ConnectionError(f"answered {said.splitlines()[0]!r}")


def settle(pids: list[int]) -> None:
    """Until the number of descriptors has stopped changing: the load's connections are then closed on both sides."""
    deadline = time.monotonic() + SETTLE_S
    held, calm = -1, 0
    while calm < 3 and time.monotonic() < deadline:
        time.sleep(POLL_S)
        now = sum(procfs.descriptors(pid) for pid in pids)
        calm = calm + 1 if now == held else 0
        held = now


def weigh(row: Scenario, way: RunningPeer, seconds: float, stage: Stage) -> Weight:
    assert way.child is not None
    pids = way.child.pids
    count = min(TLS_CONNECTIONS if row.tls else CONNECTIONS, stage.descriptors // 3 - 200)
    started = {pid: procfs.memory(pid) for pid in pids}
    figures = generator.run(row, way.port, seconds, stage.load_core, stage.folder)
    problems = [f"{number} {kind} errors" for kind, number in figures.failures.items()]
    settle(pids)
    loaded = {pid: procfs.memory(pid) for pid in pids}
    crowd = IdleCrowd()
    try:
        crowd.open(row, way.port, count)
        settle(pids)
        crowded = {pid: procfs.memory(pid) for pid in pids}
        if gone := crowd.dropped():
            problems.append(f"{gone} of {count} idle connections were closed by the proxy")
        worker = max(pids, key=procfs.descriptors)  # nobody else holds the connections
    except OSError as error:
        problems.append(f"idle connection {len(crowd.clients)} of {count}: {error}")
        crowded, worker = loaded, pids[-1]
    finally:
        crowd.close()
    processes = tuple(
        Process(
            pid,
            procfs.title(pid),
            pid == worker,
            started[pid].pss,
            loaded[pid].rss,
            loaded[pid].pss,
            crowded[pid].rss,
            crowded[pid].pss,
        )
        for pid in pids
    )
    growth = sum(crowded[pid].pss - loaded[pid].pss for pid in pids)
    weight = Weight(row.name, way.name, count, growth / count, processes, tuple(problems))
    print(f"{row.name} {way.name}: {weight.idle_bytes:,.0f} bytes per idle connection", file=sys.stderr, flush=True)
    return weight
