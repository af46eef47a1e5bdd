"""Text of others for a terminal: what would be obeyed there, or shown in another order, is written as an escape."""

from __future__ import annotations

import json
import unicodedata

_UNSAFE = frozenset(["Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"])  # controls, marks of direction, surrogates, unassigned


def printable(text: str) -> str:
    """The text with `\\x1b` and the like in place of such characters, all on one line."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escaped(char) if unicodedata.category(char) in _UNSAFE else char for char in text)


def printable_json(document: object, indent: int | None = None) -> str:
    """JSON with such characters as JSON's own escapes, so that it means the same."""
    text = json.dumps(document, indent=indent, ensure_ascii=False)
    if text.isascii():
        return text  # json escapes the controls among these by itself
    return "".join(json.dumps(char)[1:-1] if char != "\n" and unicodedata.category(char) in _UNSAFE else char for char in text)


def _escaped(char: str) -> str:
    return char.encode("unicode_escape").decode()
