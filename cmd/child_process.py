"""Runs child commands of the set-up to their end, or stops them with all their descendants. Prints to stderr."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import NoReturn

GRACE_S = 10


def run_quietly(command: Sequence[str], failure: str, environ: Mapping[str, str] | None = None) -> None:
    """Run a command whose output matters only when it fails."""
    status, output = run_group(command, environ)
    if status != 0:
        sys.stderr.write(output)
        fail(f"{failure} (status {status}; its output is above)")


def run_group(
    command: Sequence[str],
    environ: Mapping[str, str] | None = None,
    *,
    shown: bool = False,
    limit_s: float | None = None,
) -> tuple[int, str]:
    """Run a command in a process group of its own, so that an interrupt or the time limit takes its children with it.

    Answers its status and its output, which is empty when it was `shown` on our own stdout instead.
    """
    return await_group(start_group(command, environ, shown=shown), limit_s)


def start_group(
    command: Sequence[str], environ: Mapping[str, str] | None = None, *, shown: bool = False
) -> subprocess.Popen[str]:
    """Whoever starts one calls await_group() or end_group()."""
    return subprocess.Popen(
        command,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=None if shown else subprocess.PIPE,
        stderr=None if shown else subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )


def await_group(process: subprocess.Popen[str], limit_s: float | None) -> tuple[int, str]:
    """As run_group(), for one that was started before."""
    try:
        output, _ = process.communicate(timeout=limit_s)
    except subprocess.TimeoutExpired:
        end_group(process)
        output, _ = process.communicate()
        return -signal.SIGKILL, f"{output or ''}\nstopped after {limit_s:g} s\n"
    except BaseException:
        end_group(process)
        raise
    return process.returncode, output or ""


def end_group(process: subprocess.Popen[str]) -> None:
    """Interrupt first, as a terminal would: a test run then takes down what it has started in other groups."""
    with suppress(ProcessLookupError, subprocess.TimeoutExpired):
        os.killpg(process.pid, signal.SIGINT)
        try:
            process.wait(GRACE_S)
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def succeeds(command: Sequence[str]) -> bool:
    try:
        return subprocess.run(command, capture_output=True, timeout=30, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def exit_on_sigterm() -> None:
    """By default SIGTERM ends Python at once, and what it has started would stay."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def fail(line: str) -> NoReturn:
    say(line)
    sys.exit(1)
