"""YAML text -> a tree of nodes with line and column, limited in size and depth.

Built on the parser's events instead of PyYAML's composer, so that the limits apply before anything is built.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

import yaml

from balance.config.reading.document import MAX_TEXT_BYTES, Mark
from balance.config.reading.yaml_errors import ParserError, diagnose
from balance.errors import ConfigError, Problem

MAX_DEPTH = 32  # the schema's deepest key is at 7
MAX_VALUES = 300_000

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml is several times faster; not every build has it
_PLAIN_TAGS = (None, "!", "tag:yaml.org,2002:str", "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq")


@dataclass(slots=True)
class Node:
    """A YAML node: a mapping has `pairs`, a sequence has `items`, a scalar has `text`."""

    mark: Mark
    text: str = ""
    plain: bool = False
    items: list[Node] | None = None
    pairs: list[tuple[Node, Node]] | None = None


def compose(text: str, file: str) -> Node | None:
    """The root node, or None for an empty document. ConfigError with the first syntax error."""
    text = text.removeprefix("\ufeff")
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise ConfigError([Problem(file, 1, 1, "", "is not UTF-8 text")]) from None
    if size > MAX_TEXT_BYTES:
        raise ConfigError([Problem(file, 1, 1, "", f"is larger than {MAX_TEXT_BYTES // 1024**2} MB")])
    try:
        return _Composer(file).compose(text)
    except yaml.reader.ReaderError as error:
        before = text[: error.position] if isinstance(error.position, int) else ""
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        char = f"U+{error.character:04X}" if isinstance(error.character, int) else repr(error.character)
        raise ConfigError([Problem(file, line, column, "", f"the character {char} may not stand in YAML")]) from None
    except yaml.MarkedYAMLError as error:
        raise ConfigError([_problem_of(text, file, error)]) from None


def _problem_of(text: str, file: str, error: yaml.MarkedYAMLError) -> Problem:
    """The parser's error of several lines as one Problem."""
    mark, context_mark = error.problem_mark or error.context_mark, error.context_mark
    at_line, at_column = (mark.line, mark.column) if mark is not None else (0, 0)
    problem = " ".join((error.problem or "it can't be read").split())
    if "nesting depth" in problem:  # libyaml's own limit, in builds since PyYAML 6.0.4
        return Problem(file, at_line + 1, 1, "", f"nested deeper than {MAX_DEPTH} levels")
    start = (context_mark.line, context_mark.column) if context_mark is not None else None
    line, column, message = diagnose(text, ParserError(problem, error.context or "", at_line, at_column, start))
    return Problem(file, line + 1, column + 1, "", message)


class _Composer:
    """Events -> nodes for one document. An alias returns the node of its anchor itself, not a copy."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.anchors: dict[str, Node] = {}
        self.budget = MAX_VALUES

    def compose(self, text: str) -> Node | None:
        root: Node | None = None
        events = iter(yaml.parse(text, Loader=_Loader))
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                if root is not None:
                    self.fail(event, "a second document begins here; a configuration is one document")
                root = self.node(next(events), events, MAX_DEPTH)
        # An empty document, or one with comments only, is a single empty plain scalar.
        return None if root is not None and root.plain and root.text == "" else root

    def node(self, event: Any, events: Iterator[Any], depth: int) -> Node:
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in self.anchors:
                self.fail(event, f"the alias *{event.anchor} stands for nothing that ends before it")
            return self.anchors[event.anchor]
        if event.tag not in _PLAIN_TAGS:
            self.fail(event, f"the tag {event.tag!r} is not supported; write the value alone")
        self.budget -= 1
        if depth == 0 or self.budget < 0:
            self.fail(event, f"nested deeper than {MAX_DEPTH} levels" if depth == 0 else f"more than {MAX_VALUES:,} values")
        node = Node(Mark(event.start_mark.line + 1, event.start_mark.column + 1))
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
        # Registered last, so that an alias inside its own anchor is an error and not an endless loop.
        if event.anchor is not None:
            self.anchors[event.anchor] = node
        return node

    def fail(self, event: Any, message: str) -> NoReturn:
        mark = event.start_mark
        raise ConfigError([Problem(self.file, mark.line + 1, mark.column + 1, "", message)])
