"""What replaces the match of a regular expression in a path: literals and `$1`, with or without a query.

Captures go into a path as they were sent, so that `%2F` stays `%2F`. In a query they are encoded, so that none can end a
parameter or begin another.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from balance.linear_regex import Pattern, parse_replacement
from balance.linear_regex import Replacement as Parts
from balance.transform.path_prefix import one_slash

_INVALID: Final = re.compile(r"[\x00-\x20\x7f#]")
_NOT_IN_QUERY: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})|[^A-Za-z0-9\-._~/:@!'()*,%]")
_NOT_IN_TARGET: Final = re.compile(rb"[^!\"$-~]")


class Replacement:
    """A replacement, compiled."""

    __slots__ = ("_path", "_query")

    def __init__(self, text: str, pattern: Pattern | None) -> None:
        """Without a pattern, `$` stands for itself. ValueError for what no request target can have, and for a missing group."""
        found = _INVALID.search(text)
        if found is not None:
            raise ValueError(f"{text!r} has {found[0]!r}, which no path has; write it as %{ord(found[0]):02X}")
        path, _, query = text.partition("?")
        self._path = _parts(path, pattern)
        self._query = _parts(query, pattern)

    def path(self, groups: Sequence[bytes]) -> bytes:
        """Its path for a match; `groups` begin with group 0, the whole match. b"" for those that there are not."""
        return b"".join([_group(groups, each) if isinstance(each, int) else each for each in self._path])

    def query(self, groups: Sequence[bytes]) -> bytes:
        """Its query for a match, without `?`."""
        return b"".join([encoded(_group(groups, each)) if isinstance(each, int) else each for each in self._query])


def _parts(text: str, pattern: Pattern | None) -> Parts:
    parts: Parts = (text.encode(),) if pattern is None else parse_replacement(text, pattern)
    return tuple(_quoted(each) if isinstance(each, bytes) else each for each in parts)


def _group(groups: Sequence[bytes], number: int) -> bytes:
    return groups[number] if number < len(groups) else b""


def _quoted(text: bytes) -> bytes:
    """What a user wrote as it stands in a target: characters beyond ASCII as percent-encoded UTF-8 (RFC 3987 section 3.1)."""
    return _NOT_IN_TARGET.sub(_percent, text)


def encoded(value: bytes) -> bytes:
    """A part of a path as a part of a query's value. What is percent-encoded stays so."""
    return _NOT_IN_QUERY.sub(_percent, value)


def merged(path: bytes, own_query: bytes, query: bytes) -> tuple[bytes, bytes]:
    """The path with one slash at its beginning, and `own_query` before the client's `query`, which has its `?` if it is one."""
    if own_query:
        query = b"?" + own_query + (b"&" + query[1:] if len(query) > 1 else b"")
    return one_slash(path), query


def _percent(found: re.Match[bytes]) -> bytes:
    return b"%%%02X" % found[0][0]
