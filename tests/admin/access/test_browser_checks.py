"""Which requests come from web pages that have no business here."""

import pytest

from balance.admin.access.browser_checks import is_local_host_header, is_same_origin


@pytest.mark.parametrize(
    ("host", "own"),
    [
        ("127.0.0.1:9090", True),
        ("localhost:9090", True),
        ("LocalHost", True),
        ("[::1]:9090", True),
        ("[::1]", True),
        ("", True),
        ("evil.example:9090", False),
        ("evil.example", False),
        ("127.0.0.1.evil.example:9090", False),
    ],
)
def test_only_an_address_or_localhost_is_our_own_host(host: str, own: bool) -> None:
    assert is_local_host_header(host) is own


@pytest.mark.parametrize(
    ("origin", "own"),
    [
        ("", True),
        ("http://127.0.0.1:9090", True),
        ("http://127.0.0.1:8080", False),
        ("https://evil.example", False),
        ("null", False),
        ("http://[", False),
    ],
)
def test_a_page_may_ask_when_it_came_from_here(origin: str, own: bool) -> None:
    assert is_same_origin(origin, "127.0.0.1:9090") is own
