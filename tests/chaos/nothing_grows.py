"""`python3 tests/chaos/nothing_grows.py`: what each process has before and after 200 reloads, while clients stay all along.

Exit status 0 when no process has more descriptors (but for a few: connections come and go), and none 2 MB more memory.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "process"))

from drill import FEW_FDS, MOST_GROWTH_KB, Drill, document
from instance_process import Instance
from steady_load import Load


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reloads", type=int, default=200)
    reloads = parser.parse_args().reloads
    with tempfile.TemporaryDirectory() as directory, Load(websockets=10, download_bytes=0, pause_s=0.1) as load:
        instance = Instance(Path(directory), json.dumps(document(load.addresses)))
        try:
            instance.ready()
            load.begin(instance.port)
            grown = Drill(instance, load).growth(reloads)
            report = load.end()
        finally:
            instance.destroy()
    print(f"{'after ' + str(reloads) + ' reloads':<14}{'RSS KB':>22}{'PSS KB':>22}{'descriptors':>14}")
    for name, (before, after) in grown.items():
        memory = [f"{was:,} -> {now:,}" for was, now in ((before.rss_kb, after.rss_kb), (before.pss_kb, after.pss_kb))]
        print(f"{name:<14}{memory[0]:>22}{memory[1]:>22}{f'{before.fds} -> {after.fds}':>14}")
    print(report.table())
    return int(
        bool(report.failures)
        or any(
            after.fds > before.fds + FEW_FDS or after.pss_kb - before.pss_kb > MOST_GROWTH_KB
            for before, after in grown.values()
        )
    )


if __name__ == "__main__":
    sys.exit(main())
