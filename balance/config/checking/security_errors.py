"""Errors in `security` that concern several keys together: what a browser would refuse, and what needs requests."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from importlib.util import find_spec

from balance.config.build import KeyPaths
from balance.config.checking.route_errors import not_defined, pool_names
from balance.config.model import Config
from balance.config.reading.document import Document, Path
from balance.model import Mode
from balance.security.jwt_keys import SECRET_BYTES, check_secret
from balance.security.password_hash import PasswordHash
from balance.security.settings import RouteSecurity

Finding = tuple[Path, str]

OF_REQUESTS = ("headers", "cors", "basic_auth", "jwt", "forward_auth")  # keys of security that need requests


def security_errors(config: Config, paths: KeyPaths) -> Iterator[Finding]:
    """Each with the path of its key; what is written at the top is told once."""
    seen: set[Finding] = set()
    for finding in _all(config, paths):
        if finding not in seen:
            seen.add(finding)
            yield finding


def _all(config: Config, paths: KeyPaths) -> Iterator[Finding]:
    document = paths.document
    names = pool_names(config, document)
    has_http = any(listener.mode is Mode.HTTP for listener in config.listeners)
    for index, listener in enumerate(config.listeners):
        own = (*paths.listeners[index], "security")
        if listener.mode is Mode.TCP:
            if own != ("security",) or not has_http:
                for key in OF_REQUESTS:
                    if document.has((*own, key)):
                        yield (*own, key), f"needs requests, and listener {listener.name!r} has mode tcp; write mode: http"
            continue
        scopes = (own, ("security",))
        if not listener.http.routes:
            yield from _security(listener.security, scopes, document, names)
        for number, route in enumerate(listener.http.routes):
            yield from _security(route.security, ((*paths.routes[index], number, "security"), *scopes), document, names)


def _security(
    security: RouteSecurity, scopes: tuple[Path, ...], document: Document, names: Collection[str]
) -> Iterator[Finding]:
    """`scopes` are where its keys may stand, the nearest first; `names` those of the pools."""

    def at(*keys: str) -> Path:
        return next((path for scope in scopes if document.has(path := (*scope, *keys))), (*scopes[0], *keys[:1]))

    for key in ("basic_auth", "jwt", "forward_auth"):
        is_said = any(document.has((*scope, key, "enabled")) for scope in scopes)
        if not getattr(security, key).enabled and not is_said and document.has(at(key)):  # the doors would be open
            yield at(key), "is given but not enabled, so that it has no effect; write enabled: true, or enabled: false"
    cors, headers = security.cors, security.headers
    if cors.enabled and cors.allow_credentials and "*" in cors.allow_origins:
        yield (
            at("cors", "allow_credentials"),
            "stands beside the origin *: any page could read what a user sees; list the origins",
        )
    if headers.enabled and not headers.hsts_max_age_s:
        for key in ("hsts_subdomains", "hsts_preload"):
            if getattr(headers, key):
                yield at("headers", key), "has no effect without hsts_max_age"
    yield from _jwt(security, at)
    yield from _forward_auth(security, at, names)
    basic = security.basic_auth
    if basic.enabled:
        users = (*basic.users, *basic.htpasswd)
        if not users and not basic.htpasswd_file:
            yield at("basic_auth"), "has no users, so that nobody could get in; write users or htpasswd_file"
        elif not users and not document.is_broken(at("basic_auth", "htpasswd_file")):
            yield at("basic_auth", "htpasswd_file"), "has no users, so that nobody could get in"
        for library in sorted({PasswordHash(hashed).module for _, hashed in users} - {""}):
            if find_spec(library) is None:
                key = "users" if any(PasswordHash(hashed).module == library for _, hashed in basic.users) else "htpasswd_file"
                yield at("basic_auth", key), f"{library} needs a library: pip install 'balance[auth]'; scrypt needs none"
        for name in sorted({user for user, _ in basic.users} & {user for user, _ in basic.htpasswd}):
            yield at("basic_auth", "users"), f"{name!r} is in htpasswd_file, too; which password counts?"


def _jwt(security: RouteSecurity, at: Callable[..., Path]) -> Iterator[Finding]:
    jwt = security.jwt
    if not jwt.enabled:
        return
    if find_spec("joserfc") is None:
        yield at("jwt"), "needs a library: pip install 'balance[jwt]'"
        return
    if security.basic_auth.enabled and jwt.source == "authorization":
        yield at("jwt"), "stands beside basic_auth, which reads Authorization, too; write jwt.source, or one of them"
    if not jwt.algorithms:
        yield at("jwt"), "'algorithms' is missing: those that tokens may be signed with, like [RS256]"
        return
    with_secret = tuple(each for each in jwt.algorithms if each in SECRET_BYTES)
    has_keys = bool(jwt.pem_files or jwt.jwks_file or jwt.jwks_url)
    if with_secret and not jwt.secret:
        yield at("jwt", "algorithms"), f"{with_secret[0]} needs secret"
    elif jwt.secret and not with_secret:
        yield at("jwt", "secret"), "has no effect without one of HS256, HS384, HS512 among the algorithms"
    elif jwt.secret:
        try:
            check_secret(jwt.secret, with_secret)
        except ValueError as error:
            yield at("jwt", "secret"), str(error)
    others = [each for each in jwt.algorithms if each not in SECRET_BYTES]
    if others and not has_keys:
        yield at("jwt", "algorithms"), f"{others[0]} needs pem_files, jwks_file or jwks_url"
    elif has_keys and not others:
        key = next(key for key in ("pem_files", "jwks_file", "jwks_url") if getattr(jwt, key))
        yield at("jwt", key), "has no effect with HS* alone, which take secret"
    if jwt.jwks_ca_file and not jwt.jwks_url.startswith("https:"):
        yield at("jwt", "jwks_ca_file"), "has no effect without a jwks_url with https"
    if not jwt.forward and jwt.source.startswith("cookie:"):
        yield at("jwt", "forward"), "false has no effect on a token in a cookie: cookies go on as they come"


def _forward_auth(security: RouteSecurity, at: Callable[..., Path], names: Collection[str]) -> Iterator[Finding]:
    settings = security.forward_auth
    if not settings.enabled:
        return
    if not settings.pool:
        yield at("forward_auth"), "'pool' is missing: the pool of the authorizer"
    elif settings.pool not in names:
        yield at("forward_auth", "pool"), not_defined(settings.pool, names)
