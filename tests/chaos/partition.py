"""A backend is cut off under load, as by a partition of the network, and is back: no new connection
can be made to it, and those that there are fall silent.

    python3 tests/chaos/partition.py

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
        sys.exit(main(__doc__, "partition"))
    except KeyboardInterrupt:
        sys.exit(130)
