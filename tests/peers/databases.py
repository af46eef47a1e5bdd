"""The databases of the battery, and what their clients are told."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from server_processes import START_TIMEOUT_S, ServerProcesses, free_port, program

POSTGRES = sorted(str(folder) for folder in Path("/usr/lib/postgresql").glob("*/bin"))  # Debian keeps it off the path


def start_postgres(processes: ServerProcesses) -> str:
    """A cluster of its own. It refuses to run as root, and where we are root it has a user of its own."""
    initdb, postgres = (program(name, *POSTGRES) for name in ("initdb", "postgres"))
    data, port = processes.folder / "postgres", str(free_port())
    user: list[str] = []
    if os.geteuid() == 0:
        data = Path("/var/tmp") / f"balance-postgres-{port}"  # pytest's own folders are root's alone
        data.mkdir(mode=0o700)
        shutil.chown(data, "postgres", "postgres")
        user = ["runuser", "--user", "postgres", "--"]
        processes.also_remove(data)
    made = subprocess.run(
        [*user, initdb, "--no-sync", "--auth=trust", "--username=postgres", "--pgdata", str(data)],
        capture_output=True,
        text=True,
        cwd="/",
        check=False,
    )
    assert made.returncode == 0, made.stdout + made.stderr
    settings = {"listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": "", "fsync": "off"}
    options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    processes.start("postgres", [*user, postgres, "-D", str(data), *options])
    return f"127.0.0.1:{port}"


def start_redis(processes: ServerProcesses) -> str:
    port = str(free_port())
    processes.start("redis", [program("redis-server"), "--port", port, "--bind", "127.0.0.1", "--save", ""])
    return f"127.0.0.1:{port}"


def told(command: Sequence[str], sent: bytes = b"", status: int = 0) -> str:
    done = subprocess.run(command, input=sent, capture_output=True, timeout=2 * START_TIMEOUT_S, check=False)
    output = (done.stdout + done.stderr).decode("latin-1")
    assert done.returncode == status, output
    return output
