"""Text -> Document: YAML with the place of every value, double keys refused, variables filled in. Knows no key by name.

Values are read as YAML 1.2 reads them: only true and false are booleans (`NO` is a country), only decimal numbers are numbers.
Built on the parser's events rather than on its own composer, so that depth and size are bounded before anything is built.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

import yaml

from balance.config.document import Document, Mark, Path
from balance.config.variables import substitute
from balance.errors import ConfigError, Problem

MAX_TEXT_BYTES = 16 * 1024 * 1024  # 10,000 backends with all their keys are about 2 MB
MAX_DEPTH = 32  # the deepest key that means something is at 7
MAX_VALUES = 300_000  # counted after aliases are followed: nine lines of aliases can stand for a billion values

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the C one is 7 x faster; not every build has it
_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]{0,17})")
_FLOAT = re.compile(r"-?[0-9]{1,17}\.[0-9]{1,17}")
_WORDS: dict[str, bool | None] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip
_PLAIN_TAGS = (None, "!", "tag:yaml.org,2002:str", "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq")


@dataclass(slots=True)
class _Node:
    """A value as written. `pairs` of a mapping, `items` of a sequence, else a scalar."""

    mark: Mark
    text: str = ""
    plain: bool = False
    items: list[_Node] | None = None
    pairs: list[tuple[_Node, _Node]] | None = None


def read(text: str, file: str, env: Mapping[str, str]) -> tuple[Document, list[Problem]]:
    """The document, and what is wrong in a way that lets one read on. ConfigError when nothing can be made of it."""
    text = text.removeprefix("\ufeff")
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise ConfigError([Problem(file, 1, 1, "", "is not UTF-8 text")]) from None
    if size > MAX_TEXT_BYTES:
        raise ConfigError([Problem(file, 1, 1, "", f"is larger than {MAX_TEXT_BYTES // 1024**2} MB")])
    try:
        root = _Composer(file).compose(text)
    except yaml.reader.ReaderError as error:
        before = text[: error.position] if isinstance(error.position, int) else ""
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        char = f"U+{error.character:04X}" if isinstance(error.character, int) else repr(error.character)
        raise ConfigError([Problem(file, line, column, "", f"the character {char} may not stand in YAML")]) from None
    except yaml.MarkedYAMLError as error:
        raise ConfigError([_of_yaml(file, error)]) from None
    if root is None:
        raise ConfigError([Problem(file, 1, 1, "", "is empty; the least it needs is mode, listen and backends")])
    if root.pairs is None:
        kind = "a list" if root.items is not None else "a single value"
        message = f"{kind} stands at the top; write keys, like mode:, listen: and backends:"
        raise ConfigError([Problem(file, root.mark.line, root.mark.column, "", message)])
    reading = _Reading(Document(file), env)
    reading.document.data = reading.value(root, ())
    return reading.document, reading.problems


def _of_yaml(file: str, error: yaml.MarkedYAMLError) -> Problem:
    """One line out of the parser's several."""
    mark = error.problem_mark or error.context_mark
    said = " ".join(part for part in (error.problem, error.context) if part) or "cannot be read"
    message = f"not valid YAML: {' '.join(said.split())}"
    if "flow" in said:
        message += ' (inside [ ] or { } quote a value that has braces, as in "${NAME}")'
    elif "cannot start any token" in said or "tab character" in said:
        message += " (indent with spaces; quote a value that begins with a special character)"
    return Problem(file, mark.line + 1 if mark else 1, mark.column + 1 if mark else 1, "", message)


class _Composer:
    """Events -> nodes, for one document, of bounded depth. An alias is the very node that its anchor names."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.anchors: dict[str, _Node] = {}
        self.budget = MAX_VALUES

    def compose(self, text: str) -> _Node | None:
        root: _Node | None = None
        events = iter(yaml.parse(text, Loader=_Loader))
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                if root is not None:
                    self.fail(event, "a second document begins here; a configuration is one document")
                root = self.node(next(events), events, MAX_DEPTH)
        # A document of nothing, or of comments only, is one empty plain scalar.
        return None if root is not None and root.plain and root.text == "" else root

    def node(self, event: Any, events: Iterator[Any], depth: int) -> _Node:
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in self.anchors:
                self.fail(event, f"the alias *{event.anchor} stands for nothing that ends before it")
            return self.anchors[event.anchor]
        if event.tag not in _PLAIN_TAGS:
            self.fail(event, f"the tag {event.tag!r} is not supported; write the value alone")
        self.budget -= 1
        if depth == 0 or self.budget < 0:
            self.fail(event, f"nested deeper than {MAX_DEPTH} levels" if depth == 0 else _TOO_MANY)
        node = _Node(Mark(event.start_mark.line + 1, event.start_mark.column + 1))
        if isinstance(event, yaml.ScalarEvent):
            node.text, node.plain = event.value, event.implicit[0] and not event.style
        elif isinstance(event, yaml.SequenceStartEvent):
            node.items = []
            while not isinstance(inner := next(events), yaml.SequenceEndEvent):
                node.items.append(self.node(inner, events, depth - 1))
        else:
            node.pairs = []
            while not isinstance(inner := next(events), yaml.MappingEndEvent):
                key = self.node(inner, events, depth - 1)
                node.pairs.append((key, self.node(next(events), events, depth - 1)))
        # Only now, so that an alias inside its own anchor is refused rather than followed for ever.
        if event.anchor is not None:
            self.anchors[event.anchor] = node
        return node

    def fail(self, event: Any, message: str) -> NoReturn:
        mark = event.start_mark
        raise ConfigError([Problem(self.file, mark.line + 1, mark.column + 1, "", message)])


_TOO_MANY = f"more than {MAX_VALUES:,} values"


@dataclass(slots=True)
class _Reading:
    """Nodes -> plain data, noting where each value stood."""

    document: Document
    env: Mapping[str, str]
    problems: list[Problem] = field(default_factory=list)
    budget: int = MAX_VALUES

    def value(self, node: _Node, path: Path) -> Any:
        self.budget -= 1
        if self.budget < 0 or len(path) > MAX_DEPTH:
            message = f"{_TOO_MANY} once its aliases are followed" if self.budget < 0 else "nested too deep"
            raise ConfigError([Problem(self.document.file, node.mark.line, node.mark.column, "", message)])
        self.document.values[path] = node.mark
        if node.items is not None:
            return [self.value(item, (*path, index)) for index, item in enumerate(node.items)]
        if node.pairs is not None:
            return self.mapping(node, path)
        return self.scalar(node, path)

    def mapping(self, node: _Node, path: Path) -> dict[str, Any]:
        taken: dict[str, Mark] = {}
        found: dict[str, Any] = {}
        for key, value in self.pairs(node):
            if key.items is not None or key.pairs is not None:
                self.say(key.mark, path, "a list or a mapping stands where a key belongs")
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

    def pairs(self, node: _Node) -> Iterator[tuple[_Node, _Node]]:
        return (pair for pair in node.pairs or () if not _is_merge(pair[0]))

    def merged(self, node: _Node, path: Path, depth: int = MAX_DEPTH) -> Iterator[tuple[_Node, _Node]]:
        """The pairs that `<<: *anchor` (or a list of them) lends, the first that has a key winning."""
        for key, value in node.pairs or ():
            for source in value.items or [value] if _is_merge(key) else ():
                if source.pairs is None or depth == 0:
                    self.say(source.mark, (*path, "<<"), "only a mapping can be merged, as in <<: *defaults")
                    continue
                self.budget -= len(source.pairs)
                yield from self.pairs(source)
                yield from self.merged(source, path, depth - 1)

    def scalar(self, node: _Node, path: Path) -> Any:
        text = node.text
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

    def say(self, mark: Mark, path: Path, message: str) -> None:
        from_here = self.document.problem(path, message)
        self.problems.append(Problem(self.document.file, mark.line, mark.column, from_here.path, message))


def _is_merge(key: _Node) -> bool:
    return key.plain and key.text == "<<"
