"""Two instances share sessions in a Redis that is stopped, frozen, filled and
restarted under load.

    python3 tests/chaos/redis.py [SECONDS OF EACH]

Prints what users noticed of it, and ends with status 1 when a request failed or
a user lost his backend.
"""

import sys
from pathlib import Path

HERE = str(Path(__file__).resolve().parent)
sys.path[:] = [path for path in sys.path if path != HERE]  # else `import redis` would find this file
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "process"))

import standalone_script

if __name__ == "__main__":
    standalone_script.prepare()
    from redis_drill import drill

    found = drill(float(sys.argv[1]) if len(sys.argv) > 1 else 3.0, say=print)
    print(f"{found.requests} requests, slowest {found.slowest_s * 1000:.0f} ms")
    print(*found.lines, sep="\n")
    for what, cases in (("failed", found.failed), ("moved", found.moved)):
        print(f"{what}: {len(cases)}", *cases[:5], sep="\n  ")
    sys.exit(1 if found.failed or found.moved else 0)
