"""The fenced blocks of a page: where each stands, what it is called, what it says."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
FENCE = re.compile(r"(?ms)^(?P<indent> *)(?P<fence>`{3,})(?P<info>[^\n`]*)\n(?P<text>.*?)^ *(?P=fence) *$")
HEADING = re.compile(r"(?m)^#{1,6} (.+)$")


class Block(NamedTuple):
    page: str  # from the root, like docs/ROUTING.md
    line: int
    heading: str
    language: str
    names: tuple[str, ...]  # what stands behind the language: `console nginx`, `yaml fragment`
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def commands(self) -> list[tuple[str, str]]:
        """Of a console block: each command, which begins with `$ ` and goes on behind a backslash, and what it prints."""
        parts = re.split(r"(?m)^\$ ", self.text)[1:]
        found = []
        for part in parts:
            command, _, printed = part.partition("\n")
            while command.endswith("\\"):
                more, _, printed = printed.partition("\n")
                command = f"{command}\n{more}"
            found.append((command, printed))
        return found


def pages() -> list[str]:
    """Every page for users: the README, docs, and what lies beside the files that are deployed."""
    found = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "deployments").rglob("*.md"))]
    return [page.relative_to(ROOT).as_posix() for page in found]


@cache
def text_of(page: str) -> str:
    return (ROOT / page).read_text()


def blocks(page: str) -> Iterator[Block]:
    text = text_of(page)
    inside = [match.span() for match in FENCE.finditer(text)]
    headings = [match for match in HEADING.finditer(text) if not any(begin < match.start() < end for begin, end in inside)]
    for match in FENCE.finditer(text):
        heading = [each[1] for each in headings if each.start() < match.start()]
        language, *names = match["info"].split() or [""]
        yield Block(
            page,
            text.count("\n", 0, match.start()) + 1,
            heading[-1] if heading else "",
            language,
            tuple(names),
            textwrap.dedent(match["text"]),
        )


def without_blocks(text: str) -> str:
    """A page's prose: what stands in fences is blank, line for line."""
    return FENCE.sub(lambda match: "\n" * match[0].count("\n"), text)
