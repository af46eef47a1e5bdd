"""Whether this Python can run the rest. Written so that any Python 3 can read it, which the other files are not."""

import sys

OLDEST_PYTHON = (3, 11)


def require_python() -> None:
    if sys.version_info < OLDEST_PYTHON:
        has = ".".join(map(str, sys.version_info[:3]))
        sys.exit(f"Balance needs Python {OLDEST_PYTHON[0]}.{OLDEST_PYTHON[1]} or newer; {sys.executable} is {has}")
