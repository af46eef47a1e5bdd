"""A child process in its own session and on one CPU, stopped within seconds."""

import contextlib
import ctypes
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from wire import procfs

STOP_S = 5.0
POLL_S = 0.02
PR_SET_PDEATHSIG = 1  # prctl(2): a benchmark that is killed outright leaves no proxy behind
# As where nobody says otherwise: Python that compiles its modules at each start is late, and larger.
ENVIRON = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
LIBC = ctypes.CDLL(None)
UNVERIFIED = ssl._create_unverified_context()


class ChildFailedError(Exception):
    """It did not start, or did not become ready; the message holds the end of its output."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def connected(port: int, timeout_s: float, *, tls: bool = False) -> socket.socket:
    """A connection to a port of this machine; over TLS nothing is verified."""
    client = socket.create_connection(("127.0.0.1", port), timeout=timeout_s)
    if not tls:
        return client
    try:
        return UNVERIFIED.wrap_socket(client, server_hostname="shop.example")
    except BaseException:
        client.close()
        raise


class Child:
    def __init__(self, name: str, command: list[str], folder: Path, core: int) -> None:
        self.name = name
        self.output = folder / f"{name}.output"

        def settle() -> None:
            os.sched_setaffinity(0, {core})
            LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)

        with self.output.open("wb") as sink:
            try:
                self.process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=sink,
                    stderr=sink,
                    cwd=Path(__file__).parents[2],
                    env=ENVIRON,
                    start_new_session=True,
                    preexec_fn=settle,  # before exec, so that no descendant is born on another core
                )
            except OSError as error:
                raise ChildFailedError(f"{name}: {command[0]!r} cannot be started: {error}") from error

    @property
    def pids(self) -> list[int]:
        return procfs.tree(self.process.pid)

    def wait_until_answers(self, port: int, request: bytes, within_s: float, *, tls: bool = False) -> None:
        """Ready means: a whole request was answered with 200. A listening port alone promises nothing."""

        def ask() -> str | None:
            with connected(port, 1, tls=tls) as client:
                client.sendall(request)
                said = client.recv(65536)
            return None if said.startswith(b"HTTP/1.1 200 ") else said.partition(b"\r\n")[0].decode(errors="replace")

        self.wait_until_right(ask, within_s)

    def wait_until_right(self, ask: Callable[[], str | None], within_s: float) -> None:
        """Until `ask` says None: it asks once, and says what was wrong with the answer, or raises OSError."""
        deadline = time.monotonic() + within_s
        heard: str | None = ""
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise ChildFailedError(f"{self.name} exited with {self.process.returncode}:\n{self._tail()}")
            try:
                heard = ask()
            except OSError as error:
                heard = str(error)
            if heard is None:
                return
            time.sleep(POLL_S)
        raise ChildFailedError(f"{self.name} gave no right answer within {within_s:g} s (last: {heard!r}):\n{self._tail()}")

    def stop(self) -> None:
        """SIGTERM to the leader, who knows its own order; then SIGKILL to all that is left."""
        pids = self.pids
        family = {(stat.pid, stat.session) for stat in procfs.all_stats() if stat.pid in pids}
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                print(f"{self.name} did not stop within {STOP_S:g} s: killed", file=sys.stderr)
        for stat in procfs.all_stats():
            if (stat.pid, stat.session) in family:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(stat.pid, signal.SIGKILL)
        self.process.wait(STOP_S)

    def _tail(self) -> str:
        lines = self.output.read_text(errors="replace").splitlines()[-12:]
        return "\n".join(f"  | {line}" for line in lines) or "  | (it printed nothing)"
