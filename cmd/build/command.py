"""What `python3 cmd/build` does: its arguments, in which order, and what it says."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import setup_env
import tree_copy
from child_process import fail, run_group, run_quietly, say
from debian_packages import apt_install

DESCRIPTION = "Compiles what a request passes, with mypyc: into a wheel in dist/, for this machine and the Python of .venv."
COMPILER = setup_env.ROOT / "cmd" / "build" / "compiler.py"


def run(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python3 cmd/build", description=DESCRIPTION)
    parser.add_argument(
        "--into",
        metavar="DIR",
        type=Path,
        help="no wheel: copy the tree to DIR and compile it there, for tests and benchmarks; DIR may be such a copy",
    )
    parser.add_argument(
        "--opt", choices=tuple("0123"), help="with --into: the C compiler's -O; 3 unless given, 0 is made fastest"
    )
    options = parser.parse_args(arguments)
    if options.into is None and options.opt is not None:
        parser.error("--opt is for --into; a wheel is compiled with -O3")
    if options.into is None:
        wheel()
    else:
        into(options.into.absolute(), options.opt or "3")
    return 0


def wheel() -> None:
    """A compiled wheel in dist/."""
    began_s = time.monotonic()
    setup_env.prepare()
    need_compiler()
    dist = setup_env.ROOT / "dist"
    say("compiling ...")
    pip = [str(setup_env.PYTHON), "-m", "pip", "--disable-pip-version-check", "wheel", "--quiet", "--no-deps"]
    if setup_env.answers(setup_env.PYTHON, setup_env.CAN_COMPILE):
        pip.append("--no-build-isolation")
    environ = {**os.environ, "BALANCE_COMPILE": "require"}
    with tempfile.TemporaryDirectory(prefix="balance-wheel-") as folder:
        run_quietly([*pip, "--wheel-dir", folder, str(setup_env.ROOT)], "the wheel could not be made", environ)
        (wheel_file,) = Path(folder).glob("*.whl")
        dist.mkdir(exist_ok=True)
        made = Path(shutil.move(wheel_file, dist / wheel_file.name))
    size, took_s = made.stat().st_size / 1e6, time.monotonic() - began_s
    print(f"{os.path.relpath(made)}: {size:.1f} MB, in {took_s:.0f} s; for machines like this one and {interpreter()}\n")
    print("To install and run it, in an environment of yours:")
    print(f"  {os.path.relpath(setup_env.PYTHON)} -m venv ENV")
    print(f"  ENV/bin/pip install {os.path.relpath(made)}")
    print("  ENV/bin/balance --version                    # says: compiled")
    print("  ENV/bin/balance serve --config balance.yaml")


def into(copy: Path, opt_level: str) -> Path:
    """A compiled copy of the tree, made or brought up to date; the Python that runs it."""
    began_s = time.monotonic()
    prepare_to_copy()
    try:
        tree_copy.make(setup_env.ROOT, copy)
    except (ValueError, OSError) as error:
        fail(str(error))
    wanted = tree_copy.fingerprint(copy, setup_env.PYTHON, opt_level)
    if tree_copy.is_compiled(copy, wanted):
        say(f"{copy} is compiled already")
    else:
        need_compiler()
        say(f"compiling in {copy} ...")
        tree_copy.forget_compiled(copy)
        run_quietly([str(setup_env.PYTHON), str(copy / "cmd" / "build" / "in_place.py"), opt_level], "it does not compile")
        tree_copy.note_compiled(copy, wanted)
        say(f"compiled in {time.monotonic() - began_s:.0f} s")
    python = tree_copy.make_environment(copy, setup_env.PYTHON)
    tree_copy.make_index(copy)
    say(f"to run it: {python} -m balance; to test it, in {copy}: {python} -m pytest")
    return python


def prepare_to_copy() -> None:
    if not setup_env.answers(setup_env.PYTHON, setup_env.CAN_COMPILE):
        setup_env.prepare(extra="dev")


def need_compiler() -> None:
    """Installs one where it can; ends the command with a line where it can't."""
    lacks = why_not()
    if not lacks:
        return
    packages = ["gcc", "libc6-dev"]
    base, version = ask("import sys; print(sys.base_prefix, '%d.%d' % sys.version_info[:2])").split()
    if base == "/usr":  # Debian has the headers of its own Python in a package of their own
        packages.append(f"python{version}-dev")
    if not apt_install(packages, why=lacks):
        sys.exit(1)
    if lacks := why_not():
        fail(lacks)


def why_not() -> str:
    status, output = run_group([str(setup_env.PYTHON), str(COMPILER)])
    return output.strip() or f"status {status}" if status else ""


def interpreter() -> str:
    """What the environment's Python is, which need not be the one that runs this."""
    return ask("import platform; print(platform.python_implementation(), platform.python_version())")


def ask(question: str) -> str:
    """What the environment's Python prints."""
    status, output = run_group([str(setup_env.PYTHON), "-I", "-c", question])
    if status:
        fail(output.strip() or f"{setup_env.PYTHON} ended with {status}")
    return output.strip()
