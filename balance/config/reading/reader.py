"""Nodes -> Document: values with the place of each, double keys refused, variables filled in. Knows no key by name.

Values are read as YAML 1.2 reads them: only true and false are booleans (`NO` is a country), only decimal numbers are numbers.
Keys at the top that begin with `x-` are left out once what is anchored in them was read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from balance.config.reading.composer import MAX_DEPTH, MAX_VALUES, Node, compose
from balance.config.reading.document import Document, Mark, Path
from balance.config.reading.variables import substitute
from balance.config.reading.yaml_errors import misplaced
from balance.errors import ConfigError, Problem

_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]{0,17})")
_FLOAT = re.compile(r"-?[0-9]{1,17}\.[0-9]{1,17}")
EXTENSION = "x-"  # a key at the top that begins so is the user's own, for anchors (as in Compose and OpenAPI)
_WORDS: dict[str, bool | None] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip


def read(text: str, file: str, env: Mapping[str, str]) -> tuple[Document, list[Problem]]:
    """The document, and what is wrong in a way that lets one read on. ConfigError when nothing can be made of it."""
    root = compose(text, file)
    if root is None:
        raise ConfigError([Problem(file, 1, 1, "", "is empty; the least it needs is mode, listen and backends")])
    if root.pairs is None:
        kind = "a list" if root.items is not None else "a single value"
        message = f"{kind} stands at the top; write keys, like mode:, listen: and backends:"
        raise ConfigError([Problem(file, root.mark.line, root.mark.column, "", message)])
    reading = _Reading(Document(file), env)
    reading.document.data = reading.value(root, ())
    reading.document.leave_out([name for name in reading.document.data if name.startswith(EXTENSION)])
    if reading.garbled:
        raise ConfigError(reading.garbled)
    return reading.document, reading.problems


@dataclass(slots=True)
class _Reading:
    """Nodes -> plain data, noting where each value stood."""

    document: Document
    env: Mapping[str, str]
    problems: list[Problem] = field(default_factory=list)
    garbled: list[Problem] = field(default_factory=list)  # text that was meant as syntax: what follows from it is no news
    budget: int = MAX_VALUES  # aliases followed: nine lines of them can stand for a billion values

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
        taken: dict[str, Mark] = {}
        found: dict[str, Any] = {}
        for key, value in self.pairs(node):
            if key.items is not None or key.pairs is not None:
                self.say(key.mark, path, "a list or a mapping stands where a key belongs")
            elif key.plain and (wrong := misplaced(key.text)) is not None:
                self.misplaced(key.mark, (*path, key.text), wrong)
            elif key.text in taken:
                self.say(key.mark, (*path, key.text), f"given twice (first at line {taken[key.text].line}); keep one")
            else:
                taken[key.text] = key.mark
                self.document.keys[(*path, key.text)] = key.mark
                found[key.text] = self.value(value, (*path, key.text))
        for key, value in self.merged(node, path):
            if key.text not in found and key.pairs is None and key.items is None:
                self.document.keys[(*path, key.text)] = key.mark
                found[key.text] = self.value(value, (*path, key.text))
        return found

    def pairs(self, node: Node) -> Iterator[tuple[Node, Node]]:
        return (pair for pair in node.pairs or () if not _is_merge(pair[0]))

    def merged(self, node: Node, path: Path, depth: int = MAX_DEPTH) -> Iterator[tuple[Node, Node]]:
        """The pairs that `<<: *anchor` (or a list of them) lends, the first that has a key winning."""
        for key, value in node.pairs or ():
            for source in value.items or [value] if _is_merge(key) else ():
                if source.pairs is None or depth == 0:
                    self.say(source.mark, (*path, "<<"), "only a mapping can be merged, as in <<: *defaults")
                    continue
                self.budget -= len(source.pairs)
                yield from self.pairs(source)
                yield from self.merged(source, path, depth - 1)

    def scalar(self, node: Node, path: Path) -> Any:
        text = node.text
        if node.plain and (wrong := misplaced(text)) is not None:
            self.misplaced(node.mark, path, wrong)
        if "$" in text:
            try:
                text = substitute(text, self.env)
            except ValueError as error:
                self.say(node.mark, path, str(error))
                self.document.broken.add(path)
                return None
            if text == "":
                return text
        if not node.plain:
            return text
        if text in _WORDS:
            return _WORDS[text]
        if _INTEGER.fullmatch(text):
            return int(text)
        return float(text) if _FLOAT.fullmatch(text) else text

    def misplaced(self, mark: Mark, path: Path, message: str) -> None:
        self.say(mark, path, message)
        self.garbled.append(self.problems.pop())

    def say(self, mark: Mark, path: Path, message: str) -> None:
        from_here = self.document.problem(path, message)
        self.problems.append(Problem(self.document.file, mark.line, mark.column, from_here.path, message))


def _is_merge(key: Node) -> bool:
    return key.plain and key.text == "<<"
