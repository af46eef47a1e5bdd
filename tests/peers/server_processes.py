"""Real servers as processes: started all at once, waited for, and gone after the test."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

APPS = Path(__file__).parent / "apps"
SBIN = ("/usr/local/sbin", "/usr/sbin", "/sbin")  # not on every user's path
START_TIMEOUT_S = 30.0


def program(name: str, *folders: str) -> str:
    """Where a program is. Where it is not the test is skipped, except in CI, where everything must be there."""
    found = shutil.which(name, path=os.pathsep.join((os.environ.get("PATH", os.defpath), *SBIN, *folders)))
    if found is None:
        why = f"{name} is not installed; `python3 cmd/check` installs it or says how"
        pytest.fail(why) if os.environ.get("CI") else pytest.skip(why)
    return found


_GIVEN: set[int] = set()


def free_port() -> int:
    """A port outside of those that the kernel gives to outgoing connections; nobody has it now, nor was it given out before.

    Each process that runs tests has ports of its own.
    """
    first = 20_000 + 1000 * int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    while True:
        port = random.randrange(first, first + 1000)
        if port in _GIVEN:
            continue
        _GIVEN.add(port)
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port


class ServerProcesses:
    """Processes of one test module, and the folder in which they keep what they need."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._processes: list[subprocess.Popen[bytes]] = []
        self._others: list[Path] = []

    def also_remove(self, folder: Path) -> None:
        """A folder elsewhere, when the processes are gone."""
        self._others.append(folder)

    def start(self, name: str, command: Sequence[str], **environ: str) -> None:
        """Start and go on; what it says goes to NAME.log."""
        with open(self.folder / f"{name}.log", "wb") as log:
            self._processes.append(
                subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    cwd=self.folder,
                    env={**os.environ, **environ},
                    start_new_session=True,
                )
            )

    def wait_for(self, addresses: Mapping[str, str]) -> None:
        """Until every server takes connections."""
        deadline = time.monotonic() + START_TIMEOUT_S
        for name, address in addresses.items():
            host, _, port = address.rpartition(":")
            while True:
                with contextlib.suppress(OSError), socket.create_connection((host, int(port)), 1):
                    break
                if time.monotonic() > deadline:
                    log = self.folder / f"{name}.log"
                    raise AssertionError(f"{name} does not listen: {log.read_text() if log.exists() else ''}")
                time.sleep(0.05)

    def stop(self) -> None:
        for process in self._processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        for process in self._processes:
            process.wait()
        for folder in self._others:
            shutil.rmtree(folder)


def start_gunicorn(processes: ServerProcesses, worker: str) -> str:
    address = f"127.0.0.1:{free_port()}"
    options = ["--threads", "8"] if worker == "gthread" else []
    command = [sys.executable, "-m", "gunicorn", "--bind", address, "--worker-class", worker, *options]
    processes.start(f"gunicorn {worker}", [*command, "--chdir", str(APPS), "--worker-tmp-dir", "/dev/shm", "wsgi"])
    return address


def start_uvicorn(processes: ServerProcesses, name: str = "uvicorn") -> str:
    address = f"127.0.0.1:{free_port()}"
    port = address.rpartition(":")[2]
    command = [sys.executable, "-m", "uvicorn", "--port", port, "--app-dir", str(APPS), "--log-level", "warning"]
    processes.start(name, [*command, "--no-proxy-headers", "asgi:application"])
    return address


def start_hypercorn(processes: ServerProcesses) -> str:
    address = f"127.0.0.1:{free_port()}"
    command = [sys.executable, "-m", "hypercorn", "--bind", address, "asgi:application"]
    processes.start("hypercorn", command, PYTHONPATH=str(APPS))
    return address


def start_node(processes: ServerProcesses) -> str:
    address = f"127.0.0.1:{free_port()}"
    processes.start("node", [program("node"), str(APPS / "node.js"), address])
    return address


def start_nginx(processes: ServerProcesses) -> str:
    nginx = program("nginx")
    address, config = _written(processes, "nginx")
    processes.start("nginx", [nginx, "-p", str(config.parent), "-e", str(config.parent / "nginx.log"), "-c", str(config)])
    return address


def start_apache(processes: ServerProcesses) -> str:
    apache = program("apache2")
    address, config = _written(processes, "apache")
    processes.start("apache", [apache, "-D", "FOREGROUND", "-f", str(config)])
    return address


def _written(processes: ServerProcesses, name: str) -> tuple[str, Path]:
    """A static server's configuration, in a folder of its own with the files that it serves."""
    folder = processes.folder / name
    files = folder / "files"
    files.mkdir(parents=True)
    (files / "hello").write_bytes(b"hello\n")
    (files / "big").write_bytes(bytes(range(256)) * 20_000)
    for file in (folder.parent, folder, files):
        file.chmod(0o755)  # a server's own user reads them
    address = f"127.0.0.1:{free_port()}"
    config = folder / f"{name}.conf"
    config.write_text(
        (APPS / f"{name}.conf").read_text().format(folder=folder, address=address, modules="/usr/lib/apache2/modules")
    )
    return address, config
