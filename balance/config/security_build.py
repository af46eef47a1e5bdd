"""Builds what `security` says of requests from its sections, the nearer laid over the wider, key by key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from balance.config.overlay import overlay, renamed
from balance.config.schema.security_sections import RequestSecuritySection
from balance.security.password_hash import parse_htpasswd
from balance.security.settings import BasicAuth, Cors, ForwardAuth, Jwt, RouteSecurity, SecurityHeaders

_JWT_TIMES = ("leeway", "jwks_refresh", "jwks_cooldown", "jwks_timeout")


def security_of(files: Mapping[str, str], *layers: RequestSecuritySection | None) -> RouteSecurity:
    """That of a listener or route; the nearest layer last. `files` maps each file that is named to its text."""
    given = overlay(*layers)
    return RouteSecurity(
        headers=SecurityHeaders(**_tuples(renamed(given.get("headers", {}), hsts_max_age="hsts_max_age_s"))),
        cors=Cors(**_tuples(renamed(given.get("cors", {}), max_age="max_age_s"))),
        basic_auth=_basic_auth(given.get("basic_auth", {}), files),
        jwt=_jwt(given.get("jwt", {}), files),
        forward_auth=ForwardAuth(**_tuples(renamed(given.get("forward_auth", {}), timeout="timeout_s"))),
    )


def _basic_auth(given: dict[str, Any], files: Mapping[str, str]) -> BasicAuth:
    given = renamed(given, remember="remember_s")
    users = tuple(given.pop("users", {}).items())
    return BasicAuth(**given, users=users, htpasswd=parse_htpasswd(files.get(given.get("htpasswd_file", ""), "")))


def _jwt(given: dict[str, Any], files: Mapping[str, str]) -> Jwt:
    given = _tuples(renamed(given, max_size="max_size_bytes", **{each: f"{each}_s" for each in _JWT_TIMES}))
    for key in ("jwks_file", "jwks_ca_file"):
        named = given.pop(key, "")
        if named:
            given[key] = ((named, files.get(named, "")),)
    if "pem_files" in given:
        given["pem_files"] = tuple((file, files.get(file, "")) for file in given["pem_files"])
    if "claims" in given:
        given["claims"] = tuple((name, tuple(values)) for name, values in given["claims"].items())
    if "claims_to_headers" in given:
        given["claims_to_headers"] = tuple(given["claims_to_headers"].items())
    return Jwt(**given)


def _tuples(given: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(dict.fromkeys(value)) if isinstance(value, list) else value for name, value in given.items()}
