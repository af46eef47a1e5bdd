"""Both rows: the definition, and the native one, which is compiled for these tests where the build has none."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from native_module import native_module

from balance.runtime.row import pure_row

SOURCE = Path(pure_row.__file__).with_name("native_row.c")
NAME = "balance.runtime.row.native_row"


@pytest.fixture(scope="session")
def native_row(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    """The module that a compiled build has."""
    return native_module(NAME, SOURCE, tmp_path_factory.mktemp("native"))


@pytest.fixture(scope="session", params=["pure", "native"])
def row_class(request: pytest.FixtureRequest) -> Any:
    """The class of either."""
    return pure_row.Row if request.param == "pure" else request.getfixturevalue("native_row").Row
