"""Translates PyYAML's syntax errors into messages about the actual mistake, at its line and column.

The parser reports what it expected, often a line too late. The common mistakes can be found in the text itself: tabs,
typographic quotes and spaces, a missing space after a colon, unclosed brackets and quotes, wrong indentation.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_BREAK = re.compile(r"\r\n|[\n\r\x85\u2028\u2029]")
_INDENT = re.compile(r"[ \t]*(?:-[ \t]+)*")
_NO_SPACE = re.compile(r"(?P<lead>\s*(?:- +)*)(?P<key>[A-Za-z_][\w-]*):(?!//)(?P<value>\S.*)")
_PAIR = re.compile(r"(?P<lead>\s*(?:- +)*)(?P<key>[^\s:#][^:#]*?) *:[ \t]+(?P<value>[^\s#].*)")
_MAX_QUOTED = 60  # characters of a line in a message

QUOTES = frozenset("\u201c\u201d\u201e\u201f\u2018\u2019\u201a\u201b\u00ab\u00bb\u2039\u203a\u2033\u2032\u00b4")
DASHES = frozenset("\u2010\u2011\u2012\u2013\u2014\u2015\u2212")
SPACES = {
    "\u00a0": "a no-break space",
    "\u202f": "a narrow no-break space",
    "\u3000": "an ideographic space",
    "\u200b": "a zero-width space",
    "\u2060": "a word joiner",
    "\ufeff": "a byte order mark",
    **dict.fromkeys(map(chr, range(0x2000, 0x200B)), "a typographic space"),
}
COLONS = frozenset("\uff1a\ufe55\ua789\u2236")


@dataclass(frozen=True, slots=True)
class ParserError:
    """The parser's message and position, from 0. `start` is where the enclosing construct began."""

    problem: str
    context: str
    line: int
    column: int
    start: tuple[int, int] | None


Diagnosis = tuple[int, int, str]  # line and column, from 0


def diagnose(text: str, error: ParserError) -> Diagnosis:
    """The position of the mistake and a message about it."""
    lines = [*_BREAK.split(text), ""]
    line = min(error.line, len(lines) - 1)
    start = error.start[0] if error.start is not None else line
    for number in dict.fromkeys((line, start, _previous_line(lines, line))):
        found = _find_in_line(lines[number])
        if found is not None:
            return number, *found
    diagnosis = next((diagnosis for phrase, diagnosis in _DIAGNOSES if phrase in error.problem), None)
    found_at = diagnosis(lines, line, error) if diagnosis is not None else None
    return found_at or (error.line, error.column, _translate(error))


def find_typographic(text: str) -> str | None:
    """A message when a plain scalar begins or ends with a typographic quote, space or dash, else None."""
    for character in (text[:1], text[-1:]):
        if character in QUOTES:
            return f'{character} is a typographic quote, which is part of the text here; write straight ones: "'
        if character in SPACES:
            return f"{SPACES[character]} (U+{ord(character):04X}) stands here; write a plain space"
    if text[:1] in DASHES and text[1:2] in (" ", ""):
        return f"{text[0]} is a dash of print; an item of a list begins with a plain hyphen: -"
    return None


def _find_in_line(line: str) -> tuple[int, str] | None:
    """The first tab in the indentation or typographic character outside of quotes and comments: its column and a message."""
    indent = _INDENT.match(line)
    tab = indent[0].find("\t") if indent is not None else -1
    if tab >= 0:
        return tab, "a tab stands in the indentation; YAML indents with spaces alone"
    bare = re.sub(r"\"[^\"]*\"|'[^']*'", lambda quoted: "x" * len(quoted[0]), line)
    bare = re.split(r"(?:^| )#", bare)[0]
    for column, character in enumerate(bare):
        if character in SPACES:
            return column, f"{SPACES[character]} (U+{ord(character):04X}) stands here; write a plain space"
        if character in COLONS:
            return column, f"{character} is no colon to YAML; write a plain one: :"
        if character in QUOTES:
            return column, f'{character} is a typographic quote; write a straight one: "'
    return None


def _previous_line(lines: list[str], number: int) -> int:
    """The nearest line above that is neither empty nor a comment."""
    for above in range(number - 1, -1, -1):
        if lines[above].strip() and not lines[above].lstrip().startswith("#"):
            return above
    return number


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _missing_space_after_colon(lines: list[str], number: int) -> Diagnosis | None:
    """`mode:http`"""
    match = _NO_SPACE.match(lines[number])
    if match is None:
        return None
    return number, match.end("key") + 1, f"a space is missing behind the colon: write {_clip(match['key'])}: ..."


def _clip(text: str) -> str:
    text = text.strip()
    return text if len(text) <= _MAX_QUOTED else text[: _MAX_QUOTED - 3] + "..."


def _unexpected_colon(lines: list[str], line: int, error: ParserError) -> Diagnosis | None:
    """A colon and space inside a plain value, or in a line that continues the value above."""
    above = _previous_line(lines, line)
    pair = _PAIR.match(lines[line])
    if pair is not None and pair.end("key") < error.column - 1 and ": " in pair["value"] + " ":
        return (
            line,
            pair.start("value"),
            f"the value of {_clip(pair['key'])!r} has a colon and a space in it; put it in quotes",
        )
    if above == line:
        return None
    if (found := _missing_space_after_colon(lines, above)) is not None:
        return found
    if _PAIR.match(lines[above]) is None and ":" not in lines[above]:
        return _missing_colon_at(lines, above)
    key = lines[line].strip().partition(":")[0]
    return (
        line,
        _indent(lines[line]),
        f"{_clip(key)!r} is indented deeper than the line above, which has a value already; keys that stand beside each other "
        "begin in the same column",
    )


def _missing_colon_at(lines: list[str], number: int) -> Diagnosis:
    text = lines[number].strip().removeprefix("- ")
    key = re.split(r"[\s=]", text, maxsplit=1)[0]
    return number, _indent(lines[number]), f"a key needs a colon and a space behind it: write {_clip(key)}: ..."


def _missing_colon(lines: list[str], line: int, error: ParserError) -> Diagnosis | None:
    """A line that is neither `key: value` nor a list item."""
    number = error.start[0] if error.start is not None else line
    return _missing_space_after_colon(lines, number) or _missing_colon_at(lines, number)


def _unclosed_quote(lines: list[str], line: int, error: ParserError) -> Diagnosis | None:
    if error.start is None:
        return None
    number, column = error.start
    return number, column, f"the quote that opens here is never closed: {lines[number][column : column + 1]}"


def _unclosed_bracket(lines: list[str], line: int, error: ParserError) -> Diagnosis | None:
    if error.start is None:
        return None
    number, column = error.start
    bracket = lines[number][column : column + 1]
    closing = {"[": "]", "{": "}"}.get(bracket, "")
    if "${" in lines[line][: error.column + 1] or (line > number and "${" in lines[number][column:]):
        return line, error.column, f'inside {bracket} {closing} a value with braces needs quotes: "${{NAME}}"'
    if line == number or (_indent(lines[line]) > _indent(lines[number]) and lines[line].strip()):
        return (
            line,
            error.column,
            f"a comma, or the {closing} that ends what began at line {number + 1}, is missing before this",
        )
    return number, column, f"the {bracket} that opens here is never closed: {closing} is missing"


def _bad_indentation(lines: list[str], line: int, error: ParserError) -> Diagnosis | None:
    """Text where a key of the mapping is expected."""
    rest = lines[line][error.column :]
    if rest[:1] in ("]", "}"):
        return line, error.column, f"this {rest[0]} closes nothing"
    if rest.startswith("- ") or rest.strip() == "-":
        return line, error.column, "an item of a list stands out of line; items of one list begin in the same column"
    if _NO_SPACE.match(lines[line]) is not None:
        return _missing_space_after_colon(lines, line)
    before = lines[line][: error.column].rstrip()
    if before.endswith(('"', "'")):
        return line, error.column, 'something stands behind a quoted value; a quote in a value is doubled or written \\"'
    return line, error.column, "this is out of line with the keys around it, which begin in the same column"


def _missing_dash(lines: list[str], line: int, error: ParserError) -> Diagnosis | None:
    start = error.start[0] + 1 if error.start is not None else line
    return (
        line,
        _indent(lines[line]),
        f"a list began at line {start}: write '- ' for its next item, or indent a key of the item as deep as its first one",
    )


def _bad_start(lines: list[str], line: int, error: ParserError) -> Diagnosis | None:
    character = lines[line][error.column : error.column + 1]
    if character == "\t":
        return line, error.column, "a tab stands where YAML wants spaces"
    return line, error.column, f"a value can't begin with {character}; put it in quotes" if character else _translate(error)


def _missing_value(lines: list[str], line: int, error: ParserError) -> Diagnosis | None:
    if lines[line][error.column : error.column + 1] == ":":
        return line, error.column, "inside [ ] and { } a value that begins with a colon needs quotes"
    return line, error.column, "a value is missing here"


def _reserved_indicator(lines: list[str], line: int, error: ParserError) -> Diagnosis | None:
    """A plain value that begins with *, & or !, which YAML reads as an alias, an anchor or a tag."""
    number, column = error.start or (line, error.column)
    sign = lines[number][column : column + 1]
    use = {"*": "names an anchor", "&": "sets an anchor", "!": "sets a type"}.get(sign)
    if use is None:
        return None
    return number, column, f"{sign} at the beginning of a value {use}; put a value that begins with it in quotes"


def _bad_top_level(lines: list[str], line: int, error: ParserError) -> Diagnosis | None:
    if lines[_previous_line(lines, line)].lstrip().startswith("["):
        return _previous_line(lines, line), 0, "this is no YAML, where a section is a key with a colon: server:"
    return line, _indent(lines[line]), "this is out of line with what stands above; keys at the top begin in the first column"


_DIAGNOSES = (
    ("mapping values are not allowed", _unexpected_colon),
    ("could not find expected ':'", _missing_colon),
    ("unexpected end of stream", _unclosed_quote),
    ("unexpected document indicator", _unclosed_quote),
    ("expected ',' or", _unclosed_bracket),
    ("did not find expected key", _bad_indentation),
    ("expected '-' indicator", _missing_dash),
    ("cannot start any token", _bad_start),
    ("expected node content", _missing_value),
    ("expected alphabetic or numeric character", _reserved_indicator),
    ("expected whitespace or line break", _reserved_indicator),
    ("expected tag URI", _reserved_indicator),
    ("undefined tag handle", _reserved_indicator),
    ("expected <document start>", _bad_top_level),
)

# The parser's other messages -> ours.
_TRANSLATIONS = (
    ("block sequence entries are not allowed", "an item of a list can't stand here; write it on a line of its own"),
    ("mapping keys are not allowed", "a key can't stand here; write it on a line of its own"),
    ("unknown escape character", "a backslash can't stand before this; write two, or '...' around the text"),
    ("hexdecimal number", "\\x, \\u and \\U need hexadecimal digits behind them"),
    ("Unicode character escape", "\\u does not name a character here"),
    ("comment or line break", "something stands behind | or > where only a line break or a comment can"),
    ("indentation indicator", "the number behind | or > must be from 1 to 9"),
    ("tab character", "a tab stands where YAML wants spaces"),
    ("unexpected ':'", "a colon can't stand here; put the value in quotes"),
    ("mapping values are not allowed", "a colon can't stand here; put the value in quotes"),
    ("directive", "% at the beginning of a line is for directives of YAML, which are not used here"),
)  # fmt: skip


def _translate(error: ParserError) -> str:
    return next((words for phrase, words in _TRANSLATIONS if phrase in error.problem), f"this is no YAML: {error.problem}")
