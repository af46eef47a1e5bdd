"""The Set-Cookie line of a session."""

from __future__ import annotations

from typing import Any

import pytest

from balance.config.model import HttpConfig, SessionCookie
from balance.http1.request import RequestReader
from balance.http1.setcookie import came_secure, set_cookie

TOKEN = b"AbCdEfGhIjKlMnOpQrStUv"


@pytest.mark.parametrize(
    ("given", "is_secure", "line"),
    [
        ({}, False, "LOAD-BALANCING_SESSION=*; Path=/; Max-Age=3600; HttpOnly; SameSite=Lax"),
        ({}, True, "LOAD-BALANCING_SESSION=*; Path=/; Max-Age=3600; HttpOnly; Secure; SameSite=Lax"),
        ({"secure": True}, False, "LOAD-BALANCING_SESSION=*; Path=/; Max-Age=3600; HttpOnly; Secure; SameSite=Lax"),
        ({"secure": False}, True, "LOAD-BALANCING_SESSION=*; Path=/; Max-Age=3600; HttpOnly; SameSite=Lax"),
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


@pytest.mark.parametrize(
    ("fields", "scheme", "is_trusted", "secure"),
    [
        ("", "http", False, False),
        ("", "https", False, True),
        ("X-Forwarded-Proto: https\r\n", "http", True, True),
        ("X-Forwarded-Proto: HTTPS\r\n", "http", True, True),
        ("X-Forwarded-Proto: http\r\n", "http", True, False),
        ("X-Forwarded-Proto: https\r\n", "http", False, False),
    ],
)
def test_tls_is_believed_from_this_connection_or_a_trusted_proxy(
    fields: str, scheme: str, is_trusted: bool, secure: bool
) -> None:
    request = RequestReader(HttpConfig()).read(f"GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n".encode())
    assert came_secure(request, scheme, is_trusted=is_trusted) is secure
