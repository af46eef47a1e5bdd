"""The Forwarded field (RFC 7239 section 4): its elements, and the parameters of one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

_SIGN: Final = re.compile(r'[",]')
_TOKEN: Final = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
# The value also as proxies write it that don't know the grammar: an IPv6 address or a port without quotes.
_PAIR: Final = re.compile(rf'[ \t]*({_TOKEN})=(?:([^\s",;\\]+)|"((?:[^"\\]|\\.)*)")[ \t]*(?:;|\Z)')
_ESCAPED: Final = re.compile(r"\\(.)")


def elements(value: str) -> Iterator[str]:
    """The elements of one field's value, the last first. Empty ones are none.

    From the right because a proxy adds there: whatever a client wrote before it, also half of a quoted string, leaves what was
    added behind it as it is.
    """
    end = len(value)
    is_quoted = False
    for match in reversed(list(_SIGN.finditer(value))):
        position = match.start()
        if match[0] == '"':
            if not _is_escaped(value, position):
                is_quoted = not is_quoted
        elif not is_quoted:
            element = value[position + 1 : end].strip(" \t")
            end = position
            if element:
                yield element
    element = value[:end].strip(" \t")
    if element:
        yield element


def parameters(element: str) -> dict[str, str] | None:
    """The parameters of an element, by their names in lower case; None when it can't be read in one way."""
    found: dict[str, str] = {}
    position = 0
    while position < len(element):
        match = _PAIR.match(element, position)
        if match is None or match[1].lower() in found:
            return None
        plain, quoted = match[2], match[3]
        found[match[1].lower()] = plain if plain is not None else _ESCAPED.sub(r"\1", quoted)
        position = match.end()
    return found


def _is_escaped(value: str, position: int) -> bool:
    before = position
    while before and value[before - 1] == "\\":
        before -= 1
    return (position - before) % 2 == 1
