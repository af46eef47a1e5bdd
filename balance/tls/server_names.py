"""Which entry a server name leads to: its own, else the wildcard one label above it, else none (RFC 9525 section 6.3).

`*.example.com` is for `a.example.com`, neither for `a.b.example.com` nor for `example.com`; a client that asks for the name
`*.example.com` itself gets nothing by it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Generic, TypeVar

T = TypeVar("T")


class ServerNames(Generic[T]):
    """Names in lower case, without a final dot."""

    __slots__ = ("_exact", "_wildcards")

    def __init__(self, entries: Mapping[str, T]) -> None:
        self._exact = {name: entry for name, entry in entries.items() if not name.startswith("*.")}
        self._wildcards = {name[1:]: entry for name, entry in entries.items() if name.startswith("*.")}

    def find(self, name: str) -> T | None:
        """The entry of a client's name; None when there is none."""
        found = self._exact.get(name)
        if found is None and self._wildcards and not name.startswith("*"):
            label, dot, rest = name.partition(".")
            if label and dot:
                found = self._wildcards.get("." + rest)
        return found


def covers(patterns: Iterable[str], name: str) -> bool:
    """Whether a certificate for these names is good for `name`, which may be a wildcard itself."""
    patterns = [pattern.lower().removesuffix(".") for pattern in patterns]
    return name in patterns or (not name.startswith("*.") and "*." + name.partition(".")[2] in patterns)
