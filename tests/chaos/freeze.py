"""A backend is stopped (SIGSTOP) under load and goes on: it accepts
connections all the while and answers nothing.

    python3 tests/chaos/freeze.py

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
        sys.exit(main(__doc__, "freeze"))
    except KeyboardInterrupt:
        sys.exit(130)
