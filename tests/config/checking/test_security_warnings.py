"""What is warned of in `security`."""

from __future__ import annotations

import pytest

from balance.config import load_text

HEAD = "listen: ':1'\nbackends: [{address: 'a:1'}]\n"
JWT = "{jwt: {enabled: true, algorithms: ES256, jwks_url: '%s'}}"


@pytest.mark.parametrize(
    ("url", "is_warned"),
    [
        ("http://login.example/jwks", True),
        ("http://10.0.0.1/jwks", True),
        ("https://login.example/jwks", False),
        ("http://127.0.0.1:8080/jwks", False),
        ("http://[::1]/jwks", False),
        ("http://localhost/jwks", False),
    ],
)
def test_keys_over_plain_http(url: str, is_warned: bool) -> None:
    for text, path in (
        ("security: " + JWT % url, "security.jwt.jwks_url"),
        ("http: {routes: [{name: r, security: " + JWT % url + "}]}", "http.routes[0].security.jwt.jwks_url"),
    ):
        warnings = [str(each) for each in load_text(HEAD + text + "\n", "f.yaml", {}).warnings]
        assert any(f"{path}: is plain http" in each for each in warnings) is is_warned
