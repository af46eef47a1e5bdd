"""The Set-Cookie line of a session."""

from __future__ import annotations

from typing import Any

import pytest

from balance.config.model import SessionCookie
from balance.http1.set_cookie import set_cookie

TOKEN = b"AbCdEfGhIjKlMnOpQrStUv"


@pytest.mark.parametrize(
    ("given", "is_secure", "line"),
    [
        ({}, False, "LOAD-BALANCING_SESSION=*; Path=/; Max-Age=3600; HttpOnly; SameSite=Lax"),
        ({}, True, "LOAD-BALANCING_SESSION=*; Path=/; Max-Age=3600; HttpOnly; Secure; SameSite=Lax"),
        ({"secure": True}, False, "LOAD-BALANCING_SESSION=*; Path=/; Max-Age=3600; HttpOnly; Secure; SameSite=Lax"),
        ({"secure": False}, True, "LOAD-BALANCING_SESSION=*; Path=/; Max-Age=3600; HttpOnly; SameSite=Lax"),
        ({"same_site": "none"}, False, "LOAD-BALANCING_SESSION=*; Path=/; Max-Age=3600; HttpOnly; Secure; SameSite=None"),
        (
            {"name": "s", "path": "/app", "http_only": False, "ttl_s": 0.5, "same_site": "strict"},
            False,
            "s=*; Path=/app; Max-Age=1; SameSite=Strict",
        ),
    ],
)
def test_line_is_what_the_configuration_says(given: dict[str, Any], is_secure: bool, line: str) -> None:
    expected = f"Set-Cookie: {line}\r\n".replace("*", TOKEN.decode()).encode()
    assert set_cookie(SessionCookie(**given), TOKEN, is_secure=is_secure) == expected
