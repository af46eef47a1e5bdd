"""Prefixes of paths, on segment borders: `/foo` is a prefix of `/foo` and `/foo/bar`, not of `/foobar`.

Paths are bytes as they were sent, without the query. A result begins with exactly one `/`: two would name a host to whoever
reads it as a reference (RFC 3986 section 4.2).
"""

from __future__ import annotations

from typing import Final

_SLASH: Final = ord("/")


def prefix_of(text: str) -> bytes:
    """A prefix as configured, `/foo` or `/foo/`, without the slash at its end; b"" for `/` and for none."""
    prefix = text.strip("/")
    return b"/" + prefix.encode() if prefix else b""


def has_prefix(path: bytes, prefix: bytes) -> bool:
    """Whether `prefix`, by prefix_of, is one of `path`."""
    return path.startswith(prefix) and (len(path) == len(prefix) or path[len(prefix)] == _SLASH)


def strip_prefix(path: bytes, prefix: bytes) -> bytes:
    """`path` without a prefix that it has."""
    return one_slash(path[len(prefix) :])


def add_prefix(path: bytes, prefix: bytes) -> bytes:
    """`path` behind a prefix."""
    return prefix + path


def one_slash(path: bytes) -> bytes:
    """`path` with exactly one slash at its beginning."""
    if path[:1] == b"/" and path[1:2] != b"/":
        return path
    return b"/" + path.lstrip(b"/")


def safe_location(path: bytes) -> bytes:
    """`path`, which may have a query, as a Location that leads to this host: browsers take `/\\x` for `//x`."""
    path = one_slash(path)
    return b"/%5C" + path[2:] if path[1:2] == b"\\" else path
