"""Builds what `security` says of requests from its sections, the nearer laid over the wider, key by key."""

from __future__ import annotations

from typing import Any

from balance.config.overlay import overlay, renamed
from balance.config.schema.security_sections import RequestSecuritySection
from balance.security.settings import Cors, RouteSecurity, SecurityHeaders


def security_of(*layers: RequestSecuritySection | None) -> RouteSecurity:
    """That of a listener or route; the nearest layer last."""
    given = overlay(*layers)
    return RouteSecurity(
        headers=SecurityHeaders(**_tuples(renamed(given.get("headers", {}), hsts_max_age="hsts_max_age_s"))),
        cors=Cors(**_tuples(renamed(given.get("cors", {}), max_age="max_age_s"))),
    )


def _tuples(given: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(dict.fromkeys(value)) if isinstance(value, list) else value for name, value in given.items()}
