"""A backend answers errors to everything under load, at once: 503; 500, with
it in `retry.on` and without; 500 to everything but its health checks.

    python3 tests/chaos/errors.py

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
        sys.exit(main(__doc__, "errors-503", "errors-500", "errors-500-unasked", "errors-hidden"))
    except KeyboardInterrupt:
        sys.exit(130)
