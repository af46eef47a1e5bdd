"""`python3 benchmarks/publish`: all sections of RESULTS.md that commands write, one after the other, with their pictures.

On an idle machine; with the usual numbers half an hour. A command that fails stops no other: what failed is said as it happens,
is named on the page in place of its figures, and again at the end, and the exit status is then 1.
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

from wire.order import duration, name_and_python, positive

INTERRUPTED = 130
MOST_LOAD = 0.5  # of the machine's load average, above which figures of time say nothing


def commands(given: argparse.Namespace) -> list[list[str]]:
    """In order; each writes its own section."""
    peers = ["--peers", "nginx,haproxy,balance"]
    peers += [word for name, python in given.installed for word in ("--installed", f"{name}={python}")]
    rounds = f"--rounds {given.rounds} --http2-rounds {max(1, given.rounds // 4)} --seconds {given.seconds:g}"
    tails = f"--rounds {min(3, given.rounds)} --seconds {given.tail_seconds} --reload-every 2"
    return [
        ["benchmarks/instructions", "--costs", given.counted, "--write"],
        ["benchmarks/wire", *peers, *rounds.split(), "--write"],
        ["benchmarks/tails", *peers, *tails.split(), "--write"],
        ["benchmarks/tools", "--rounds", str(min(3, given.rounds)), "--seconds", "2", "--write"],
    ]


def main() -> int:
    parser = argparse.ArgumentParser(prog="benchmarks/publish", description=(__doc__ or "").split(": ", 1)[1])
    add = parser.add_argument
    add("--installed", type=name_and_python, action="append", default=[], metavar="NAME=PYTHON",
        help="beside the tree's Balance the one that is installed for this interpreter")  # fmt: skip
    add("--rounds", type=positive, default=20, help="for each row and proxy (20); over HTTP/2 a quarter of them")
    add("--seconds", type=duration, default=0.5, help="of load for each of them (0.5)")
    add("--tail-seconds", type=positive, default=5, help="of each run at half load (5)")
    add("--counted", default="CPython 3.11.7 of pyenv", metavar="INTERPRETER", help="whose instruction counts are shown")
    add("--busy", action="store_true", help="also on a busy machine, where figures of time say nothing: to try the command")
    given = parser.parse_args()
    if not given.busy and (busy := os.getloadavg()[0]) > MOST_LOAD:
        print(f"benchmarks/publish: the machine is not idle (load average {busy:.2f})", file=sys.stderr)
        return 2
    failed = []
    for command in commands(given):
        print(f"--- python3 {shlex.join(command)}", flush=True)
        began_s = time.monotonic()
        status = subprocess.run([sys.executable, *command], cwd=ROOT, check=False).returncode
        print(f"--- {time.monotonic() - began_s:.0f} s", flush=True)
        if status == INTERRUPTED:
            return status
        if status:
            failed.append(f"{command[0]} ended with {status}; what failed is above")
    for line in failed:
        print(f"benchmarks/publish: {line}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)  # whoever runs then cleans up by itself
