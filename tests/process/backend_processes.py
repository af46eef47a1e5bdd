"""Backends that are processes of their own, and the requests that each has received."""

from __future__ import annotations

import collections
import contextlib
import os
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

PROGRAM = Path(__file__).with_name("backend_program.py")
QUEUED_CONNECTIONS = 4  # connections, more than a kernel holds for one that is deaf


@dataclass(frozen=True)
class ReceivedRequest:
    """One request that a backend has read."""

    at: float  # on the monotonic clock
    method: str
    name: str


class BackendProcess:
    """One backend process, running from start() on. Its request log outlives it."""

    def __init__(self, name: str, directory: Path) -> None:
        self.name = name
        self.port = 0  # the same for all its lives, once it has one
        self._log_file = directory / f"{name}.records"
        self._process: subprocess.Popen[str] | None = None
        self._queued_sockets: list[socket.socket] = []

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        """Returns when it listens."""
        self._process = subprocess.Popen(
            [sys.executable, str(PROGRAM), self.name, str(self.port), str(self._log_file), str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.port = int(self._read_line().removeprefix("listening "))

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()  # also one that is stopped
            self._process.wait()
            self._close_queued()
            for pipe in (self._process.stdin, self._process.stdout):
                if pipe is not None:
                    pipe.close()
            self._process = None

    def pause(self) -> None:
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def partition(self) -> None:
        """As a network partition: new connections time out, open ones are silent."""
        self.set_behaviour("deaf")
        self.pause()
        for _ in range(QUEUED_CONNECTIONS):
            sock = socket.socket()
            sock.setblocking(False)
            sock.connect_ex(("127.0.0.1", self.port))
            self._queued_sockets.append(sock)

    def heal(self) -> None:
        self.resume()
        self.set_behaviour("well")
        self._close_queued()

    def set_behaviour(self, behaviour: str) -> None:
        """Returns when it is in effect."""
        assert self._process is not None and self._process.stdin is not None
        self._process.stdin.write(f"{behaviour}\n")
        self._process.stdin.flush()
        assert self._read_line() == "done"

    def seen(self) -> list[ReceivedRequest]:
        """The requests read so far."""
        if not self._log_file.exists():
            return []
        lines = (line.split() for line in self._log_file.read_text().splitlines())
        return [ReceivedRequest(float(at), method, name) for at, method, name in lines]

    def _close_queued(self) -> None:
        for sock in self._queued_sockets:
            sock.close()
        self._queued_sockets = []

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def _read_line(self) -> str:
        assert self._process is not None and self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, f"machine {self.name} has ended"
        return line.strip()


class BackendProcesses:
    """Backends by name; usable as a load's recorder."""

    def __init__(self, directory: Path, names: tuple[str, ...] = ("b1", "b2", "b3")) -> None:
        self.by_name = {name: BackendProcess(name, directory) for name in names}

    def __enter__(self) -> BackendProcesses:
        with contextlib.ExitStack() as stack:
            stack.callback(self.kill)
            for backend in self.by_name.values():
                backend.start()
            stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def kill(self) -> None:
        for backend in self.by_name.values():
            backend.kill()

    @property
    def seen(self) -> collections.Counter[tuple[str, str]]:
        """How often each request was read, by whomever."""
        return collections.Counter((seen.method, seen.name) for backend in self.by_name.values() for seen in backend.seen())

    async def open(self, name: str) -> str:
        return self.by_name[name].address

    def close(self) -> None:
        """They outlive the load."""
