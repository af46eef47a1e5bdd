"""Where a redirect leads: the Location for one request.

A Location that is only a path (RFC 9110 section 10.2.2) has no scheme, host and port that could be wrong behind another proxy,
so one with a host is made only where a scheme or a host is configured. The path is the request's own bytes, never decoded.
"""

from __future__ import annotations

import re
from typing import Final, Protocol

from balance.config.route_model import Redirect
from balance.http1.host import split_host
from balance.linear_regex import Pattern
from balance.transform.path_prefix import safe_location
from balance.transform.replacement import Replacement, merged

_URL: Final = re.compile(r"(?:([A-Za-z][A-Za-z0-9+.-]*):)?//([^/?#]*)(.*)", re.DOTALL)
_NOT_IN_FRAGMENT: Final = re.compile(rb"[^!\"$-~]")
_PORTS: Final = {b"http": b"80", b"https": b"443"}


class RequestParts(Protocol):
    """What a redirect is made from: a RequestContext."""

    scheme: str  # as a trusted proxy says it
    host_sent: bytes
    path: bytes
    query: bytes


class RedirectTarget:
    """One configured redirect, compiled. `pattern` is the regular expression of the route's path: `$1` is its group."""

    __slots__ = ("_authority", "_fragment", "_is_upgrade", "_keeps_query", "_path", "_pattern", "_port", "_scheme",
                 "needs_host")  # fmt: skip

    def __init__(self, redirect: Redirect, pattern: Pattern | None = None) -> None:
        """ValueError for a target that no Location can have."""
        scheme, authority, path = redirect.scheme, redirect.host, redirect.path
        if redirect.to:
            url = _URL.fullmatch(redirect.to)
            scheme, authority, path = (url[1] or "", url[2], url[3] or "/") if url is not None else ("", "", redirect.to)
            if url is not None and not authority:
                raise ValueError(f"{redirect.to!r} has no host")
        path, mark, fragment = path.partition("#")
        self._fragment = mark.encode() + _NOT_IN_FRAGMENT.sub(_percent, fragment.encode())
        self._scheme = scheme.lower().encode()
        self._port = b":%d" % redirect.port if redirect.port else b""
        self._authority = _authority(authority)
        self._pattern = pattern
        self._path = Replacement(path, pattern) if path else None
        self._keeps_query = redirect.keep_query
        self._is_upgrade = redirect.is_upgrade
        self.needs_host = bool(self._scheme) and not self._authority  # the request's

    def location(self, request: RequestParts) -> bytes:
        """The Location; b"" for a request that is already there, which would be redirected for ever."""
        path, query = request.path, request.query if self._keeps_query else b""
        if self._path is not None:
            found = self._pattern.find(path) if self._pattern is not None else None
            groups = found[2] if found is not None else ()
            path, query = merged(self._path.path(groups), self._path.query(groups), query)
        is_same_path = path == request.path and query == request.query
        if not self._scheme and not self._authority:
            return b"" if is_same_path else safe_location(path) + query + self._fragment
        own_scheme = request.scheme.encode("ascii", "replace")
        scheme = self._scheme or own_scheme
        if self._is_upgrade and scheme == own_scheme:  # whatever the port, as another proxy may have its own
            return b""
        own_name = split_host(request.host_sent)[0]
        # Without the request's port: it is one of the scheme and address that the client leaves, or the listener's own.
        authority = self._authority or own_name + self._port
        name, port = split_host(authority)
        default_port = _PORTS.get(scheme, b"")
        if is_same_path and scheme == own_scheme and _is_same_name(name, own_name):
            own_port = split_host(request.host_sent)[1] or default_port
            if not port or port == own_port:
                return b""
        if port == default_port:
            authority = name
        if path == b"*":  # of OPTIONS: the URI of another server as a whole has no path (RFC 9112 section 3.2.4)
            path = b""
        return scheme + b"://" + authority + path + query + self._fragment


def _authority(text: str) -> bytes:
    """A configured host, in ASCII."""
    if not text.isascii():
        name, colon, port = text.partition(":")
        text = name.encode("idna").decode("ascii") + colon + port
    if re.search(r"[\x00-\x20\x7f/\\?#@$]", text):
        raise ValueError(f"{text!r} is not a host")
    return text.encode("ascii")


def _is_same_name(one: bytes, other: bytes) -> bool:
    return one.lower().rstrip(b".") == other.lower().rstrip(b".")


def _percent(found: re.Match[bytes]) -> bytes:
    return b"%%%02X" % found[0][0]
