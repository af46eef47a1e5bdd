"""Whether extension modules can be compiled here, for the Python that runs this. With nothing but the standard library.

As a program: exit status 1 with a line when they can't.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path


def lacks_compiler() -> str:
    """Why not, or nothing: tried with an empty module."""
    command = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
    with tempfile.TemporaryDirectory(prefix="balance-try-") as folder:
        source = Path(folder, "tried.c")
        source.write_text("#include <Python.h>\n")
        options = ["-I", sysconfig.get_path("include"), "-I", sysconfig.get_path("platinclude"), "-fPIC", "-c"]
        try:
            done = subprocess.run([*command, *options, str(source), "-o", f"{folder}/tried.o"], capture_output=True, text=True)
        except OSError as error:
            return f"no C compiler: {command[0]}: {error.strerror}"
    if done.returncode == 0:
        return ""
    reason = next((line for line in done.stderr.splitlines() if "error" in line), f"status {done.returncode}")
    return f"{command[0]} can't compile for {sys.executable}: {reason}"


if __name__ == "__main__":
    sys.exit(lacks_compiler() or None)
