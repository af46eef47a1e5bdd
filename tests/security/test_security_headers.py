"""The lines of security fields."""

from __future__ import annotations

from balance.security.security_headers import HeaderLines
from balance.security.settings import SecurityHeaders


def test_hsts_is_in_the_lines_for_tls_alone_and_backends_lines_of_it_never_go_on() -> None:
    lines = HeaderLines(SecurityHeaders(hsts_max_age_s=60))
    assert b"Strict" not in lines.plain
    assert lines.secure.endswith(b"Strict-Transport-Security: max-age=60\r\n")
    assert b"strict-transport-security" in lines.removed
    assert not HeaderLines(SecurityHeaders()).has_hsts


def test_without_hsts_a_backends_own_is_its_own() -> None:
    assert b"strict-transport-security" not in HeaderLines(SecurityHeaders()).removed
