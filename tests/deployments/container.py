"""A container of what the Dockerfile makes: root read-only, a user of its own, no capability, namespaces of its own."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from instance_process import PATIENCE_S, until
from scratch_root import entering


class Container:
    """`command` as process 1. `exec` is Docker's: another process in there, of the same user."""

    def __init__(
        self, root: Path, command: Sequence[str], environ: Mapping[str, str], uid: int = 10001, gid: int = 10001, **options: Any
    ) -> None:
        options.setdefault("tmpfs", ("/dev/shm",))
        self.environ, self.uid, self.gid = dict(environ), uid, gid
        entered = entering(root, command, environ, uid=uid, gid=gid, is_read_only=True, has_own_network=True, **options)
        self.process = subprocess.Popen(
            entered, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
        )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    @property
    def log(self) -> str:
        return "\n".join(self.lines)

    @property
    def first_pid(self) -> int:
        """Process 1, as this machine numbers it."""
        text = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return int(text.split()[0]) if text else 0

    def ready(self) -> Container:
        until(lambda: "supervisor: ready" in self.log or self.process.poll() is not None, lambda: self.log)
        assert self.process.poll() is None, self.log
        return self

    def exec(self, *command: str, is_root: bool = False) -> subprocess.CompletedProcess[str]:
        """Run a command inside."""
        user = [] if is_root else ["-S", str(self.uid), "-G", str(self.gid)]
        inside = ["nsenter", "-t", str(self.first_pid), "-m", "-p", "-n", "-i", "-r", "-w", *user]
        return subprocess.run([*inside, *command], capture_output=True, text=True, timeout=PATIENCE_S, env=self.environ)

    def ask(self, url: str) -> tuple[int, str]:
        """With the curl of this machine, from within its network: status and body."""
        done = subprocess.run(
            ["nsenter", "-t", str(self.first_pid), "-n", "curl", "-s", "-m", "10", "-w", "\n%{http_code}", url],
            capture_output=True, text=True,
        )  # fmt: skip
        body, _, status = done.stdout.rpartition("\n")
        return int(status or 0), body

    def ask_json(self, url: str) -> Any:
        """The document."""
        return json.loads(self.ask(url)[1])

    def signal(self, signum: signal.Signals) -> None:
        """To process 1, from outside, as Docker does."""
        os.kill(self.first_pid, signum)

    def ended(self) -> int:
        """Wait for its exit status."""
        status = self.process.wait(PATIENCE_S)
        self._reader.join(PATIENCE_S)
        return status

    def destroy(self) -> None:
        # Process 1 takes all others along. That it dies with `unshare` it has lost with its user (prctl(2), PR_SET_PDEATHSIG).
        with contextlib.suppress(OSError):
            if first := self.first_pid:
                os.kill(first, signal.SIGKILL)
        self.process.kill()
        self.process.wait()
