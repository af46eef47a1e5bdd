"""The path that goes to the backend: a prefix stripped, rewritten, then a prefix added, in this order.

Paths are changed as they were sent, without decoding or encoding anything, so that `%2F` stays `%2F`.
"""

from __future__ import annotations

import re
from typing import Final

from balance import linear_regex
from balance.config.route_model import Rewrite, Transform
from balance.transform.path_prefix import add_prefix, has_prefix, prefix_of, strip_prefix
from balance.transform.replacement import Replacement, merged

# A prefix as an outer proxy may say it. It becomes a part of links that backends write.
_PREFIX: Final = re.compile(rb"(?:/[A-Za-z0-9._~!$&'()*+,;=:@%-]+)+/?")


class PathChanges:
    """The changes of one route's paths, compiled."""

    __slots__ = ("_rewrites", "added", "only_strips", "stripped")

    def __init__(self, transform: Transform) -> None:
        """ValueError for a rewrite that cannot be."""
        self.stripped = prefix_of(transform.strip_prefix)
        self.added = prefix_of(transform.add_prefix)
        self._rewrites = tuple(_compiled(each) for each in transform.rewrite)
        self.only_strips = bool(self.stripped) and not self.added and not self._rewrites

    def __bool__(self) -> bool:
        """Whether anything is changed."""
        return bool(self.stripped or self.added or self._rewrites)

    def apply(self, path: bytes, query: bytes) -> tuple[bytes, bytes]:
        """The path and query of a request; `query` begins with `?` if there is one. The target `*` stays."""
        if path[:1] != b"/":
            return path, query
        if self.stripped and has_prefix(path, self.stripped):
            path = strip_prefix(path, self.stripped)
        for pattern, replacement in self._rewrites:
            found = pattern.find(path)
            if found is not None:
                start, end, groups = found
                new = path[:start] + replacement.path(groups) + path[end:]
                path, query = merged(new, replacement.query(groups), query)
                break
        if self.added:
            path = add_prefix(path, self.added)
        return path, query

    def strips(self, path: bytes) -> bool:
        """Whether the prefix is stripped from this path."""
        return bool(self.stripped) and has_prefix(path, self.stripped)


def _compiled(rewrite: Rewrite) -> tuple[linear_regex.Pattern, Replacement]:
    pattern = linear_regex.compile(rewrite.regex)
    return pattern, Replacement(rewrite.replacement, pattern)


def forwarded_prefix(stripped: bytes, from_trusted: bytes) -> bytes:
    """The line X-Forwarded-Prefix for a request whose prefix was stripped, here or before; b"" where none was.

    `from_trusted` is the field that a trusted proxy sent: the prefix that it has stripped stands before ours.
    """
    outer = from_trusted.rstrip(b"/") if _PREFIX.fullmatch(from_trusted) else b""
    return b"X-Forwarded-Prefix: " + outer + stripped + b"\r\n" if outer or stripped else b""
