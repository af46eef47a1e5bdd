"""The value of a header field that a user wrote, with variables in it; compiled once, rendered for each request.

Nothing that a variable stands for can end the line that it becomes a part of: all of it that is not visible ASCII is
percent-encoded, although the parsers let no CR, LF or NUL through.
"""

from __future__ import annotations

import re
from typing import Final, Protocol

NAMES: Final = ("client_ip", "scheme", "host", "request_id", "backend", "region")

_VARIABLE: Final = re.compile(r"\{([a-z_]+)\}")  # other braces, as in JSON, stand for themselves
_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")  # RFC 9110 section 5.5: a value has no control character but HTAB
_UNSAFE: Final = re.compile(rb"[^\x21-\x7e]")


class Variables(Protocol):
    """Where the values of variables come from: a RequestContext."""

    client: str
    scheme: str
    host: str
    request_id: bytes
    backend: str
    region: str


class HeaderTemplate:
    """One value. `fixed` is its bytes where it has no variables."""

    __slots__ = ("_pieces", "fixed")

    def __init__(self, text: str) -> None:
        """ValueError for a value that no header field can have, and for an unknown variable."""
        literal_value(text)
        parts = _VARIABLE.split(text.strip(" \t"))
        for name in parts[1::2]:
            if name not in NAMES:
                raise ValueError(f"{{{name}}} is not a variable; there are {' '.join(f'{{{each}}}' for each in NAMES)}")
        self.fixed = None if len(parts) > 1 else parts[0].encode()
        # literals and names of variables, by turns
        self._pieces = tuple((parts[i].encode(), parts[i + 1] if i + 1 < len(parts) else "") for i in range(0, len(parts), 2))

    def names(self, variable: str) -> bool:
        """Whether it has this variable."""
        return any(name == variable for _, name in self._pieces)

    def render(self, variables: Variables) -> bytes:
        """The value for one request. Empty when all that it would say is unknown."""
        out = b""
        for literal, name in self._pieces:
            out += literal
            if name:
                out += _value(name, variables)
        return out.strip(b" \t")


def literal_value(text: str) -> bytes:
    """A value without variables. ValueError for one that no header field can have."""
    found = _CONTROL.search(text)
    if found is not None:
        raise ValueError(f"{text!r} has the control character {found[0]!r}, which no header field may have")
    return text.strip(" \t").encode()


def _value(name: str, variables: Variables) -> bytes:
    if name == "client_ip":
        value = variables.client.encode("utf-8", "backslashreplace")
    elif name == "scheme":
        value = variables.scheme.encode("utf-8", "backslashreplace")
    elif name == "host":
        value = variables.host.encode("utf-8", "backslashreplace")
    elif name == "request_id":
        value = variables.request_id
    elif name == "backend":
        value = variables.backend.encode("utf-8", "backslashreplace")
    else:
        value = variables.region.encode("utf-8", "backslashreplace")
    return _UNSAFE.sub(_encoded, value) if _UNSAFE.search(value) else value


def _encoded(found: re.Match[bytes]) -> bytes:
    return b"%%%02X" % found[0][0]
