"""Regular expressions that take time in proportion to the text, whatever the pattern: those of RE2, on bytes.

The library is imported by the first pattern: a process without one never loads it.
"""

from __future__ import annotations

import re
from typing import Any, Final

MAX_LENGTH: Final = 1000  # characters of a pattern
MAX_PROGRAM: Final = 500  # RE2 instructions
# What is no literal: wildcards, choices, repetitions, each as often as it is repeated. Only they can make so many states that
# RE2 computes them anew at each byte (`a.{60}b`), at a cost of these steps: 8 KB of path take some 15 ms at most. Words have
# few states. 80 is enough for a SHA-256, `[0-9a-f]{64}`.
MAX_STEPS: Final = 80
# Of one pattern, its program and what RE2 caches of it. Beyond it RE2 drops the cache, and at last goes on without; a larger
# cache would only be filled in vain, at twice the cost.
MAX_MEMORY_BYTES: Final = 256 * 1024

_ADVICE: Final = "a repetition like {1,60} counts as often as it repeats, and + or * once"

# Why RE2 refuses what Perl and Python take: none of it can be matched in linear time.
_LOOK_AROUND: Final = re.compile(r"\(\?<?[=!]")
_BACK_REFERENCE: Final = re.compile(r"\\[1-9]|\\[gk][{<']|\(\?P=")
_ATOMIC: Final = re.compile(r"\(\?>|[*+?}]\+")


_COUNT: Final = "count"
# What is no literal, and before it what only looks so. `\x{7f}` and `\pN` are no counts.
_TOKENS: Final = re.compile(
    r"\\x\{[^}]*\}|(?P<step>\\[pP](?:\{[^}]*\}|.)|\\[dDsSwWC]|\[\^?\]?(?:\\.|\[:\^?\w+:\]|[^\]\\])*\]|[.|*+?])|\\."
    rf"|(?P<{_COUNT}>\{{\d+(?:,\d*)?\}})",
    re.DOTALL,
)


class Pattern:
    """A compiled pattern. It looks at bytes, one by one: `.` is a byte, and so is a character of a class."""

    __slots__ = ("_compiled", "groups", "text")

    def __init__(self, text: str, compiled: Any) -> None:
        self.text = text
        self._compiled = compiled
        self.groups: int = compiled.groups

    def search(self, data: bytes) -> bool:
        """Whether it matches anywhere; `^` and `$` bind it to the ends."""
        return self._compiled.search(data) is not None

    def find(self, data: bytes) -> tuple[int, int, tuple[bytes, ...]] | None:
        """Start and end of the first match, and the groups from group 0 on, the whole match, b"" for those without a part."""
        match = self._compiled.search(data)
        if match is None:
            return None
        start, end = match.span(0)
        return start, end, (data[start:end], *match.groups(b""))


Replacement = tuple[bytes | int, ...]  # literal bytes, and numbers of groups; 0 is the whole match


def compile(pattern: str) -> Pattern:
    """The compiled pattern. ValueError says in one line why it is none."""
    if len(pattern) > MAX_LENGTH:
        raise ValueError(f"a regular expression has at most {MAX_LENGTH} characters, and this one {len(pattern)}")
    import re2

    try:
        compiled = _compiled(pattern)
    except re2.error as error:
        raise ValueError(_why(pattern, error)) from None
    size = compiled.programsize
    if size > MAX_PROGRAM:
        raise ValueError(f"{_quoted(pattern)} is too large: {size} steps, and {MAX_PROGRAM} are allowed; {_ADVICE}")
    steps = _steps(pattern, size)
    if steps > MAX_STEPS:
        raise ValueError(
            f"{_quoted(pattern)} is too large: {steps} steps besides its literals, and {MAX_STEPS} are allowed; {_ADVICE}"
        )
    return Pattern(pattern, compiled)


def _compiled(pattern: str) -> Any:
    """RE2's pattern. re2.error when it is none."""
    import re2

    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1  # bytes
    options.log_errors = False
    options.max_mem = MAX_MEMORY_BYTES
    return re2.compile(pattern.encode(), options)


def _steps(pattern: str, size: int) -> int:
    """How much of a program of this size is no literal: what is written, and what counts like {3} add to it."""
    import re2

    tokens = list(_TOKENS.finditer(pattern))
    written = sum(token["step"] is not None for token in tokens)
    if not any(token[_COUNT] for token in tokens):
        return written
    try:
        # A class is one step, however many ranges it has
        repeated = int(_compiled(_TOKENS.sub(_shortened, pattern)).programsize)
        once = int(_compiled(_TOKENS.sub(_without_count, pattern)).programsize)
    except re2.error:
        return size
    return written + max(0, repeated - once)


def _shortened(token: re.Match[str]) -> str:
    return token[0] if token["step"] is None or token[0] in "|*+?" else "x"


def _without_count(token: re.Match[str]) -> str:
    return "" if token[_COUNT] else _shortened(token)


def parse_replacement(text: str, pattern: Pattern) -> Replacement:
    """The parts of a replacement: `$1` to `$9` are groups of the pattern, `$0` the whole match, `$$` a dollar sign.

    ValueError for a group that the pattern does not have, and for a dollar sign with nothing of this behind it.
    """
    parts: list[bytes | int] = []
    for number, piece in enumerate(re.split(r"(\$.?)", text)):
        if not number % 2:
            parts += [piece.encode()] if piece else []
        elif piece == "$$":
            parts.append(b"$")
        elif piece[1:] not in tuple("0123456789"):
            raise ValueError(f"{text!r}: write $1 to $9 for a group, $0 for the whole match, or $$ for a dollar sign")
        elif int(piece[1:]) > pattern.groups:
            has = f"{pattern.groups or 'no'} group{'' if pattern.groups == 1 else 's'}"
            raise ValueError(f"{text!r}: {piece} is no group of {_quoted(pattern.text)}, which has {has}")
        else:
            parts.append(int(piece[1:]))
    return tuple(parts)


def _why(pattern: str, error: Exception) -> str:
    """One line for what RE2 says; its position is where the part that it names begins."""
    for kind, what in ((_LOOK_AROUND, "look-around"), (_BACK_REFERENCE, "a back-reference"), (_ATOMIC, "possessive matching")):
        found = kind.search(pattern)
        if found is not None:
            return (
                f"{_quoted(pattern)} has {what} at character {found.start() + 1}, which cannot be matched in linear time and "
                "is not supported (RE2 syntax)"
            )
    said = error.args[0] if error.args else b""
    reason = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
    part = reason.partition(": ")[2]
    at = f" at character {pattern.find(part) + 1}" if part and part in pattern and part != pattern else ""
    return f"{_quoted(pattern)} is no regular expression: {reason}{at} (RE2 syntax)"


def _quoted(pattern: str) -> str:
    return repr(pattern) if len(pattern) <= 100 else repr(pattern[:97] + "...")
