"""YAML nodes -> Document: refuses duplicate keys, resolves anchors and merges, substitutes ${VARIABLES}.

Scalars are YAML 1.2's: only true and false are booleans (not `no`), only decimal numbers are numbers. Top-level keys that
begin with `x-` only hold anchors and are removed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from balance.config.reading.composer import MAX_DEPTH, MAX_VALUES, Node, compose
from balance.config.reading.document import Document, Mark, Path
from balance.config.reading.variables import substitute
from balance.config.reading.yaml_errors import find_typographic
from balance.errors import ConfigError, Problem

_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]{0,17})")
_FLOAT = re.compile(r"-?[0-9]{1,17}\.[0-9]{1,17}")
EXTENSION = "x-"  # prefix of top-level keys for the user's own anchors, as in Compose and OpenAPI
_KEYWORDS: dict[str, bool | None] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip


def read(text: str, file: str, env: Mapping[str, str]) -> tuple[Document, list[Problem]]:
    """The document and its problems. ConfigError when it can't be parsed at all."""
    root = compose(text, file)
    if root is None:
        raise ConfigError([Problem(file, 1, 1, "", "is empty; the least it needs is mode, listen and backends")])
    if root.pairs is None:
        kind = "a list" if root.items is not None else "a single value"
        message = f"{kind} stands at the top; write keys, like mode:, listen: and backends:"
        raise ConfigError([Problem(file, root.mark.line, root.mark.column, "", message)])
    reader = _DocumentReader(Document(file), env)
    reader.document.data = reader.value(root, ())
    reader.document.leave_out([name for name in reader.document.data if name.startswith(EXTENSION)])
    if reader.syntax_problems:
        raise ConfigError(reader.syntax_problems)
    return reader.document, reader.problems


@dataclass(slots=True)
class _DocumentReader:
    """Converts nodes to plain data and records the mark of each value."""

    document: Document
    env: Mapping[str, str]
    problems: list[Problem] = field(default_factory=list)
    syntax_problems: list[Problem] = field(default_factory=list)  # typographic characters: reported alone
    budget: int = MAX_VALUES  # values left after following aliases: nine lines of aliases can expand to a billion values

    def value(self, node: Node, path: Path) -> Any:
        self.budget -= 1
        if self.budget < 0 or len(path) > MAX_DEPTH:
            message = f"more than {MAX_VALUES:,} values once its aliases are followed" if self.budget < 0 else "nested too deep"
            raise ConfigError([Problem(self.document.file, node.mark.line, node.mark.column, "", message)])
        self.document.values[path] = node.mark
        if node.items is not None:
            return [self.value(item, (*path, index)) for index, item in enumerate(node.items)]
        if node.pairs is not None:
            return self.mapping(node, path)
        return self.scalar(node, path)

    def mapping(self, node: Node, path: Path) -> dict[str, Any]:
        first_marks: dict[str, Mark] = {}
        data: dict[str, Any] = {}
        for key, value in self.pairs(node):
            if key.items is not None or key.pairs is not None:
                self.add_problem(key.mark, path, "a list or a mapping stands where a key belongs")
            elif key.plain and (wrong := find_typographic(key.text)) is not None:
                self.add_syntax_problem(key.mark, (*path, key.text), wrong)
            elif key.text in first_marks:
                self.add_problem(
                    key.mark, (*path, key.text), f"given twice (first at line {first_marks[key.text].line}); keep one"
                )
            else:
                first_marks[key.text] = key.mark
                self.document.keys[(*path, key.text)] = key.mark
                data[key.text] = self.value(value, (*path, key.text))
        for key, value in self.merged(node, path):
            if key.text not in data and key.pairs is None and key.items is None:
                self.document.keys[(*path, key.text)] = key.mark
                data[key.text] = self.value(value, (*path, key.text))
        return data

    def pairs(self, node: Node) -> Iterator[tuple[Node, Node]]:
        return (pair for pair in node.pairs or () if not _is_merge(pair[0]))

    def merged(self, node: Node, path: Path, depth: int = MAX_DEPTH) -> Iterator[tuple[Node, Node]]:
        """The pairs merged in by `<<: *anchor` or a list of anchors; the first that has a key wins."""
        for key, value in node.pairs or ():
            for source in value.items or [value] if _is_merge(key) else ():
                if source.pairs is None or depth == 0:
                    self.add_problem(source.mark, (*path, "<<"), "only a mapping can be merged, as in <<: *defaults")
                    continue
                self.budget -= len(source.pairs)
                yield from self.pairs(source)
                yield from self.merged(source, path, depth - 1)

    def scalar(self, node: Node, path: Path) -> Any:
        text = node.text
        if node.plain and (wrong := find_typographic(text)) is not None:
            self.add_syntax_problem(node.mark, path, wrong)
        if "$" in text:
            try:
                text = substitute(text, self.env)
            except ValueError as error:
                self.add_problem(node.mark, path, str(error))
                self.document.broken.add(path)
                return None
            if text == "":
                return text
        if not node.plain:
            return text
        if text in _KEYWORDS:
            return _KEYWORDS[text]
        if _INTEGER.fullmatch(text):
            return int(text)
        return float(text) if _FLOAT.fullmatch(text) else text

    def add_syntax_problem(self, mark: Mark, path: Path, message: str) -> None:
        self.add_problem(mark, path, message)
        self.syntax_problems.append(self.problems.pop())

    def add_problem(self, mark: Mark, path: Path, message: str) -> None:
        from_here = self.document.problem(path, message)
        self.problems.append(Problem(self.document.file, mark.line, mark.column, from_here.path, message))


def _is_merge(key: Node) -> bool:
    return key.plain and key.text == "<<"
