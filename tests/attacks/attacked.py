"""An instance under attack: what its processes hold before and after, and a good client who is to notice nothing."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import selectors
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from instance_process import Instance, until

REQUEST = b"GET / HTTP/1.1\r\nHost: good.example\r\n\r\n"
PATIENCE_S = 30.0
RESET = b"\1\0\0\0\0\0\0\0"  # SO_LINGER: a close is a reset
# Bytes that the allocator may keep of what it has freed after a first attack, and in addition after each further one: pieces
# between others. A connection that is left behind costs 10 KB or more, one with TLS 50 KB, and drills make thousands.
FIRST_KEEPS = 40 << 20
KEPT_MEMORY = 12 << 20


class Held(NamedTuple):
    """What the processes of an instance hold."""

    descriptors: dict[str, int]
    memory: int  # bytes, of all together: what they share moves from one to the other as one of them changes it


def held(pids: dict[str, int]) -> Held:
    """Of memory that is no file: libraries are shared with all programs of the machine, and count more when others end."""
    memory = 0
    for pid in pids.values():
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        memory += sum(int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("Pss_Anon:"))
    return Held({name: len(os.listdir(f"/proc/{pid}/fd")) for name, pid in pids.items()}, memory)


def raise_descriptor_limit() -> int:
    """Allow as many descriptors as the system does. Returns how many connections an attack may open."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard - 500


class Backend:
    """`balance backend`, a process of its own."""

    def __init__(self, name: str) -> None:
        words = [sys.executable, "-m", "balance", "backend", "--port", "0", "--name", name, "--catch-all"]
        self._process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        address = f"127.0.0.1:{self._process.stdout.readline().rsplit(':', 1)[1].strip()}"
        self.pool: dict[str, Any] = {"backends": [{"name": name, "address": address}]}
        self.pid = self._process.pid

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


class Site:
    """`balance serve` with one worker, before a backend that is a process of its own."""

    def __init__(self, folder: Path, **keys: Any) -> None:
        """`pools`: others than `app`, which has that backend; routes say who gets what."""
        self._backend = Backend("app")
        backends = self._backend.pool
        if "pools" in keys:
            backends = {"pools": {"app": backends, **keys.pop("pools")}}
        base = {
            "mode": "http",
            "listen": "127.0.0.1:0",
            "workers": 1,
            **backends,
            "admin": {"listen": "127.0.0.1:0"},
            "shutdown": {"delay": "0s"},
        }
        self.instance = Instance(folder, json.dumps(base | keys)).ready()
        self.port = self.instance.port
        self.is_tls = "tls" in keys
        self.ended("ok")  # libuv keeps a descriptor for emergencies from an event loop's first connection on

    def __enter__(self) -> Site:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.instance.destroy()
        self._backend.stop()

    @property
    def pids(self) -> dict[str, int]:
        """Of every process of the instance, by its role."""
        (worker,), (control,) = self.instance.children("balance-worker"), self.instance.children("balance-control")
        return {"supervisor": self.instance.process.pid, "worker": worker, "control": control}

    @property
    def backend_pid(self) -> int:
        return self._backend.pid

    def held(self) -> Held:
        return held(self.pids)

    def ended(self, why: str) -> float:
        """How many requests and connections ended so."""
        return self.instance.metric(f'balance_requests_ended_total{{why="{why}"}}')

    def withstands(self, attack: Callable[[], None], times: int = 2) -> None:
        """The attack, again and again: each time descriptors return to where they began, and what the first one leaves
        with the allocator is enough for those that follow: none of them adds to it.
        """
        pids, start = self.pids, self.held()
        most = start.memory + FIRST_KEEPS
        for _ in range(times):
            attack()
            self._returns_to(start, most)
            most = self.held().memory + KEPT_MEMORY
        assert self.pids == pids, f"a process was replaced\n{self.log}"
        assert "Traceback" not in self.log, self.log

    def _returns_to(self, start: Held, most: int) -> None:
        until(lambda: not self._grown(start, most), lambda: f"{self._grown(start, most)}\n{self.log}")

    def _grown(self, start: Held, most: int) -> str:
        now = self.held()
        is_grown = now.memory > most or any(count > start.descriptors[name] for name, count in now.descriptors.items())
        return f"{now}, of at most {most}, after {start}" if is_grown else ""

    @property
    def log(self) -> str:
        return self.instance.log

    def connect(self, source: str = "127.0.0.2") -> socket.socket:
        """A new connection of somebody else than the good client."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_S, source_address=(source, 0))


class GoodClient:
    """Asks again and again, on one connection and on new ones by turns, and remembers each answer that was not 200.

    As every client of HTTP it asks once more, on a new connection, when an idle one was closed just then.
    """

    def __init__(self, site: Site, pause_s: float = 0.005, per_connection: int = 20) -> None:
        self.answered = 0
        self.failures: list[str] = []
        self.seconds: list[float] = []  # each request took
        self._site = site
        self._pause_s = pause_s
        self._per_connection = per_connection
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> GoodClient:
        self._thread.start()
        until(lambda: self.answered >= self._per_connection or self.failures, "first answers")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        before = self.answered
        if error is None:
            until(lambda: self.answered > before + 2 or self.failures, "an answer after the attack")
        self._is_over.set()
        self._thread.join(PATIENCE_S)
        if error is None:
            assert self.failures == [], self.failures

    def answers(self, count: int) -> None:
        """Wait for that many more."""
        before = self.answered
        until(lambda: self.answered >= before + count or self.failures, "answers during the attack")

    def _run(self) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        while not self._is_over.is_set():
            try:
                with socket.create_connection(("127.0.0.1", self._site.port), timeout=PATIENCE_S) as sock:
                    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    if self._site.is_tls:
                        with context.wrap_socket(sock, server_hostname="good.example") as secured:
                            self._ask(secured)
                    else:
                        self._ask(sock)
            except (OSError, AssertionError) as error:
                self.failures.append(f"after {self.answered} answers: {error!r}")
                return

    def _ask(self, sock: socket.socket) -> None:
        for number in range(self._per_connection):
            is_last = number == self._per_connection - 1
            began = time.monotonic()
            try:
                sock.sendall(REQUEST.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n") if is_last else REQUEST)
            except (BrokenPipeError, ConnectionResetError):
                if not number:
                    raise
                return
            head = b""
            while b"\r\n\r\n" not in head:
                try:
                    more = sock.recv(65536)
                except ConnectionResetError:
                    more = b""
                if not more and not head and number:
                    return
                assert more, f"the end after {head!r}"
                head += more
            self.seconds.append(time.monotonic() - began)
            assert head.startswith(b"HTTP/1.1 200 "), head
            self.answered += 1
            if b"\r\nconnection: close\r\n" in head.lower():
                return
            if self._is_over.wait(self._pause_s):
                return


class Flood:
    """Many connections that are looked after by one thread's calls: who was closed, and by what."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._selector = selectors.DefaultSelector()
        self.received: dict[int, bytes] = {}  # by the number of a connection
        self.sockets: dict[int, socket.socket] = {}  # those that are open
        self.resets = 0
        self.made = 0

    def __enter__(self) -> Flood:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def open(self, count: int, sources: Sequence[str] = ("127.0.0.2",)) -> None:
        """Begin so many connections, without waiting for any."""
        for number in range(count):
            sock = socket.socket()
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_IP, 24, 1)  # IP_BIND_ADDRESS_NO_PORT: the port is chosen with the peer in mind
            sock.bind((sources[number % len(sources)], 0))
            with contextlib.suppress(BlockingIOError):
                sock.connect(("127.0.0.1", self._site.port))
            self.sockets[self.made] = sock
            self.received[self.made] = b""
            self._selector.register(sock, selectors.EVENT_READ, self.made)
            self.made += 1
            if number % 256 == 255:
                self.look()

    def send(self, data_of: Callable[[int], bytes], numbers: Sequence[int] | None = None) -> None:
        """To each that is open, or to those with these numbers; what does not fit at once is left out."""
        for number in list(self.sockets) if numbers is None else numbers:
            sock = self.sockets.get(number)
            if sock is None:
                continue
            try:
                sock.send(data_of(number))
            except BlockingIOError:
                pass
            except OSError:
                self._drop(number, is_reset=True)

    def look(self, timeout_s: float = 0.0) -> None:
        """Read what has come, and let those go that were closed."""
        for key, _ in self._selector.select(timeout_s):
            number = key.data
            try:
                data = self.sockets[number].recv(65536)
            except BlockingIOError:
                continue
            except OSError:
                self._drop(number, is_reset=True)
                continue
            self.received[number] += data
            if not data:
                self._drop(number, is_reset=False)

    def statuses(self) -> set[bytes]:
        """Of the replies so far."""
        self.look(0.02)
        return {reply[9:12] for reply in self.received.values() if reply}

    def ends(self, patience_s: float = PATIENCE_S) -> None:
        """Wait until all were closed by the other side."""
        deadline = time.monotonic() + patience_s
        while self.sockets and time.monotonic() < deadline:
            self.look(0.1)
        assert not self.sockets, f"{len(self.sockets)} of {self.made} are open after {patience_s:g}s"

    def _drop(self, number: int, *, is_reset: bool) -> None:
        sock = self.sockets.pop(number)
        self._selector.unregister(sock)
        sock.close()
        self.resets += is_reset

    def close(self) -> None:
        for number in list(self.sockets):
            self._drop(number, is_reset=False)
        self._selector.close()
