"""What is compiled: the list of it, and, in a copy that was compiled, that it is what the tests and their processes run."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "cmd" / "build"))

import compiled_modules  # noqa: E402

SOURCES = compiled_modules.sources(ROOT)
NAMES = [*(".".join(Path(name).with_suffix("").parts) for name in SOURCES), *compiled_modules.NATIVE]
is_copy = (ROOT / "build" / "compiled-copy").is_file()
in_a_copy = pytest.mark.skipif(not is_copy, reason="not a compiled copy: `python3 cmd/check --compiled` makes one")


def test_the_list_has_modules_of_the_tree_alone_each_once() -> None:
    assert SOURCES and all((ROOT / name).is_file() for name in [*SOURCES, *compiled_modules.NATIVE.values()])
    assert len({*compiled_modules.COMPILED}) == len(compiled_modules.COMPILED)
    assert all(compiled_modules.LEFT_OUT.values())  # with why
    assert {str(file.relative_to(ROOT)) for file in (ROOT / "balance").rglob("*.c")} == {*compiled_modules.NATIVE.values()}


def test_a_name_that_is_nothing_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled_modules, "COMPILED", ("balance.nowhere",))
    with pytest.raises(ValueError, match=r"balance\.nowhere"):
        compiled_modules.sources(ROOT)
    monkeypatch.setattr(compiled_modules, "COMPILED", ("balance.errors",))
    monkeypatch.setattr(compiled_modules, "LEFT_OUT", {"balance.model": "for a test"})
    with pytest.raises(ValueError, match=r"balance\.model is left out"):
        compiled_modules.sources(ROOT)


@in_a_copy
@pytest.mark.parametrize("name", NAMES)
def test_it_is_compiled(name: str) -> None:
    file = Path(importlib.import_module(name).__file__ or "")
    assert file.suffix == ".so" and file.is_relative_to(ROOT)


@in_a_copy
def test_nothing_else_is_compiled() -> None:
    files = (file.relative_to(ROOT) for file in (ROOT / "balance").rglob("*.so"))
    found = {".".join((*file.parent.parts, file.name.partition(".")[0])) for file in files}
    assert found == {*NAMES}


@in_a_copy
@pytest.mark.parametrize("command", [["-m", "balance"], [str(Path(sys.executable).with_name("balance"))]])
def test_processes_that_a_test_starts_run_it(command: list[str], tmp_path: Path) -> None:
    """Wherever they are started, with whatever variables."""
    done = subprocess.run([sys.executable, *command, "--version"], env={}, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout.splitlines()[1].partition(",")[0]) == (0, "compiled"), done.stderr


# Of calls in the bounds of a slice, those that may be made twice.
WITHOUT_EFFECT = {"len", "min", "max", "start", "end", "find", "_end"}


@pytest.mark.parametrize("name", SOURCES)
def test_no_bound_of_a_slice_does_something(name: str) -> None:
    """mypyc (2.4.1, `try_gen_slice_op`) evaluates the bounds twice, unless it knows that bytes, str, a list or a tuple is cut:
    `data[sock.send(data):]` sends twice.
    """
    found = [
        ast.unparse(node)
        for node in ast.walk(ast.parse((ROOT / name).read_text()))
        if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Slice)
        for bound in (node.slice.lower, node.slice.upper)
        if bound is not None
        for each in ast.walk(bound)
        if isinstance(each, ast.NamedExpr | ast.Await)
        or (isinstance(each, ast.Call) and ast.unparse(each.func).rpartition(".")[2] not in WITHOUT_EFFECT)
    ]
    assert found == []
