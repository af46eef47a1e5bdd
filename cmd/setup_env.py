"""Makes `.venv` in the repository's root and installs Balance into it, with nothing but the standard library.

Decides when an environment is good enough to use at once. What runs inside it is the callers' business.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from child_process import exit_on_sigterm, run_quietly, say, succeeds
from debian_packages import apt_install
from python_version import OLDEST_PYTHON

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
# Three questions for an interpreter, asked by exit status.
CAN_MAKE_VENV = "import ensurepip, venv"
CAN_INSTALL = f"import pip, sys; sys.exit(sys.version_info < {OLDEST_PYTHON})"
CAN_BALANCE = "import balance, click, httptools, pydantic, uvloop, yaml"
CAN_COMPILE = "import mypyc.build, setuptools, sys; sys.exit(int(setuptools.__version__.split('.')[0]) < 77)"


def run_in_venv(command: str, arguments: Sequence[str]) -> NoReturn:
    """Become `balance COMMAND ARGUMENTS`, set up first where that is needed. Keeps the caller's working directory."""
    prepare()
    program = str(VENV / "bin" / "balance")
    os.execv(program, [program, command, *arguments])


def prepare(extra: str = "") -> None:
    """See that the environment exists and holds the project, with its optional dependencies `extra`."""
    exit_on_sigterm()
    with one_at_a_time():
        stamp = VENV / f"balance-{extra or 'plain'}.stamp"
        wanted = fingerprint()
        good = (stamp, VENV / "balance-dev.stamp")  # whatever the plain installation has, the developers' has too
        if any(file.is_file() and file.read_text() == wanted for file in good) and answers(PYTHON, CAN_BALANCE):
            return
        if not answers(PYTHON, CAN_INSTALL):
            make_venv()
        say(f"installing Balance{' and its tools' if extra else ''} into {VENV} ...")
        target = f"{ROOT}[{extra}]" if extra else str(ROOT)
        pip = [str(PYTHON), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
        run_quietly([*pip, "--editable", target], "pip could not install Balance")
        stamp.write_text(wanted)


def make_venv() -> None:
    say(f"making {VENV} ...")
    # Debian and Ubuntu ship python3 without these modules.
    if not answers(sys.executable, CAN_MAKE_VENV):
        apt_install(["python3-venv"], why=f"{sys.executable} cannot make virtual environments")
        if not answers(sys.executable, CAN_MAKE_VENV):
            sys.exit(1)
    run_quietly([sys.executable, "-m", "venv", "--clear", str(VENV)], "could not make the virtual environment")


def fingerprint() -> str:
    """Changes with what is to be installed, and with the path that an environment has written into its scripts."""
    return hashlib.sha256((ROOT / "pyproject.toml").read_bytes() + str(ROOT).encode()).hexdigest()


def answers(python: str | Path, question: str) -> bool:
    # -I: a module in the directory where the user happens to be must not answer for an installed one.
    return succeeds([str(python), "-I", "-c", question])


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Two commands started together must not both fill the environment."""
    descriptor = os.open(ROOT, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
