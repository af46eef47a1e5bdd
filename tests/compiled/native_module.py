"""Compiles one of the extension modules that are written by hand, for tests of it where the build has none."""

from __future__ import annotations

import importlib
import importlib.util
import shlex
import shutil
import subprocess
import sysconfig
from importlib.machinery import ExtensionFileLoader
from pathlib import Path
from types import ModuleType

import pytest


def native_module(name: str, source: Path, folder: Path) -> ModuleType:
    """The module that a compiled build has; skips where there is no compiler."""
    if importlib.util.find_spec(name) is not None:
        return importlib.import_module(name)
    compiler = shlex.split(sysconfig.get_config_var("CC") or "cc")
    include = sysconfig.get_path("include")
    if shutil.which(compiler[0]) is None or not Path(include, "Python.h").is_file():
        pytest.skip("there is no compiler, or nothing to compile extensions with")
    made = folder / f"{source.stem}{sysconfig.get_config_var('EXT_SUFFIX')}"
    strict = ["-O1", "-Wall", "-Wextra", "-Werror", "-Wno-cast-function-type", "-Wno-missing-field-initializers"]
    subprocess.run([*compiler, *strict, "-shared", "-fPIC", f"-I{include}", str(source), "-o", str(made)], check=True)
    spec = importlib.util.spec_from_file_location(name, made, loader=ExtensionFileLoader(name, str(made)))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
