"""Compiles a copy of the tree where it lies: `python DIR/cmd/build/in_place.py LEVEL`, by an interpreter that has mypy and
setuptools. `tree_copy.py` made that copy and runs this.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from extensions import ParallelBuildExt, extensions
from setuptools import setup
from tree_copy import MARK

ROOT = Path(__file__).resolve().parent.parent.parent

if __name__ == "__main__":
    os.chdir(ROOT)
    if not Path(MARK).is_file():
        sys.exit(f"{ROOT} is not a copy made to be compiled")
    setup(
        name="balance-compiled",
        packages=[],
        py_modules=[],
        ext_modules=extensions(sys.argv[1], "build/c"),
        cmdclass={"build_ext": ParallelBuildExt},
        script_args=["--quiet", "build_ext", "--inplace"],
    )
