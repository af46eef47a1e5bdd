"""Which origins may read replies (Fetch standard, section 3.2): exact ones, those below a name, those of a regular expression.

An origin is compared as browsers serialize it (RFC 6454 section 6.2): lower case, without the port of its scheme.
"""

from __future__ import annotations

import re
from typing import Final

from balance import linear_regex
from balance.security.settings import Cors

ANY: Final = "*"
_ORIGIN = re.compile(r"([a-z][a-z0-9+.-]*)://(\*\.)?([a-z0-9_.-]+|\[[0-9a-f:.]+\])(?::([0-9]{1,5}))?")
_BELOW = re.compile(rb"[a-z0-9_-]+(\.[a-z0-9_-]+)*")
_DEFAULT_PORTS: Final = {"http": "80", "https": "443"}
_MAX_LENGTH: Final = 300  # bytes of an origin: a host has 253 at most


def normalized_origin(text: str) -> str:
    """An origin of the file as browsers send it; ValueError when it is none. A `*.` before the host stays."""
    if text == ANY:
        return text
    match = _ORIGIN.fullmatch(text.lower())
    if match is None:
        raise ValueError(f"{text!r} is not an origin; write scheme://host[:port], like https://app.example.org, or *")
    scheme, below, host, port = match.groups()
    if below and host.startswith("["):
        raise ValueError(f"{text!r}: nothing is below an address")
    if port and (int(port) > 65535 or not int(port)):
        raise ValueError(f"{text!r}: the port is not in 1..65535")
    if port == _DEFAULT_PORTS.get(scheme):
        port = None
    return f"{scheme}://{below or ''}{host}" + (f":{int(port)}" if port else "")


class OriginMatch:
    """The origins of one `cors`."""

    __slots__ = ("_below", "_exact", "_patterns", "is_any")

    def __init__(self, settings: Cors) -> None:
        """ValueError for a regular expression that is none."""
        self.is_any = ANY in settings.allow_origins
        self._exact = frozenset(each.encode() for each in settings.allow_origins if "*" not in each)
        self._below: list[tuple[bytes, bytes]] = []
        for each in settings.allow_origins:
            scheme, star, host = each.partition("*")
            if star and scheme:
                self._below.append((scheme.encode(), host.encode()))
        self._patterns = [linear_regex.compile(rf"\A(?:{each})\z") for each in settings.allow_origin_regex]

    def allows(self, origin: bytes) -> bool:
        """Whether a page of this origin may read replies. `null`, which any sandboxed page has, is no origin."""
        if self.is_any:
            return True
        if origin in self._exact:
            return True
        if len(origin) > _MAX_LENGTH or b"://" not in origin:
            return False
        for scheme, host in self._below:
            end = max(len(scheme), len(origin) - len(host))
            if origin.startswith(scheme) and origin.endswith(host) and _BELOW.fullmatch(origin[len(scheme) : end]):
                return True
        return any(pattern.search(origin) for pattern in self._patterns)
