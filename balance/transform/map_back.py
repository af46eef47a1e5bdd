"""Location and cookies of replies, as the client sees the paths: a stripped prefix is put back, an added one is taken away.

Only Location and Set-Cookie are changed, as with nginx's proxy_redirect and Apache's ProxyPassReverse; links in bodies are not.
A path with the client's prefix already, from a backend that knows X-Forwarded-Prefix, stays. A rewrite can't be mapped back.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Final

from balance.http1.host import is_same, split_host
from balance.transform.path_prefix import add_prefix, has_prefix, safe_location, strip_prefix

_ABSOLUTE: Final = re.compile(rb"(?i)(?:(https?):)?//([^/?#\\]*)(.*)", re.DOTALL)
_PATH_END: Final = re.compile(rb"[?#]")


class MapBack:
    """The mapping of one route."""

    __slots__ = ("_added",)

    def __init__(self, added: bytes) -> None:
        """`added` is the prefix that was added to each request's path, by prefix_of."""
        self._added = added

    def apply(self, lines: bytes, stripped: bytes, scheme: bytes, host: bytes, host_to_backend: bytes) -> bytes:
        """The head `lines` with mapped fields. `stripped` is the prefix that was stripped from this request's path.

        `scheme` and `host` are those of the client's request; `host_to_backend` is the Host that the backend got instead of it,
        b"" if it got the client's.
        """
        if not self.concerns(lines):
            return lines
        out = []
        for line in lines.splitlines(True):
            name, colon, value = line.partition(b":")
            kind = name.lower()
            if colon and kind == b"location":
                mapped = self.location(value.strip(), stripped, scheme, host, host_to_backend)
                line = name + b": " + mapped + b"\r\n"
            elif colon and kind == b"set-cookie":
                line = name + b": " + self.cookie(value.strip(), stripped, host, host_to_backend) + b"\r\n"
            out.append(line)
        return b"".join(out)

    def concerns(self, lines: bytes) -> bool:
        """Whether the head has a field to map."""
        lower = lines.lower()  # two searches in lower case cost a third of one regular expression that ignores it
        return b"\nlocation:" in lower or b"\nset-cookie:" in lower

    def location(self, value: bytes, stripped: bytes, scheme: bytes, host: bytes, host_to_backend: bytes) -> bytes:
        """A Location that leads to the client's host or to a path, mapped; any other as it is."""
        match = _ABSOLUTE.fullmatch(value)
        if match is None:
            if value[:1] != b"/" or value[1:2] == b"\\":  # relative to the request's path, a scheme of its own, or a host
                return value
            return safe_location(self._mapped(value, stripped))
        own_scheme, authority, path = match.groups()
        default_port = 443 if (own_scheme or scheme).lower() == b"https" else 80
        if host_to_backend and is_same(authority, host_to_backend, default_port):
            # The backend names itself as it was called. The client called another host, by its own scheme.
            if not host:  # it named none, as HTTP/1.0 may
                return safe_location(self._mapped(path if path[:1] == b"/" else b"/" + path, stripped))
            start = scheme + b"://" + host if own_scheme else b"//" + host
        elif is_same(authority, host, default_port):
            start = value[: match.start(3)]
        else:
            return value
        return start + self._mapped(path if path[:1] == b"/" else b"/" + path, stripped)

    def cookie(self, value: bytes, stripped: bytes, host: bytes, host_to_backend: bytes) -> bytes:
        """A Set-Cookie value with its Path and Domain mapped (RFC 6265 section 5.2)."""
        parts = value.split(b";")
        for i in range(1, len(parts)):
            name, _, content = parts[i].partition(b"=")
            kind = name.strip().lower()
            content = content.strip()
            if kind == b"path" and content[:1] == b"/":
                parts[i] = b" Path=" + self._mapped(content, stripped, is_cookie=True)
            elif kind == b"domain" and host_to_backend and _is_domain_of(content, host_to_backend):
                name = split_host(host)[0].rstrip(b".")
                parts[i] = b"" if _is_address(name) or not name else b" Domain=" + name
        return b";".join([parts[0], *[part for part in parts[1:] if part]])

    def _mapped(self, path: bytes, stripped: bytes, *, is_cookie: bool = False) -> bytes:
        end = _PATH_END.search(path)
        rest = b""
        if end is not None and not is_cookie:
            path, rest = path[: end.start()], path[end.start() :]
        if self._added:
            if not has_prefix(path, self._added):
                return path + rest
            path = strip_prefix(path, self._added)
        elif stripped and has_prefix(path, stripped):
            return path + rest
        if not stripped:
            return path + rest
        if path == b"/" and is_cookie:  # `/foo/` would not match a request to `/foo` (RFC 6265 section 5.1.4)
            return stripped
        return add_prefix(path, stripped) + rest


def _is_domain_of(domain: bytes, host: bytes) -> bool:
    """Whether a cookie's Domain is the name of this host or a parent of it."""
    domain = domain.lstrip(b".").lower()
    name = split_host(host)[0].lower()
    return bool(domain) and (name == domain or name.endswith(b"." + domain))


def _is_address(name: bytes) -> bool:
    try:
        ipaddress.ip_address(name.strip(b"[]").decode("ascii"))
    except ValueError:
        return False
    return True
