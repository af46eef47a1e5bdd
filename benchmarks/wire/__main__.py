"""`python3 benchmarks/wire`: runs by path, with the standard library only."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # a script's own folder hides the package's name

from wire.command import main

sys.exit(main())
