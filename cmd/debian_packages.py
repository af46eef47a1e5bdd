"""Installs programs that pip can't, with apt where possible; otherwise prints the command to run."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from child_process import run_group, say


def apt_install(packages: Sequence[str], why: str) -> bool:
    """Install packages. False, with a line that says what to do, where this user or this system can't."""
    command = f"apt-get install {' '.join(packages)}"
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        say(f"{why}; run: {'' if os.geteuid() == 0 else 'sudo '}{command}")
        return False
    say(f"{why}; running {command} ...")
    # Recommended packages left out, and no question asked: nobody may be there to answer.
    install = ["apt-get", "install", "--yes", "--quiet", "--no-install-recommends", *packages]
    environ = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    with services_kept_stopped():
        status, output = run_group(install, environ)
        if status != 0:  # the package lists may be missing or old
            run_group(["apt-get", "update", "--quiet"], environ)
            status, output = run_group(install, environ)
    if status != 0:
        say(f"{output.rstrip()}\n`{command}` failed; its output is above")
    return status == 0


@contextmanager
def services_kept_stopped() -> Iterator[None]:
    """Packages of servers start their server; Debian's policy-rc.d, where it answers 101, forbids that."""
    policy = Path("/usr/sbin/policy-rc.d")
    if policy.exists():
        yield
        return
    policy.write_text("#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)
    try:
        yield
    finally:
        policy.unlink(missing_ok=True)
