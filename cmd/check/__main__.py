"""`python3 cmd/check [--compiled] [--long] [PYTEST ARGUMENTS]`: all that a change must pass, from a fresh clone."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from python_version import require_python

if __name__ == "__main__":
    require_python()
    try:
        import steps

        sys.exit(steps.check(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
