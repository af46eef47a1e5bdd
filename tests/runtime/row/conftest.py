"""Both rows: the definition, and the native one, which is compiled for these tests where the build has none."""

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
from typing import Any

import pytest

from balance.runtime.row import pure_row

SOURCE = Path(pure_row.__file__).with_name("native_row.c")
NAME = "balance.runtime.row.native_row"


@pytest.fixture(scope="session")
def native_row(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    """The module that a compiled build has."""
    if importlib.util.find_spec(NAME) is not None:
        return importlib.import_module(NAME)
    compiler = shlex.split(sysconfig.get_config_var("CC") or "cc")
    include = sysconfig.get_path("include")
    if shutil.which(compiler[0]) is None or not Path(include, "Python.h").is_file():
        pytest.skip("there is no compiler, or nothing to compile extensions with")
    made = tmp_path_factory.mktemp("native") / f"native_row{sysconfig.get_config_var('EXT_SUFFIX')}"
    strict = ["-O1", "-Wall", "-Wextra", "-Werror", "-Wno-cast-function-type", "-Wno-missing-field-initializers"]
    subprocess.run([*compiler, *strict, "-shared", "-fPIC", f"-I{include}", str(SOURCE), "-o", str(made)], check=True)
    spec = importlib.util.spec_from_file_location(NAME, made, loader=ExtensionFileLoader(NAME, str(made)))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session", params=["pure", "native"])
def row_class(request: pytest.FixtureRequest) -> Any:
    """The class of either."""
    return pure_row.Row if request.param == "pure" else request.getfixturevalue("native_row").Row
