"""Addresses of HTTP servers."""

from __future__ import annotations

import pytest

from balance.discovery.server_url import parse_server_url


@pytest.mark.parametrize(
    ("url", "address", "authority", "prefix", "is_secure"),
    [
        ("http://127.0.0.1:8500", "127.0.0.1:8500", "127.0.0.1:8500", "", False),
        ("https://api.example", "api.example:443", "api.example", "", True),
        ("https://api.example:443/prefix/", "api.example:443", "api.example", "/prefix", True),
        ("http://[::1]:8500", "[::1]:8500", "[::1]:8500", "", False),
        ("unix:///run/consul.sock", "unix:/run/consul.sock", "localhost", "", False),
        ("unix:/run/consul.sock", "unix:/run/consul.sock", "localhost", "", False),
    ],
)
def test_addresses(url: str, address: str, authority: str, prefix: str, is_secure: bool) -> None:
    found = parse_server_url(url)
    assert (str(found.address), found.authority, found.prefix, found.is_secure) == (address, authority, prefix, is_secure)


@pytest.mark.parametrize(
    "url",
    ["", "ftp://x", "127.0.0.1:8500", "http://", "http://user:secret@x", "http://x:70000", "http://x:0", "http://x?y",
     "http://x y", "unix:", "unix:///", "unix:/" + "x" * 200, "http://x\n", "http://ä"],
)  # fmt: skip
def test_what_is_no_address(url: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_server_url(url)
    assert "secret" not in str(caught.value) and "\n" not in str(caught.value)
