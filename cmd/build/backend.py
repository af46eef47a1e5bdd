"""The build backend of pyproject.toml: setuptools' own, which compiles besides where BALANCE_COMPILE asks for it.

Unset or 0: a pure wheel, for every machine. 1: one for this machine if it can be made, else a pure one, and a line says
why. `require`: one for this machine, or an error. sdists and editable installations are never compiled.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import tempfile
from collections.abc import Mapping
from typing import Any, NoReturn

from compiled_modules import NATIVE
from compiler import lacks_compiler
from setuptools import build_meta, setup
from setuptools.command.sdist import sdist

VARIABLE = "BALANCE_COMPILE"
MYPY = "mypy>=2.4"
# What an sdist needs beside the package; of it to build a wheel at all, this file. And what `python3 cmd/build` consists of.
BUILDING = ("backend.py", "compiled_modules.py", "compiler.py", "extensions.py", "mypy.ini", "slices.h")
COMMAND = (
    "cmd/build/__main__.py",
    "cmd/build/command.py",
    "cmd/build/in_place.py",
    "cmd/build/tree_copy.py",
    "cmd/child_process.py",
    "cmd/debian_packages.py",
    "cmd/python_version.py",
    "cmd/setup_env.py",
)
# The C compiler's -O. `pip wheel --config-settings opt-level=0` is faster, and what it makes is slower.
OPT_LEVEL = "3"

Settings = Mapping[str, Any] | None


class SourceDistribution(sdist):
    """Holds all that a compiled wheel is made from, though no manifest names it, and no tests: they need the whole tree."""

    def make_distribution(self) -> None:
        self.filelist.prune("tests")
        self.filelist.extend([*(f"cmd/build/{name}" for name in BUILDING), *COMMAND, *NATIVE.values()])
        super().make_distribution()


class Backend(build_meta._BuildMetaBackend):
    """Setuptools' backend runs setup.py, of which this tree has none: what would be in it."""

    def __init__(self) -> None:
        super().__init__()
        self.keywords: dict[str, Any] = {}

    def run_setup(self, setup_script: str = "setup.py") -> None:
        setup(cmdclass={"sdist": SourceDistribution} | self.keywords.pop("cmdclass", {}), **self.keywords)


_backend = Backend()
build_sdist = _backend.build_sdist
get_requires_for_build_editable = _backend.get_requires_for_build_editable
get_requires_for_build_sdist = _backend.get_requires_for_build_sdist
prepare_metadata_for_build_editable = _backend.prepare_metadata_for_build_editable
prepare_metadata_for_build_wheel = _backend.prepare_metadata_for_build_wheel


def get_requires_for_build_wheel(config_settings: Settings = None) -> list[str]:
    """mypy besides, where there is something that could compile what it makes."""
    needs = _backend.get_requires_for_build_wheel(config_settings)
    wanted = wish()
    if not wanted:
        return needs
    if why := lacks_compiler():
        fall_back(wanted, why)
        return needs
    return [*needs, MYPY]


def build_wheel(wheel_directory: str, config_settings: Settings = None, metadata_directory: str | None = None) -> str:
    wanted = wish()
    if wanted and (why := lacks_mypy() or lacks_compiler()):
        fall_back(wanted, why)
    elif wanted:
        try:
            return compiled_wheel(wheel_directory, config_settings, metadata_directory)
        except SystemExit as error:  # of mypy, whose lines are out; of setuptools with the compiler's
            fall_back(wanted, f"it does not compile: {error.code if isinstance(error.code, str) else 'see above'}")
    return _backend.build_wheel(wheel_directory, config_settings, metadata_directory)


def build_editable(wheel_directory: str, config_settings: Settings = None, metadata_directory: str | None = None) -> str:
    """What is edited is Python: compiled modules beside it would win over it unseen."""
    if wanted := wish():
        fall_back(wanted, "an editable installation is never compiled")
    return _backend.build_editable(wheel_directory, config_settings, metadata_directory)


def compiled_wheel(wheel_directory: str, config_settings: Settings, metadata_directory: str | None) -> str:
    from extensions import ParallelBuildExt, extensions

    with tempfile.TemporaryDirectory(prefix="balance-build-") as folder:
        _backend.keywords = {
            "ext_modules": extensions((config_settings or {}).get("opt-level", OPT_LEVEL), f"{folder}/c"),
            "cmdclass": {"build_ext": ParallelBuildExt},
            "options": {"build": {"build_base": folder}},
        }
        try:
            return _backend.build_wheel(wheel_directory, config_settings, metadata_directory)
        finally:
            _backend.keywords = {}


def wish() -> str:
    """`1`, `require`, or nothing."""
    value = os.environ.get(VARIABLE, "").strip()
    if value in ("", "0"):
        return ""
    if value not in ("1", "require"):
        end(f"{VARIABLE}={value}: it is 1 (compile if possible), require, or 0")
    return value


def fall_back(wanted: str, why: str) -> None:
    """Say so; ends the build where compiling was required."""
    if wanted == "require":
        end(f"{VARIABLE}=require: {why}")
    print(f"{VARIABLE}=1: not compiled, pure Python instead: {why}", file=sys.stderr, flush=True)


def lacks_mypy() -> str:
    return "" if importlib.util.find_spec("mypyc") else f"mypy is not installed ({MYPY})"


def end(line: str) -> NoReturn:
    raise SystemExit(line)
