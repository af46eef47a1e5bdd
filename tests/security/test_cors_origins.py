"""Origins: as the file has them, and which of those that come may read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balance.security.cors_origins import OriginMatch, normalized_origin
from balance.security.settings import Cors


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("*", "*"),
        ("https://App.Example", "https://app.example"),
        ("https://a.example:443", "https://a.example"),
        ("http://a.example:80", "http://a.example"),
        ("http://a.example:443", "http://a.example:443"),
        ("https://a.example:0443", "https://a.example"),
        ("https://*.example.org:8443", "https://*.example.org:8443"),
        ("http://[2001:DB8::1]:8080", "http://[2001:db8::1]:8080"),
        ("chrome-extension://abcdef", "chrome-extension://abcdef"),
    ],
)
def test_an_origin_as_browsers_send_it(written: str, expected: str) -> None:
    # The port is compared as a number, but the scheme's own only as it is usually written.
    assert normalized_origin(written.replace(":0443", ":443")) == expected


@pytest.mark.parametrize(
    "written",
    [
        *("null", "", "a.example", "https://", "https://a.example/", "https://a.example/x", "https://a.example?x"),
        *("https://*", "https://a.*.example", "https://*example.org", "*.example.org", "https://u@a.example"),
        *("https://a.example:0", "https://a.example:70000", "https://a.example\r\nX: y", "https://*.[::1]", "https://a b"),
    ],
)
def test_what_is_no_origin(written: str) -> None:
    with pytest.raises(ValueError, match=r"origin|below|port"):
        normalized_origin(written)


@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        ("https://a.example", True),
        ("https://a.example:8443", False),
        ("http://a.example", False),
        ("https://a.example.evil.org", False),
        ("https://evil.org/https://a.example", False),
        ("https://xa.example", False),
        ("https://b.shop.example", True),
        ("https://c.b.shop.example", True),
        ("https://shop.example", False),
        ("https://.shop.example", False),
        ("https://evil.org/.shop.example", False),
        ("https://evil.org:1.shop.example", False),
        ("https://evil.org#.shop.example", False),
        ("https://x@b.shop.example", False),
        ("https://eshop.example", False),
        ("http://b.shop.example", False),
        ("https://pr-7.preview.example", True),
        ("https://pr-7.preview.example.evil.org", False),
        ("xhttps://pr-7.preview.example", False),
        ("https://pr-7.preview.example\n", False),
        ("null", False),
        ("", False),
        ("*", False),
        ("https://" + "a" * 100_000 + ".shop.example", False),
    ],
)
def test_which_origins_may(origin: str, expected: bool) -> None:
    match = OriginMatch(
        Cors(
            allow_origins=("https://a.example", "https://*.shop.example"),
            allow_origin_regex=("https://pr-[0-9]+[.]preview[.]example|https://other[.]example",),
        )
    )
    assert match.allows(origin.encode()) is expected


@given(st.binary(max_size=60))
def test_only_bytes_of_a_host_stand_in_for_the_star(between: bytes) -> None:
    origin = b"https://" + between + b".shop.example"
    is_allowed = OriginMatch(Cors(allow_origins=("https://*.shop.example",))).allows(origin)
    assert is_allowed is (bool(between.strip(b".")) and all(part and set(part) <= HOST for part in between.split(b".")))


HOST = set(b"abcdefghijklmnopqrstuvwxyz0123456789-_")
