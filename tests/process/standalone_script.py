"""For scripts that users run from a fresh clone: makes the dependencies and this checkout's package importable."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NEEDED = ("click", "httptools", "prometheus_client", "pydantic", "starlette", "uvicorn", "uvloop", "websockets", "yaml")


def prepare() -> None:
    """Returns when everything can be imported; re-executes the script in cmd/check's environment where something is missing."""
    try:
        for name in NEEDED:
            importlib.import_module(name)
    except ImportError:
        sys.path.insert(0, str(ROOT / "cmd"))
        from python_version import require_python

        require_python()
        import setup_env

        setup_env.prepare(extra="dev")
        os.execv(setup_env.PYTHON, [str(setup_env.PYTHON), *sys.argv])
    sys.path.insert(0, str(ROOT))
    others = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = f"{ROOT}{os.pathsep}{others}" if others else str(ROOT)
