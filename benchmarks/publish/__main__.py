"""`python3 benchmarks/publish`: all sections of RESULTS.md that commands write, one after the other, with their pictures.

On an idle machine; with the usual numbers half an hour. It stops at the first command that fails, and what was written before
that stays.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))

from wire.order import name_and_python, positive

MOST_LOAD = 0.5  # of the machine's load average, above which figures of time say nothing


def commands(given: argparse.Namespace) -> list[list[str]]:
    installed = [word for name, python in given.installed for word in ("--installed", f"{name}={python}")]
    peers = "nginx,haproxy,balance"
    return [
        ["benchmarks/instructions", "--costs", given.counted, "--write"],
        ["benchmarks/wire", "--peers", peers, *installed, "--rounds", str(given.rounds), "--seconds", "1", "--write"],
        ["benchmarks/tails", "--peers", peers, *installed, "--rounds", "3", "--seconds", str(given.tail_seconds), "--write"],
    ]


def main() -> int:
    parser = argparse.ArgumentParser(prog="benchmarks/publish", description=(__doc__ or "").split(": ", 1)[1])
    add = parser.add_argument
    add("--installed", type=name_and_python, action="append", default=[], metavar="NAME=PYTHON",
        help="beside the tree's Balance the one that is installed for this interpreter")  # fmt: skip
    add("--rounds", type=positive, default=20, help="of a second for each row and proxy (20)")
    add("--tail-seconds", type=positive, default=20, help="of each run at half load (20)")
    add("--counted", default="CPython 3.11.7 of pyenv", metavar="INTERPRETER", help="whose instruction counts are shown")
    given = parser.parse_args()
    if (busy := os.getloadavg()[0]) > MOST_LOAD:
        print(f"benchmarks/publish: the machine is not idle (load average {busy:.2f})", file=sys.stderr)
        return 2
    for command in commands(given):
        print(f"--- python3 {shlex.join(command)}", flush=True)
        began_s = time.monotonic()
        if status := subprocess.run([sys.executable, *command], cwd=ROOT, check=False).returncode:
            print(f"benchmarks/publish: {command[0]} ended with {status}", file=sys.stderr)
            return status
        print(f"--- {time.monotonic() - began_s:.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
