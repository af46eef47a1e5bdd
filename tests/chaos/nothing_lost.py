"""`python3 tests/chaos/nothing_lost.py`: reloads, restarts, upgrades and kills under a steady load, and what was lost.

Exit status 0 when nothing was but what killed workers held.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "process"))

from drill import Drill, Scraper, document
from instance_process import Instance
from steady_load import Load


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, count in (("reloads", 50), ("broken", 20), ("restarts", 10), ("upgrades", 3), ("kills", 20)):
        parser.add_argument(f"--{name}", type=int, default=count, help=f"how many (default: {count})")
    parser.add_argument("--websockets", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1, help="of the order in which all of it happens")
    parser.add_argument("--log", type=Path, metavar="FILE", help="keep what the instance said")
    given = vars(parser.parse_args())
    seed, websockets, given_log = given.pop("seed"), given.pop("websockets"), given.pop("log")
    with tempfile.TemporaryDirectory() as directory, Load(websockets=websockets) as load:
        instance = Instance(Path(directory), json.dumps(document(load.addresses)))
        try:
            instance.ready()
            with Scraper(instance) as scraper:
                load.begin(instance.port)
                drill = Drill(instance, load, seed)
                began = time.monotonic()
                drill.run(**given)
                lasted_s = time.monotonic() - began
                report = load.end()
        finally:
            instance.destroy()
            if given_log:
                given_log.write_text(instance.log)
    beyond = report.beyond(drill.tally.ports_of_killed_workers)
    for what, count in drill.tally.done.items():
        print(f"{what:<42}{count:>10,}")
    print(f"{'seconds':<42}{lasted_s:>10.1f}")
    print(report.table())
    print(f"{'connections that killed workers held':<42}{len(drill.tally.ports_of_killed_workers):>10,}")
    print(f"{'failures beyond those':<42}{len(beyond):>10,}")
    print(f"{'scrapes, and those without an answer':<42}{scraper.scrapes:>10,}{scraper.missed:>6,}")
    print(f"{'counters that went back':<42}{len(scraper.steps_back):>10,}")
    print(f"{'series that stood there twice':<42}{len(set(scraper.doubles)):>10,}")
    for failure in beyond[:20]:
        print(failure)
    for line in (*scraper.steps_back[:10], *sorted(set(scraper.doubles))[:10]):
        print(line)
    return 1 if beyond or report.twice or report.unseen or scraper.steps_back or scraper.doubles else 0


if __name__ == "__main__":
    sys.exit(main())
