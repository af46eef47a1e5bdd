"""What `python3 cmd/build` does: its arguments, in which order, and what it says."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import setup_env
import tree_copy
from child_process import fail, run_quietly, say


def run(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python3 cmd/build", description="Compiles what a request passes, with mypyc.")
    parser.add_argument(
        "--into",
        metavar="DIR",
        type=Path,
        required=True,
        help="copy the tree to DIR, and compile it there; DIR may be such a copy",
    )
    parser.add_argument(
        "--opt", choices=tuple("0123"), default="3", help="the C compiler's -O; 3 unless given, 0 is made fastest"
    )
    options = parser.parse_args(arguments)
    if not setup_env.answers(setup_env.PYTHON, setup_env.CAN_COMPILE):
        setup_env.prepare(extra="dev")
    into(options.into.absolute(), options.opt)
    return 0


def into(copy: Path, opt_level: str) -> None:
    """A compiled copy of the tree, made or brought up to date."""
    began_s = time.monotonic()
    try:
        tree_copy.make(setup_env.ROOT, copy)
    except ValueError as error:
        fail(str(error))
    for old in [*(copy / "balance").rglob("*.so"), *copy.glob("*.so")]:
        old.unlink()
    run_quietly([str(setup_env.PYTHON), str(copy / "cmd" / "build" / "in_place.py"), opt_level], "it does not compile")
    python = tree_copy.make_environment(copy, setup_env.PYTHON)
    tree_copy.make_index(copy)
    say(f"compiled in {time.monotonic() - began_s:.0f} s; to run it: {python} -m balance")
    say(f"to test it: cd {copy}; {python} -m pytest")
