"""Checks the Python version. Written for any Python 3, unlike the other files."""

import sys

OLDEST_PYTHON = (3, 11)


def require_python() -> None:
    if sys.version_info < OLDEST_PYTHON:
        has = ".".join(map(str, sys.version_info[:3]))
        sys.exit(f"Balance needs Python {OLDEST_PYTHON[0]}.{OLDEST_PYTHON[1]} or newer; {sys.executable} is {has}")
