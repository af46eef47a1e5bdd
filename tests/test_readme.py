"""What the README says of the tree is so: each file is there, and what it names in a file is defined in it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from balance.load import Load

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "README.md").read_text()
SECTIONS = ("Life of a request", "Where things live", "Files to touch")
WORDS_AT_MOST = 40  # lines of the glossary

PATH = re.compile(r"[\w./-]*/[\w./-]*|[\w-]+\.(?:py|md)")
SYMBOL = re.compile(r"([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)?)(?:\(\))?")


def section(title: str) -> str:
    return re.split(r"(?m)^## ", TEXT.split(f"## {title}\n", 1)[1], maxsplit=1)[0]


def rows() -> Iterator[tuple[str, list[str], list[str]]]:
    """Each row of the three tables: its text, the paths and the other names that it has in backticks."""
    for title in SECTIONS:
        for line in section(title).splitlines():
            if line.startswith("|") and not line.startswith("| ---"):
                quoted = re.findall(r"`([^`]+)`", line)
                paths = [each for each in quoted if PATH.fullmatch(each)]
                yield line, paths, [each for each in quoted if each not in paths and SYMBOL.fullmatch(each)]


def place(path: str, row: list[str]) -> Path | None:
    """Where it is: from the root, below the package, or in the folder that its row begins with."""
    for base in (ROOT, ROOT / "balance", ROOT / row[0]):
        if (base / path).exists():
            return base / path
    return None


def defined(file: Path) -> set[str]:
    """What a module defines: functions, classes with their methods and fields, constants."""
    found = set()
    for node in ast.parse(file.read_text()).body:
        for each in names(node):
            found.add(each)
            if isinstance(node, ast.ClassDef):
                found |= {f"{each}.{inner}" for part in node.body for inner in names(part)}
    return found


def names(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return [target.id for target in targets if isinstance(target, ast.Name)]


@pytest.mark.parametrize(("line", "paths"), [(line, paths) for line, paths, _ in rows() if paths])
def test_every_file_of_the_tables_is_there(line: str, paths: list[str]) -> None:
    assert [path for path in paths if place(path, paths) is None] == [], line


@pytest.mark.parametrize(
    ("paths", "symbols"),
    [(paths, symbols) for _, paths, symbols in rows() if symbols and any(p.endswith(".py") for p in paths)],
)
def test_every_name_of_the_tables_is_in_a_file_of_its_row(paths: list[str], symbols: list[str]) -> None:
    files = [file for file in (place(path, paths) for path in paths) if file is not None and file.suffix == ".py"]
    known = set().union(*(defined(file) for file in files))
    assert [symbol for symbol in symbols if symbol.removesuffix("()") not in known] == [], [str(file) for file in files]


def test_every_package_is_in_the_table_of_folders() -> None:
    text = section("Where things live")
    packages = {file.parent.relative_to(ROOT / "balance") for file in (ROOT / "balance").rglob("__init__.py")} - {Path()}
    missing = {path for path in packages if f"`balance/{path}/`" not in text and f"`{path.name}/`" not in text}
    # a package whose rooms have rows of their own needs none
    assert {path for path in missing if not any(path in other.parents for other in packages - missing)} == set()


def test_the_glossary_is_short_and_names_each_word_once() -> None:
    text = section("Words")
    assert len(text.splitlines()) <= WORDS_AT_MOST
    words = [word.strip().lower() for row in re.findall(r"(?m)^\| ([A-Z][^|]*) \|", text) for word in row.split(",")]
    assert len(words) == len({*words}) > 20


def test_the_fields_of_a_load_that_an_algorithm_may_read_are_all_named() -> None:
    text = section("Adding an algorithm")
    events = {"debt", "record_latency", "record_outcome", "sample_elsewhere"}  # what the data path tells it
    fields = {name for name in dir(Load) if not name.startswith("_")} - events
    assert {name for name in fields if f"`{name}" not in text} == set()


def test_no_folder_holds_more_files_than_a_reader_takes_in() -> None:
    one_file_per_kind = {"balancing"}
    folders = [path for path in (ROOT / "balance").rglob("*") if path.is_dir()]
    counts = {str(path.relative_to(ROOT / "balance")): len([*path.glob("*.py")]) for path in folders}
    assert {name: count for name, count in counts.items() if count > 16 and name not in one_file_per_kind} == {}
