"""`python3 cmd/build`: Balance compiled, from a fresh clone, with nothing installed. `--help` says what it makes where."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from python_version import require_python

if __name__ == "__main__":
    require_python()
    try:
        import command

        sys.exit(command.run(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
