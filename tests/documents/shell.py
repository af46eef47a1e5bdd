"""One shell for the commands of a page, in their order: what it prints, with the page's ports for those of this machine."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from document_blocks import ROOT
from server_processes import free_port

LIMIT_S = 60.0
MARK = "\x01"  # stands before the exit status, behind what a command has printed


class Shell:
    """bash with `balance` on its path, in a folder of its own; its processes end with `close`."""

    def __init__(self, folder: Path, shown_ports: Iterable[int]) -> None:
        self.folder = folder
        self._here = {str(shown): str(free_port()) for shown in shown_ports}
        self._shown = {here: shown for shown, here in self._here.items()}
        programs = folder / "programs"
        programs.mkdir()
        for name, module in (("balance", "balance"), ("balance-validate", "balance.cli.validate")):
            (programs / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" -m {module} "$@"\n')
            (programs / name).chmod(0o755)
        environ = os.environ | {
            "PATH": f"{programs}:{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin",
            "PYTHONPATH": str(ROOT),
            "LC_ALL": "C",
            "COLUMNS": "200",
        }
        environ.pop("BALANCE_CONFIG", None)
        environ["BALANCE_ADMIN"] = f"127.0.0.1:{self._here['9090']}"
        self._process = subprocess.Popen(
            ["bash", "--norc"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env=environ,
            start_new_session=True,
        )

    def here(self, text: str) -> str:
        """A text of the page with the ports of this machine."""
        return self._with_ports(text, self._here)

    def _with_ports(self, text: str, ports: dict[str, str]) -> str:
        return re.sub(r"(?<![\w.])(?:" + "|".join(ports) + r")\b", lambda match: ports[match[0]], text) if ports else text

    def write(self, name: str, text: str) -> None:
        """A file that the page tells its reader to write; in ours the admin port that is the default has its number."""
        admin = (
            f'\nadmin: {{listen: "127.0.0.1:{self._here["9090"]}"}}\n'
            if name == "balance.yaml" and "admin:" not in text
            else ""
        )
        (self.folder / name).write_text(self.here(text) + admin)

    def run(self, command: str) -> tuple[str, int]:
        """What a command prints, errors too, and its exit status."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        line = f"{{ {self.here(command)}\n}} < /dev/null; printf '{MARK}%d{MARK}' $?\n"
        self._process.stdin.write(line.encode())
        self._process.stdin.flush()
        taken = b""
        deadline = time.monotonic() + LIMIT_S
        os.set_blocking(self._process.stdout.fileno(), False)
        while taken.count(MARK.encode()) < 2:
            if time.monotonic() > deadline:
                raise AssertionError(f"{command} has not ended within {LIMIT_S:g} s; so far: {taken.decode()}")
            if part := self._process.stdout.read():
                taken += part
            else:
                assert self._process.poll() is None, f"{command} has ended the shell: {taken.decode()}"
                time.sleep(0.01)
        printed, status, _ = taken.decode().replace("\r", "").split(MARK)
        return self._with_ports(printed.replace(str(self.folder), "/tmp/balance-tutorial"), self._shown), int(status)

    def close(self) -> None:
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)
                time.sleep(0.3)
        self._process.wait()
