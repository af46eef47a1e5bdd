"""Whether what a table of situations names is there.

A table has, for each situation, what it is and what shows it, one a line: tests (`folder/test_file.py::what_it_shows`, without
`test_`), rows of the tables that tests go through (`folder/file.py: "the row's name"`), or sentences of documents
(`docs/FILE.md: "the words as they stand there"`).
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path

TESTS = Path(__file__).resolve().parent

_SENTENCE = re.compile(r'(docs/\w+\.md|README\.md): "(.+)"')
_TABLE_ROW = re.compile(r'(\S+\.py): "(.+)"')


@cache
def names_in(file: Path) -> set[str]:
    """The functions that are defined there."""
    if not file.is_file():
        return set()
    nodes = ast.walk(ast.parse(file.read_text()))
    return {node.name for node in nodes if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))}


@cache
def keys_in(file: Path) -> set[object]:
    """The keys of all tables that stand there."""
    if not file.is_file():
        return set()
    tables = [node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Dict)]
    return {key.value for table in tables for key in table.keys if isinstance(key, ast.Constant)}


@cache
def words_of(document: str) -> str:
    """The document with every run of blanks as one, so that a sentence may go over lines."""
    file = TESTS.parent / document
    return " ".join(file.read_text().split()) if file.is_file() else ""


def lines_of(evidence: str) -> list[str]:
    return [line.strip() for line in evidence.splitlines() if line.strip()]


def is_there(line: str) -> bool:
    if sentence := _SENTENCE.fullmatch(line):
        return " ".join(sentence[2].split()) in words_of(sentence[1])
    if row := _TABLE_ROW.fullmatch(line):
        return row[2] in keys_in(TESTS / row[1])
    file, _, name = line.partition("::")
    return f"test_{name}" in names_in(TESTS / file)


def assert_shown(evidence: str) -> None:
    """Some lines, and each of them names what is there."""
    assert lines_of(evidence)
    assert [line for line in lines_of(evidence) if not is_there(line)] == []


def print_tests(situations: Mapping[int, tuple[str, str]]) -> None:
    """What pytest is called with to run the tests of all rows; a line each."""
    lines = {line for _, evidence in situations.values() for line in lines_of(evidence)}
    shown = {line for line in lines if not _SENTENCE.fullmatch(line) and not _TABLE_ROW.fullmatch(line)}
    sys.stdout.write("\n".join(str(TESTS / line.replace("::", "::test_")) for line in sorted(shown)) + "\n")
