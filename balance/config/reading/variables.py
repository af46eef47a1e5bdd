"""What `${VAR}` and `${VAR:-default}` in a value become. `$$` is a dollar sign. Decides nothing about keys or types."""

from __future__ import annotations

import re
from collections.abc import Mapping

_REFERENCE = re.compile(r"\$(?:(\$)|\{([^{}]*)(\}?))")
_INSIDE = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?", re.DOTALL)


def substitute(text: str, env: Mapping[str, str]) -> str:
    """The text with its variables filled in, once: what a variable holds is not looked at again.

    ValueError when a variable is not set and has no default. As in a shell, ``:-`` also replaces an empty one, and line breaks
    at a value's end are left out as by ``$(cat file)``: what stores secrets often adds one, and nobody means it.
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
