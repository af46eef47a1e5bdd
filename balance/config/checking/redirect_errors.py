"""Errors and warnings of `tls.redirect_http`: it is for HTTP without TLS, and stands in for the routes of its listener."""

from __future__ import annotations

from collections.abc import Iterator

from balance.config.build import KeyPaths
from balance.config.model import Config, ListenerConfig
from balance.config.reading.document import Path
from balance.config.route_build import ACME_PATH, is_acme
from balance.model import Mode

Finding = tuple[Path, str]
_KEY = ("tls", "redirect_http")


def redirect_errors(index: int, listener: ListenerConfig, paths: KeyPaths) -> Iterator[Finding]:
    """Those of a listener that has the key itself."""
    document, own = paths.document, paths.listeners[index]
    where = (*own, *_KEY)
    if not own or not document.has(where) or document.is_broken(where) or not document.at(where):
        return
    if listener.mode is Mode.TCP:
        yield where, "needs mode http; in mode tcp there is no request to answer"
    elif listener.tls.enabled:
        yield where, "is for a listener without TLS, and this one has some; write it where its clients come in plain HTTP"
    routes = (*own, "http", "routes")
    for number, route in enumerate(document.at(routes) if document.has(routes) else ()):
        if isinstance(route, dict) and not is_acme(str(route.get("path") or route.get("path_prefix") or "")):
            message = f"is never reached beside redirect_http, which lets through those below {ACME_PATH} alone"
            yield (*routes, number), message


def redirect_warnings(config: Config, paths: KeyPaths) -> Iterator[Finding]:
    """Where no listener has TLS: somebody else may speak it on the port of https, but who knows."""
    if any(listener.tls.enabled for listener in config.listeners):
        return
    document = paths.document
    for where in (_KEY, *((*own, *_KEY) for own in paths.listeners if own)):
        if document.has(where) and document.at(where) is True:
            yield (
                where,
                (
                    "sends clients to https at port 443, where no listener here speaks TLS; give one a certificate, or "
                    "say the port of who does: redirect_http: 443"
                ),
            )


def unused_redirect(config: Config, paths: KeyPaths) -> Iterator[Finding]:
    """The key at the top, where no listener speaks plain HTTP."""
    document = paths.document
    if not document.has(_KEY) or document.is_broken(_KEY) or not document.at(_KEY):
        return
    if all(listener.tls.enabled or listener.mode is Mode.TCP for listener in config.listeners):
        yield _KEY, "does nothing: no listener speaks plain HTTP; write one more, with tls: {enabled: false}"
