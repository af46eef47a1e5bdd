"""What valgrind runs: `child.py CHECKOUT TIMES SCENARIO ...`. Each scenario runs in a fork of its own, two at a time.

The start of the interpreter, all imports and the warming up run uncounted, at several times the speed. Then a fork does N and
2 N: the difference is N times what is asked for, and what counting itself costs is in none of it.
"""

from __future__ import annotations

import gc
import os
import sys
import traceback
from pathlib import Path
from types import SimpleNamespace

OURS, CHECKOUT = Path(__file__).resolve().parents[1], Path(sys.argv[1])
sys.path[0] = str(OURS)

from instructions import clock  # noqa: F401  # before whatever takes its clock from `time`
from instructions.client_requests import Callgrind

# The package is the checkout's, whatever is installed, and so are the scripts. An old one that has none is sent ours.
SCRIPTS = CHECKOUT / "benchmarks"
sys.path[:1] = [str(CHECKOUT), str(SCRIPTS if (SCRIPTS / "scripted").is_dir() else OURS)]

from scripted.scenarios import SCENARIOS, Run

try:
    from scripted.uncounted import UNCOUNTED
except ImportError:  # an older checkout's scripts
    UNCOUNTED = SimpleNamespace()

WARM_UP = 200
AT_ONCE = len(os.sched_getaffinity(0))


def count(callgrind: Callgrind, run: Run, times: int) -> None:
    run(WARM_UP)
    gc.collect()
    gc.disable()  # when it collects depends on all that was made before
    callgrind.start()
    run(times // 4)
    callgrind.zero()
    run(times)
    callgrind.dump()
    run(2 * times)
    callgrind.dump()


def main(times: int, names: list[str]) -> int:
    callgrind = Callgrind()
    running: set[int] = set()
    failed = 0
    for number, name in enumerate(names):
        if name not in SCENARIOS:
            continue  # an older checkout's
        if len(running) == AT_ONCE:
            failed += _ended(running)
        process = os.fork()
        if not process:
            status = 1
            try:
                print(f"{os.getpid()} {number}", flush=True)  # whose file is whose
                run = SCENARIOS[name]()
                UNCOUNTED.toggle = callgrind.toggle
                count(callgrind, run, times)
                status = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(status)
        running.add(process)
    while running:
        failed += _ended(running)
    return min(failed, 1)


def _ended(running: set[int]) -> int:
    process, status = os.wait()
    running.discard(process)
    return status != 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[2]), sys.argv[3:]))
