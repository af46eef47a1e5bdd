"""What is wrong with a text that is no YAML: in plain words, and where it is wrong rather than where it was noticed.

The parser says what it expected, often a line late. What people do wrong is little, and can be seen in the line itself: tabs,
quotes and spaces of a word processor, a space missing behind a colon, brackets and quotes that stay open, lines out of their
column.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_BREAK = re.compile(r"\r\n|[\n\r\x85\u2028\u2029]")
_INDENT = re.compile(r"[ \t]*(?:-[ \t]+)*")
_NO_SPACE = re.compile(r"(?P<lead>\s*(?:- +)*)(?P<key>[A-Za-z_][\w-]*):(?!//)(?P<value>\S.*)")
_PAIR = re.compile(r"(?P<lead>\s*(?:- +)*)(?P<key>[^\s:#][^:#]*?) *: +(?P<value>[^\s#].*)")
_LONGEST = 60  # characters of a line in a message

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
class Complaint:
    """What the parser said, and where: lines and columns from 0. `since` is where what it was in the middle of began."""

    problem: str
    context: str
    line: int
    column: int
    since: tuple[int, int] | None


Diagnosis = tuple[int, int, str]  # line and column, from 0


def diagnosed(text: str, said: Complaint) -> Diagnosis:
    """Where the mistake is, and what it is."""
    lines = [*_BREAK.split(text), ""]
    line = min(said.line, len(lines) - 1)
    start = said.since[0] if said.since is not None else line
    for number in dict.fromkeys((line, start, _before(lines, line))):
        found = _typography(lines[number])
        if found is not None:
            return number, *found
    kind = next((kind for phrase, kind in _KINDS if phrase in said.problem), None)
    found_at = kind(lines, line, said) if kind is not None else None
    return found_at or (said.line, said.column, _words(said))


def misplaced(text: str) -> str | None:
    """What is wrong with a plain value or key that begins or ends with a word processor's quote, space or dash."""
    for character in (text[:1], text[-1:]):
        if character in QUOTES:
            return f'{character} is a typographic quote, which is part of the text here; write straight ones: "'
        if character in SPACES:
            return f"{SPACES[character]} (U+{ord(character):04X}) stands here; write a plain space"
    if text[:1] in DASHES and text[1:2] in (" ", ""):
        return f"{text[0]} is a dash of print; an item of a list begins with a plain hyphen: -"
    return None


def _typography(line: str) -> tuple[int, str] | None:
    """Tabs and the like where YAML looks for spaces, colons and hyphens: anywhere before a comment but within plain quotes."""
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


def _before(lines: list[str], number: int) -> int:
    """The nearest line above that says something."""
    for above in range(number - 1, -1, -1):
        if lines[above].strip() and not lines[above].lstrip().startswith("#"):
            return above
    return number


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _no_space(lines: list[str], number: int) -> Diagnosis | None:
    """`mode:http`"""
    match = _NO_SPACE.match(lines[number])
    if match is None:
        return None
    return number, match.end("key") + 1, f"a space is missing behind the colon: write {_short(match['key'])}: ..."


def _short(text: str) -> str:
    text = text.strip()
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."


def _second_colon(lines: list[str], line: int, said: Complaint) -> Diagnosis | None:
    """A colon with a space behind it where there can't be one: in a value, or in a line that goes on with the one before."""
    above = _before(lines, line)
    pair = _PAIR.match(lines[line])
    if pair is not None and pair.end("key") < said.column - 1 and ": " in pair["value"] + " ":
        return (
            line,
            pair.start("value"),
            f"the value of {_short(pair['key'])!r} has a colon and a space in it; put it in quotes",
        )
    if above == line:
        return None
    if (found := _no_space(lines, above)) is not None:
        return found
    if _PAIR.match(lines[above]) is None and ":" not in lines[above]:
        return _no_colon(lines, above)
    key = lines[line].strip().partition(":")[0]
    return (
        line,
        _indent(lines[line]),
        f"{_short(key)!r} is indented deeper than the line above, which has a value already; keys that stand beside each other "
        "begin in the same column",
    )


def _no_colon(lines: list[str], number: int) -> Diagnosis:
    text = lines[number].strip().removeprefix("- ")
    key = re.split(r"[\s=]", text, maxsplit=1)[0]
    return number, _indent(lines[number]), f"a key needs a colon and a space behind it: write {_short(key)}: ..."


def _lone_key(lines: list[str], line: int, said: Complaint) -> Diagnosis | None:
    """A line that is neither `key: value` nor an item."""
    number = said.since[0] if said.since is not None else line
    return _no_space(lines, number) or _no_colon(lines, number)


def _open_quote(lines: list[str], line: int, said: Complaint) -> Diagnosis | None:
    if said.since is None:
        return None
    number, column = said.since
    return number, column, f"the quote that opens here is never closed: {lines[number][column : column + 1]}"


def _open_bracket(lines: list[str], line: int, said: Complaint) -> Diagnosis | None:
    if said.since is None:
        return None
    number, column = said.since
    bracket = lines[number][column : column + 1]
    closing = {"[": "]", "{": "}"}.get(bracket, "")
    if "${" in lines[line][: said.column + 1] or (line > number and "${" in lines[number][column:]):
        return line, said.column, f'inside {bracket} {closing} a value with braces needs quotes: "${{NAME}}"'
    if line == number or (_indent(lines[line]) > _indent(lines[number]) and lines[line].strip()):
        return line, said.column, f"a comma, or the {closing} that ends what began at line {number + 1}, is missing before this"
    return number, column, f"the {bracket} that opens here is never closed: {closing} is missing"


def _out_of_line(lines: list[str], line: int, said: Complaint) -> Diagnosis | None:
    """Something that is no key where keys stand."""
    rest = lines[line][said.column :]
    if rest[:1] in ("]", "}"):
        return line, said.column, f"this {rest[0]} closes nothing"
    if rest.startswith("- ") or rest.strip() == "-":
        return line, said.column, "an item of a list stands out of line; items of one list begin in the same column"
    if _NO_SPACE.match(lines[line]) is not None:
        return _no_space(lines, line)
    before = lines[line][: said.column].rstrip()
    if before.endswith(('"', "'")):
        return line, said.column, 'something stands behind a quoted value; a quote in a value is doubled or written \\"'
    return line, said.column, "this is out of line with the keys around it, which begin in the same column"


def _no_item(lines: list[str], line: int, said: Complaint) -> Diagnosis | None:
    start = said.since[0] + 1 if said.since is not None else line
    return (
        line,
        _indent(lines[line]),
        f"a list began at line {start}: write '- ' for its next item, or indent a key of the item as deep as its first one",
    )


def _strange_start(lines: list[str], line: int, said: Complaint) -> Diagnosis | None:
    character = lines[line][said.column : said.column + 1]
    if character == "\t":
        return line, said.column, "a tab stands where YAML wants spaces"
    return line, said.column, f"a value can't begin with {character}; put it in quotes" if character else _words(said)


def _no_value(lines: list[str], line: int, said: Complaint) -> Diagnosis | None:
    if lines[line][said.column : said.column + 1] == ":":
        return line, said.column, "inside [ ] and { } a value that begins with a colon needs quotes"
    return line, said.column, "a value is missing here"


def _name(lines: list[str], line: int, said: Complaint) -> Diagnosis | None:
    """An alias, an anchor or a tag that was not meant."""
    number, column = said.since or (line, said.column)
    sign = lines[number][column : column + 1]
    use = {"*": "names an anchor", "&": "sets an anchor", "!": "sets a type"}.get(sign)
    if use is None:
        return None
    return number, column, f"{sign} at the beginning of a value {use}; put a value that begins with it in quotes"


def _not_at_the_top(lines: list[str], line: int, said: Complaint) -> Diagnosis | None:
    if lines[_before(lines, line)].lstrip().startswith("["):
        return _before(lines, line), 0, "this is no YAML, where a section is a key with a colon: server:"
    return line, _indent(lines[line]), "this is out of line with what stands above; keys at the top begin in the first column"


_KINDS = (
    ("mapping values are not allowed", _second_colon),
    ("could not find expected ':'", _lone_key),
    ("unexpected end of stream", _open_quote),
    ("unexpected document indicator", _open_quote),
    ("expected ',' or", _open_bracket),
    ("did not find expected key", _out_of_line),
    ("expected '-' indicator", _no_item),
    ("cannot start any token", _strange_start),
    ("expected node content", _no_value),
    ("expected alphabetic or numeric character", _name),
    ("expected whitespace or line break", _name),
    ("expected tag URI", _name),
    ("undefined tag handle", _name),
    ("expected <document start>", _not_at_the_top),
)

# What is left of what the parser may say, for people.
_WORDS = (
    ("block sequence entries are not allowed", "an item of a list can't stand here; write it on a line of its own"),
    ("mapping keys are not allowed", "a key can't stand here; write it on a line of its own"),
    ("unknown escape character", "a backslash can't stand before this; write two, or '...' around the text"),
    ("hexdecimal number", "\\x, \\u and \\U need hexadecimal digits behind them"),
    ("Unicode character escape", "\\u does not name a character here"),
    ("comment or line break", "something stands behind | or > where only a line break or a comment can"),
    ("indentation indicator", "the number behind | or > must be from 1 to 9"),
    ("tab character", "a tab stands where YAML wants spaces"),
    ("unexpected ':'", "a colon can't stand here; put the value in quotes"),
    ("directive", "% at the beginning of a line is for directives of YAML, which are not used here"),
)  # fmt: skip


def _words(said: Complaint) -> str:
    return next((words for phrase, words in _WORDS if phrase in said.problem), f"this is no YAML: {said.problem}")
