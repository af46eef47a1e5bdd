"""`python3 cmd/screenshots`: the pictures in docs/screenshots, taken of the demo in a headless Chromium."""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from python_version import require_python

if __name__ == "__main__":
    require_python()
    try:
        import setup_env

        setup_env.prepare(extra="dev")
        os.execv(setup_env.PYTHON, [str(setup_env.PYTHON), str(Path(__file__).resolve().parent / "take.py")])
    except KeyboardInterrupt:
        sys.exit(130)
