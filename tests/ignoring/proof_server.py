"""Runs tests while a field of the configuration is ignored, each in a child that was forked with all its imports done.

For a line `FIELD<tab>TEST<tab>FILE` of standard input it runs that test, writes what pytest says into that file and answers
pytest's exit status. To begin with nothing takes longer than most of these tests.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import runpy
import sys
from pathlib import Path
from typing import NoReturn

import pytest

HERE = Path(__file__).resolve().parent
# What most tests import; more or less of it changes no result.
IMPORTED = (
    "balance.admin.application",
    "balance.cli.serve",
    "balance.process.supervisor.supervisor",
    "balance.proxy.listener_server",
)
OPTIONS = ("-q", "--tb=no", "-p", "no:cacheprovider", "-m", "", "--timeout", "40")


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for name in IMPORTED:
        importlib.import_module(name)
    with open(os.devnull, "w") as nothing, contextlib.redirect_stdout(nothing):
        pytest.main([*OPTIONS, "--collect-only", "tests/test_readme.py"])  # imports its plugins
    for line in sys.stdin:
        field, test, output = line.rstrip("\n").split("\t")
        child = os.fork()
        if child == 0:
            run(field, test, output)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), file=answers, flush=True)


def run(field: str, test: str, output: str) -> NoReturn:
    status = -1
    try:
        written = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(written, 1)
        os.dup2(written, 2)
        os.environ |= {"PYTHONPATH": str(HERE), "BALANCE_TEST_IGNORES": field}  # for the processes that the test starts
        runpy.run_path(str(HERE / "sitecustomize.py"))
        status = pytest.main([*OPTIONS, test])
        sys.stdout.flush()
    finally:
        os._exit(status)


if __name__ == "__main__":
    main()
