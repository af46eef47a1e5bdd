"""Warnings about `security`: keys of tokens that come over plain HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from balance.config.build import KeyPaths
from balance.config.model import Config
from balance.config.reading.document import Path
from balance.model import Mode, is_loopback
from balance.security.settings import RouteSecurity

Finding = tuple[Path, str]


def security_warnings(config: Config, paths: KeyPaths) -> Iterator[Finding]:
    """Each with the path of its key."""
    for index, listener in enumerate(config.listeners):
        own = (*paths.listeners[index], "security")
        if listener.mode is not Mode.HTTP:
            continue
        if not listener.http.routes:
            yield from _security(listener.security, (own, ("security",)), paths)
        for number, route in enumerate(listener.http.routes):
            yield from _security(route.security, ((*paths.routes[index], number, "security"), own, ("security",)), paths)


def _security(security: RouteSecurity, scopes: tuple[Path, ...], paths: KeyPaths) -> Iterator[Finding]:
    source = security.jwt.jwks_source
    if source is not None and source.url.startswith("http:") and not _is_here(urlsplit(source.url).hostname or ""):
        at = paths.document.first(*((*scope, "jwt", "jwks_url") for scope in scopes))
        yield at, "is plain http: who is on the way could give you other keys, and with them any token; write https"


def _is_here(host: str) -> bool:
    return host == "localhost" or is_loopback(host)
