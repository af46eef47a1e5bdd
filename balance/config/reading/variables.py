"""Substitutes `${VAR}` and `${VAR:-default}` in values; `$$` is a dollar sign."""

from __future__ import annotations

import re
from collections.abc import Mapping

_REFERENCE = re.compile(r"\$(?:(\$)|\{([^{}]*)(\}?))")
_INSIDE = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?", re.DOTALL)


def substitute(text: str, env: Mapping[str, str]) -> str:
    """The text with its variables substituted once; the values are not substituted again.

    ValueError when a variable is not set and has no default. As in a shell, ``:-`` also replaces an empty variable. Line breaks
    at the end of a value are removed, as by ``$(cat file)``: secret stores often add one.
    """

    def fill(match: re.Match[str]) -> str:
        dollar, inside, closed = match.groups()
        if dollar:
            return "$"
        if not closed:
            raise ValueError(f"{match[0]!r} has no closing brace; write ${{NAME}}, ${{NAME:-default}}, or $$ for a $")
        parts = _INSIDE.fullmatch(inside)
        if parts is None:
            raise ValueError(f"{match[0]!r} is not understood; write ${{NAME}}, ${{NAME:-default}}, or $$ for a $")
        name, default = parts.groups()
        value = env.get(name)
        if value is not None:
            value = value.rstrip("\r\n")
        if default is not None:
            return value or default
        if value is None:
            raise ValueError(f"the variable {name} is not set; set it, or write ${{{name}:-default}}")
        return value

    return _REFERENCE.sub(fill, text)
