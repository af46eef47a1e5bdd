"""`python3 cmd/demo`: the balancer before three demo backends, from a fresh clone, with nothing installed."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from python_version import require_python

if __name__ == "__main__":
    require_python()
    try:
        import setup_env

        setup_env.run_in_venv("demo", sys.argv[1:])
    except KeyboardInterrupt:
        sys.exit(130)
