"""The extension modules of a compiled Balance, and how they are built: all cores at once, as setuptools alone does not.

Runs where mypy and setuptools are installed, in the directory of the tree that is compiled.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from compiled_modules import NATIVE, sources
from setuptools import Extension
from setuptools.command.build_ext import build_ext

# Of what mypyc makes, the one library beside the package that all compiled modules share.
LIBRARY = "balance"
# Hidden, functions of other modules are called at once, not through the table of the dynamic linker, and can be inlined. A
# compiler newer than those that mypyc knows may warn.
FLAGS = ["-fvisibility=hidden", "-Wno-error"]
CONFIG = Path(__file__).resolve().parent / "mypy.ini"
SLICES = CONFIG.with_name("slices.h")


def extensions(opt_level: str, target: str) -> list[Extension]:
    """Those of the tree in the working directory; C is written to `target`. What mypy refuses ends the process."""
    from mypyc.build import mypycify

    # One C file a module, so that they compile at once.
    made: list[Extension] = mypycify(
        [f"--config-file={CONFIG}", *sources(Path())],
        opt_level=opt_level,
        debug_level="0",
        multi_file=True,
        group_name=LIBRARY,
        target_dir=target,
    )
    for each in made:
        each.extra_compile_args = [*each.extra_compile_args, *FLAGS, "-include", str(SLICES)]
    by_hand = [Extension(name, [file], extra_compile_args=[f"-O{opt_level}", "-g1"]) for name, file in NATIVE.items()]
    return [*made, *by_hand]


class ParallelBuildExt(build_ext):
    """Compiles the files of each extension at once: mypyc makes one extension of many."""

    def build_extensions(self) -> None:
        compiler: Any = self.compiler
        one_by_one = compiler.compile

        def compile_all(sources: list[str], **options: Any) -> list[str]:
            with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as threads:
                # The largest first, so that none is waited for alone.
                ordered = sorted(sources, key=lambda source: -os.path.getsize(source))
                objects = threads.map(lambda source: one_by_one([source], **options)[0], ordered)
                of = dict(zip(ordered, objects, strict=True))
            return [of[source] for source in sources]

        compiler.compile = compile_all
        super().build_extensions()
