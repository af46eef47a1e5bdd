"""Lines of a screen: parts of text with a style each. Colour never stands alone: a word or a mark says the same."""

from __future__ import annotations

import enum
from typing import NamedTuple

from balance.cli.top.cells import clipped, width_of


class Style(enum.IntEnum):
    """How a part of a line looks."""

    PLAIN = 0
    BOLD = 1
    DIM = 2
    HEAD = 3  # column heads
    GOOD = 4
    WARN = 5
    BAD = 6
    SELECTED = 7


class Span(NamedTuple):
    """A part of a line."""

    text: str
    style: Style = Style.PLAIN


Line = list[Span]


def cut(line: Line, width: int) -> Line:
    """At most that wide."""
    found: Line = []
    for span in line:
        room = width - sum(width_of(each.text) for each in found)
        if room <= 0:
            break
        found.append(Span(clipped(span.text, room), span.style))
    return found
