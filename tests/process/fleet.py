"""Backends as processes of their own, and what each of them has read."""

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

PROGRAM = Path(__file__).with_name("machine.py")
FILLING = 4  # connections, more than a kernel holds for one that is deaf


@dataclass(frozen=True)
class Seen:
    """One request that a machine has read."""

    at: float  # on the monotonic clock
    method: str
    name: str


class Machine:
    """One of them, alive from start() on. What it has read outlives it."""

    def __init__(self, name: str, directory: Path) -> None:
        self.name = name
        self.port = 0  # the same for all its lives, once it has one
        self._records = directory / f"{name}.records"
        self._process: subprocess.Popen[str] | None = None
        self._filling: list[socket.socket] = []

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        """Returns when it listens."""
        self._process = subprocess.Popen(
            [sys.executable, str(PROGRAM), self.name, str(self.port), str(self._records), str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.port = int(self._heard().removeprefix("listening "))

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()  # also one that is stopped
            self._process.wait()
            self._empty()
            for pipe in (self._process.stdin, self._process.stdout):
                if pipe is not None:
                    pipe.close()
            self._process = None

    def freeze(self) -> None:
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def cut_off(self) -> None:
        """As by a partition: no new connection can be made, and those that there are fall silent."""
        self.be("deaf")
        self.freeze()
        for _ in range(FILLING):
            sock = socket.socket()
            sock.setblocking(False)
            sock.connect_ex(("127.0.0.1", self.port))
            self._filling.append(sock)

    def rejoin(self) -> None:
        self.thaw()
        self.be("well")
        self._empty()

    def be(self, mood: str) -> None:
        """Returns when it is so."""
        assert self._process is not None and self._process.stdin is not None
        self._process.stdin.write(f"{mood}\n")
        self._process.stdin.flush()
        assert self._heard() == "done"

    def seen(self) -> list[Seen]:
        """What it has read so far, in all its lives."""
        if not self._records.exists():
            return []
        lines = (line.split() for line in self._records.read_text().splitlines())
        return [Seen(float(at), method, name) for at, method, name in lines]

    def _empty(self) -> None:
        for sock in self._filling:
            sock.close()
        self._filling = []

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def _heard(self) -> str:
        assert self._process is not None and self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, f"machine {self.name} has ended"
        return line.strip()


class Fleet:
    """Machines by name, from `with` on. A load takes it for its recorder."""

    def __init__(self, directory: Path, names: tuple[str, ...] = ("b1", "b2", "b3")) -> None:
        self.machines = {name: Machine(name, directory) for name in names}

    def __enter__(self) -> Fleet:
        with contextlib.ExitStack() as stack:
            stack.callback(self.kill)
            for machine in self.machines.values():
                machine.start()
            stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def kill(self) -> None:
        for machine in self.machines.values():
            machine.kill()

    @property
    def seen(self) -> collections.Counter[tuple[str, str]]:
        """How often each request was read, by whomever."""
        return collections.Counter((seen.method, seen.name) for machine in self.machines.values() for seen in machine.seen())

    async def open(self, name: str) -> str:
        return self.machines[name].address

    def close(self) -> None:
        """They outlive the load."""
