"""`python3 benchmarks/micro`: what the decisions of the data path cost without a socket, in nanoseconds a call.

The minimum of many repeats: what the code costs when nothing disturbs it. Run it with the interpreter that runs Balance.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import timeit
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[1:1] = [str(ROOT), str(ROOT / "benchmarks")]  # the checkout's own package, whatever is installed

import cases  # the folder itself is first on the path when it is run by its name

RUN_S = 0.005  # short enough that some runs are left in peace on a machine that has other work


def measure(call: Callable[[], object], seconds: float) -> float:
    """Nanoseconds a call: the best of many short runs that together take about `seconds`."""
    timer = timeit.Timer(call)
    number = 1
    while (taken := timer.timeit(number)) < RUN_S / 2:
        number *= 2
    repeats = max(3, int(seconds / max(taken, RUN_S / 2)))
    return min(timer.repeat(repeats, number)) / number * 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="only rows whose name contains this")
    parser.add_argument("--seconds", type=float, default=0.5, help="for each row (default 0.5)")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    options = parser.parse_args()
    random.seed(1)
    figures = {}
    print("| what | ns |\n| --- | ---: |")
    for name, call in cases.all_cases():
        if options.only in name:
            figures[name] = measure(call, options.seconds)
            print(f"| {name} | {figures[name]:,.0f} |", flush=True)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
