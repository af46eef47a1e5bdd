"""A backend takes ten times as long under load.

    python3 tests/chaos/slow.py

Prints what clients noticed of it, and ends with status 1 when a promise is broken.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "process"))

import standalone_script

if __name__ == "__main__":
    standalone_script.prepare()
    from fault_run import main

    try:
        sys.exit(main(__doc__, "slow"))
    except KeyboardInterrupt:
        sys.exit(130)
