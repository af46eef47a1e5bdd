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
# As many as are compiled at once on a machine that has the cores.
PARTS = 8
CONFIG = Path(__file__).resolve().parent / "mypy.ini"
SLICES = CONFIG.with_name("slices.h")


def extensions(opt_level: str, target: str) -> list[Extension]:
    """Those of the tree in the working directory; C is written to `target`. What mypy refuses ends the process."""
    from mypyc.build import mypycify

    # One C file a module, to be put together below.
    made: list[Extension] = mypycify(
        [f"--config-file={CONFIG}", *sources(Path())],
        opt_level=opt_level,
        debug_level="0",
        multi_file=True,
        group_name=LIBRARY,
        target_dir=target,
    )
    for each in made:
        each.sources = in_parts(each.sources, Path(target))
        each.extra_compile_args = [*each.extra_compile_args, *FLAGS, "-include", str(SLICES)]
    by_hand = [Extension(name, [file], extra_compile_args=[f"-O{opt_level}", "-g1"]) for name, file in NATIVE.items()]
    return [*made, *by_hand]


def in_parts(sources: list[str], target: Path) -> list[str]:
    """Instead of a C file a module a few that include them, of much the same size: mypyc's headers, of which each file reads
    all, are most of what a small one costs, and a compiler can inline from module to module within each.
    """
    modules = sorted(name for name in sources if Path(name).name.startswith("__native_balance___"))
    total = sum(os.path.getsize(name) for name in modules)
    parts: list[list[str]] = [[] for _ in range(PARTS)]
    before = 0
    for name in modules:
        parts[before * PARTS // total].append(name)
        before += os.path.getsize(name)
    made = []
    for number, part in enumerate(filter(None, parts)):
        file = target / f"part_{number}.c"
        file.write_text("".join(f'#include "{Path(name).name}"\n' for name in part))
        made.append(str(file))
    return [*made, *(name for name in sources if name not in modules)]


class ParallelBuildExt(build_ext):
    """Builds the extensions at once, and compiles the files of each at once: mypyc makes a large one, and one a module."""

    def build_extensions(self) -> None:
        compiler: Any = self.compiler
        one_by_one = compiler.compile
        self.parallel = len(os.sched_getaffinity(0))

        def compile_all(sources: list[str], **options: Any) -> list[str]:
            with ThreadPoolExecutor(self.parallel) as threads:
                return [made for (made,) in threads.map(lambda source: one_by_one([source], **options), sources)]

        compiler.compile = compile_all
        super().build_extensions()
